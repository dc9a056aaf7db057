"""The sender of webhooks: many deliveries side by side, of each webhook one at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import structlog
from prometheus_client import Counter

from service.state import deliveries
from service.state.database import Database
from service.state.deliveries import ClaimedDelivery
from service.webhooks.delivery import attempt

log = structlog.get_logger()
PARALLEL = 16  # deliveries under way at most, whoever's they are
THROTTLING = (429, 502, 504)  # answers of a receiver that has too much to do
PAUSE = 30.0  # seconds that such a one is left alone if it does not say for how long
ATTEMPTS = Counter("counterpoise_webhook_attempts", "Attempts to deliver a webhook.", ["outcome"])
COUNTS = {outcome: ATTEMPTS.labels(outcome) for outcome in ("delivered", "failed", "abandoned")}


class Sender:
    """Claims deliveries and sends them. Any number may run, anywhere."""

    def __init__(self, database: Database, allow_private: bool) -> None:
        self.database, self.allow_private = database, allow_private
        self.tls = httpx.create_ssl_context()
        self.resolver = ThreadPoolExecutor(PARALLEL, "resolver")  # a name may take longer than a delivery
        self.running: set[asyncio.Task[None]] = set()
        self.paused: dict[int, float] = {}  # webhook -> until when, by the loop's clock

    async def run(self, seconds: float) -> None:
        """For ever: look for deliveries every so many seconds, and whenever one has ended."""
        while True:
            try:
                await self.start_due()
            except Exception as error:  # the database is away: it will be back
                log.warning("webhooks not sent", error=f"{type(error).__name__}: {error}")
            await self.wait(seconds)

    async def start_due(self) -> int:
        """Start whatever is due, as far as there is room; return how many deliveries that were."""
        started, time = 0, asyncio.get_running_loop().time()
        self.paused = {webhook: until for webhook, until in self.paused.items() if until > time}
        while len(self.running) < PARALLEL:
            delivery = await asyncio.to_thread(deliveries.claim, self.database, list(self.paused))
            if delivery is None:
                break
            task = asyncio.create_task(self.send(delivery))
            self.running.add(task)
            task.add_done_callback(self.running.discard)
            started += 1
        return started

    async def wait(self, seconds: float) -> None:
        """Until a delivery has ended, or for so many seconds."""
        if self.running:
            await asyncio.wait(self.running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)

    async def send(self, delivery: ClaimedDelivery) -> None:
        answer = await attempt(delivery, self.allow_private, self.tls, self.resolver)
        if answer.retry_after or answer.status in THROTTLING:
            until = asyncio.get_running_loop().time() + (answer.retry_after or PAUSE)
            self.paused[delivery.webhook] = until
        try:
            outcome = await asyncio.to_thread(deliveries.record_attempt, self.database, delivery, answer)
            COUNTS[outcome].inc()
        except Exception as error:  # the claim expires, and it is sent again
            log.warning("delivery not recorded", delivery=delivery.id, error=f"{type(error).__name__}: {error}")

    def run_forever(self, seconds: float) -> None:
        asyncio.run(self.run(seconds))


def deliver(database: Database, allow_private: bool) -> int:
    """Attempt every delivery that is due; return how many attempts there were."""

    async def drain() -> int:
        sender, attempts = Sender(database, allow_private), 0
        while True:
            busy = bool(sender.running)  # whose next delivery cannot be claimed before this one is recorded
            started = await sender.start_due()
            if not (busy or started):
                return attempts
            attempts += started
            await sender.wait(0.1)

    return asyncio.run(drain())
