"""The address of a webhook: a plain http or https URL, and no private network unless that is allowed."""

import ipaddress
import socket
from urllib.parse import urlsplit

from pipelines.errors import SpecError


def resolve(url: str, allow_private: bool) -> list[str]:
    """The IP addresses of a URL's host. Raises SpecError for a URL that is not plain http(s), or not public."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise SpecError(f"url: {url!r} has no valid port; give one below 65536") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
        raise SpecError(f"url: {url!r} is no plain http or https address; give one such as https://example.com/hook")
    try:
        results = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SpecError(f"url: {parts.hostname!r} has no address; correct the name") from None
    addresses = sorted({str(result[4][0]) for result in results})
    if not allow_private:
        for address in addresses:
            if not ipaddress.ip_address(address.split("%")[0]).is_global:
                raise SpecError(
                    f"url: {parts.hostname!r} is {address}, which is no public address; use a public one "
                    "(the operator may allow private ones by COUNTERPOISE_PRIVATE_WEBHOOKS)"
                )
    return addresses
