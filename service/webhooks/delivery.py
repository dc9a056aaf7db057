"""Sending webhooks, signed as Standard Webhooks prescribes, and never into a private network unless that is allowed."""

import ipaddress
import json
import socket
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import structlog
from prometheus_client import Counter
from standardwebhooks import Webhook

from pipelines.errors import SpecError
from service.state import deliveries
from service.state.database import Database
from service.state.deliveries import Due

log = structlog.get_logger()
TIMEOUT = 10.0  # seconds that a receiver has to answer
ATTEMPTS = Counter("counterpoise_webhook_attempts", "Attempts to deliver a webhook.", ["outcome"])
DELIVERED, FAILED = (ATTEMPTS.labels(outcome) for outcome in ("delivered", "failed"))


def addresses(url: str, allow_private: bool) -> list[str]:
    """The addresses that the host of a URL has. Raises SpecError for anything but a reachable public one."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise SpecError(f"url: {url!r} has no valid port; give one below 65536") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
        raise SpecError(f"url: {url!r} is no plain http or https address; give one such as https://example.com/hook")
    try:
        found = sorted({str(info[4][0]) for info in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError):
        raise SpecError(f"url: {parts.hostname!r} has no address; correct the name") from None
    if not allow_private:
        for each in found:
            if not ipaddress.ip_address(each.split("%")[0]).is_global:
                raise SpecError(
                    f"url: {parts.hostname!r} is {each}, which is no public address; use a public one "
                    "(the operator may allow private ones by COUNTERPOISE_PRIVATE_WEBHOOKS)"
                )
    return found


def signed(due: Due, body: str) -> dict[str, str]:
    """The headers of Standard Webhooks. The id stays the same over all attempts."""
    message, at = f"msg_{due.id}", datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(due.secret).sign(message, at, body),
    }


def attempt(due: Due, allow_private: bool) -> tuple[int | None, str | None]:
    """Send once; return the answer's status, and what went wrong."""
    at = datetime.fromtimestamp(due.at, UTC).isoformat()
    body = json.dumps({"type": due.payload["type"], "timestamp": at, "data": due.payload["data"]})
    try:
        # Connecting to the address that was checked: a name may mean another one a moment later.
        address = addresses(due.url, allow_private)[0]
        url = httpx.URL(due.url)
        headers = {**signed(due, body), "host": url.netloc.decode()}
        with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
            request = client.build_request("POST", url.copy_with(host=address), headers=headers, content=body)
            request.extensions["sni_hostname"] = url.host
            answer = client.send(request, stream=True)
            answer.close()
    except SpecError as error:
        return None, str(error)
    except httpx.HTTPError as error:
        return None, f"{type(error).__name__}: {error}"
    status = answer.status_code
    return status, None if answer.is_success else f"answered {status}"


def deliver(database: Database, allow_private: bool) -> int:
    """Try every delivery that is due; return how many were tried. Safe to run anywhere, by several."""
    tried = 0
    while (due := deliveries.claim(database)) is not None:
        status, error = attempt(due, allow_private)
        deliveries.settle(database, due, status, error)
        (FAILED if error else DELIVERED).inc()
        tried += 1
    return tried


def keep_delivering(database: Database, allow_private: bool, seconds: float) -> None:
    """For ever: a receiver that is slow must not hold up anything else, so this has a thread of its own."""
    while True:
        try:
            deliver(database, allow_private)
        except Exception as error:
            log.warning("webhooks not sent", error=f"{type(error).__name__}: {error}")
        time.sleep(seconds)
