"""Headers that tell browsers to trust nothing: what a version holds was made from a stranger's images and names."""

from starlette.datastructures import MutableHeaders

# A report's page: styles and images of its own, no script; sandboxed, it has no origin, so it reaches nothing of ours.
PAGE_POLICY = (
    "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)


def secure(headers: MutableHeaders, *, with_key: bool) -> None:
    """Add them to an answer, where the endpoint has not set its own."""
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    if with_key:
        headers.setdefault("Cache-Control", "no-store")
    if headers.get("content-type", "").startswith("text/html"):
        headers.setdefault("Content-Security-Policy", PAGE_POLICY)
