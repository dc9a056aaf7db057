"""Delivery of webhooks: signed as Standard Webhooks prescribes, and tried again after a backoff."""

import json
import time
from datetime import UTC, datetime

import httpx
import structlog
from prometheus_client import Counter
from standardwebhooks import Webhook

from pipelines.errors import SpecError
from service.state import deliveries
from service.state.database import Database
from service.state.deliveries import ClaimedDelivery
from service.webhooks.addresses import resolve

log = structlog.get_logger()
TIMEOUT = 10.0  # seconds that a receiver has to answer
ATTEMPTS = Counter("counterpoise_webhook_attempts", "Attempts to deliver a webhook.", ["outcome"])
DELIVERED, FAILED = (ATTEMPTS.labels(outcome) for outcome in ("delivered", "failed"))


def message_id(delivery_id: int) -> str:
    """The webhook-id header: the same in all attempts at a delivery."""
    return f"msg_{delivery_id}"


def signature_headers(delivery: ClaimedDelivery, body: str) -> dict[str, str]:
    """The headers of Standard Webhooks, with the signature of the body."""
    identity, sent_at = message_id(delivery.id), datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(delivery.secret).sign(identity, sent_at, body),
    }


def attempt(delivery: ClaimedDelivery, allow_private: bool) -> tuple[int | None, str | None]:
    """Send once; return the status of the answer, and what went wrong."""
    timestamp = datetime.fromtimestamp(delivery.at, UTC).isoformat()
    body = json.dumps({"type": delivery.payload["type"], "timestamp": timestamp, "data": delivery.payload["data"]})
    try:
        # Connecting to the address that was checked: a name may mean another one a moment later.
        address = resolve(delivery.url, allow_private)[0]
        url = httpx.URL(delivery.url)
        headers = {**signature_headers(delivery, body), "host": url.netloc.decode()}
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
    """Attempt every delivery that is due; return how many there were. Safe to run anywhere, by several."""
    attempts = 0
    while (delivery := deliveries.claim(database)) is not None:
        status, error = attempt(delivery, allow_private)
        deliveries.record_attempt(database, delivery, status, error)
        (FAILED if error else DELIVERED).inc()
        attempts += 1
    return attempts


def deliver_forever(database: Database, allow_private: bool, seconds: float) -> None:
    """Every so many seconds. A receiver that is slow must not hold up anything else, so this has a thread of its own."""
    while True:
        try:
            deliver(database, allow_private)
        except Exception as error:
            log.warning("webhooks not sent", error=f"{type(error).__name__}: {error}")
        time.sleep(seconds)
