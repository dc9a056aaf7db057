"""One attempt at a delivery: signed as Standard Webhooks prescribes, to an address that was checked, within a deadline."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from standardwebhooks import Webhook

from pipelines.errors import SpecError
from service.state.deliveries import Answer, ClaimedDelivery
from service.webhooks.addresses import parse, resolve

DEADLINE = 15.0  # seconds of a whole attempt, from the name's address to the answer's headers
LONGEST = 86_400.0  # seconds that a receiver may put off the next attempt


def message_id(delivery_id: int) -> str:
    """The webhook-id header: the same in all attempts at a delivery."""
    return f"msg_{delivery_id}"


def body_of(delivery: ClaimedDelivery) -> str:
    """The payload, the same in all attempts."""
    timestamp = datetime.fromtimestamp(delivery.at, UTC).isoformat()
    document = {"type": delivery.payload["type"], "timestamp": timestamp, "data": delivery.payload["data"]}
    return json.dumps(document, separators=(",", ":"))


def signed_headers(delivery: ClaimedDelivery, body: str) -> dict[str, str]:
    """The headers of Standard Webhooks, with a signature of the body by each secret."""
    identity, sent_at = message_id(delivery.id), datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": "counterpoise",
        "webhook-id": identity,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(identity, sent_at, body) for secret in delivery.secrets),
    }


async def attempt(delivery: ClaimedDelivery, allow_private: bool, tls: ssl.SSLContext, resolver: Executor) -> Answer:
    """Send once. Raises nothing: what goes wrong is in the answer."""
    try:
        async with asyncio.timeout(DEADLINE):
            loop = asyncio.get_running_loop()
            addresses = await loop.run_in_executor(resolver, resolve, delivery.url, allow_private)
            return await post(delivery, addresses, tls)
    except TimeoutError:
        return Answer(None, f"no answer within {DEADLINE:.0f} s")
    except SpecError as error:
        return Answer(None, str(error))
    except Exception as error:  # whatever a stranger's server makes the client raise
        return Answer(None, f"{type(error).__name__}: {error}")


async def post(delivery: ClaimedDelivery, addresses: list[str], tls: ssl.SSLContext) -> Answer:
    """To the first address that takes a connection: a name may mean another one a moment later."""
    url, body = parse(delivery.url), body_of(delivery)
    headers = {**signed_headers(delivery, body), "host": url.netloc.decode()}
    timeout = httpx.Timeout(DEADLINE, connect=DEADLINE / len(addresses))  # there is time for the last one, too
    async with httpx.AsyncClient(timeout=timeout, verify=tls, trust_env=False, follow_redirects=False) as client:
        for number, address in enumerate(addresses, 1):
            request = client.build_request("POST", url.copy_with(host=address), headers=headers, content=body)
            request.extensions["sni_hostname"] = url.raw_host.decode()
            try:
                response = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
            else:
                await response.aclose()  # its body is nobody's concern
                return judged(response.status_code, response.headers)
    raise AssertionError("a name has at least one address")


def judged(status: int, headers: Mapping[str, str]) -> Answer:
    """Only 2xx is a success. A redirect is not followed: where it leads was not checked."""
    if 200 <= status < 300:
        return Answer(status)
    remedy = "; redirects are not followed: register the address that it leads to" if 300 <= status < 400 else ""
    return Answer(status, f"answered {status}{remedy}", retry_after(headers.get("retry-after", "")))


def retry_after(value: str) -> float:
    """Seconds of a Retry-After header (RFC 9110): a number of them, or a date. 0 for what is neither."""
    try:
        seconds = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST)
