"""A preview's request and answer, both through the broker: nothing of it lies in the database.

Lost messages do no harm: the client sends its request again. A preview has one key, of its tenant, which
goes away by itself.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service import tracing
from service.broker import ANSWER_SECONDS, CONNECT_SECONDS, PREVIEWS

PREVIEW = "counterpoise.preview"  # the task
INSPECTION = "counterpoise.inspection"  # another, of a source, which is answered likewise
QUEUE_SECONDS = 120  # that a preview may wait for a worker
WORK_SECONDS = 300  # that it may take then, loading of models included
FORECAST_SECONDS = 1200  # that one with a forecast may take
ANSWER_LIFETIME = 300  # seconds that an answer can be fetched
CONNECTIONS = 8  # of an API process to the broker, for previews
ANSWERS_KEPT = 8  # of a tenant: they have the size of their images
LATE = "no worker was free in time; try again later"


def request_preview(
    broker: Celery, preview_id: str, tenant: str, spec: dict[str, Any], count: int, forecasts: bool = False
) -> None:
    """Ask any GPU worker for `count` images, and a forecast; its answer will lie under `preview_id`."""
    args = preview_id, tenant, spec, count, tracing.origin(), forecasts
    broker.send_task(PREVIEW, args=args, queue=PREVIEWS, expires=QUEUE_SECONDS, retry=False)


def request_inspection(broker: Celery, inspection_id: str, tenant: str, source: str, digest: str) -> None:
    """Ask any GPU worker to inspect a state of an uploaded source; that it has lies under `inspection_id`."""
    args = inspection_id, tenant, source, digest, tracing.origin()
    broker.send_task(INSPECTION, args=args, queue=PREVIEWS, expires=QUEUE_SECONDS, retry=False)


def key(tenant: str, preview_id: str) -> str:
    return f"preview:{tenant}:{preview_id}"


def pending_key(tenant: str) -> str:
    """A sorted set of the ids that wait or are being made, by the time at which they are given up."""
    return f"previews:{tenant}:pending"


def kept_key(tenant: str) -> str:
    """A list of the ids that are answered, the newest first."""
    return f"previews:{tenant}:kept"


def pending(seconds: float) -> str:
    """The record of a preview that is not answered yet, and given up after so many seconds."""
    return json.dumps({"state": "pending", "deadline": time.time() + seconds})


class PreviewBroker:
    """The API's side, over a few connections, however many wait; no call lasts longer than the broker's timeouts."""

    def __init__(self, broker_url: str) -> None:
        pool = aioredis.BlockingConnectionPool.from_url(
            broker_url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.client = aioredis.Redis.from_pool(pool)

    async def begin(self, tenant: str, preview_id: str, most: int) -> bool:
        """Note that a preview waits; False when so many of the tenant's do already."""
        clock = time.time()
        async with self.client.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(pending_key(tenant), "-inf", clock)
            pipe.zadd(pending_key(tenant), {preview_id: clock + QUEUE_SECONDS})
            pipe.zcard(pending_key(tenant))
            pipe.expire(pending_key(tenant), QUEUE_SECONDS + FORECAST_SECONDS)
            pipe.set(key(tenant, preview_id), pending(QUEUE_SECONDS), ex=QUEUE_SECONDS + ANSWER_LIFETIME)
            _, _, count, *_ = await pipe.execute()
        if count > most:
            await self.drop(tenant, preview_id)
        return bool(count <= most)

    async def drop(self, tenant: str, preview_id: str) -> None:
        await self.client.zrem(pending_key(tenant), preview_id)
        await self.client.delete(key(tenant, preview_id))

    async def find(self, tenant: str, preview_id: str) -> dict[str, Any] | None:
        """A preview's `state`: pending, done with its images, or failed with `error` and `status`; None: no such preview."""
        data = await self.client.get(key(tenant, preview_id))
        if data is None:
            return None
        record: dict[str, Any] = json.loads(data)
        if record["state"] == "pending" and time.time() > record["deadline"]:
            return {"state": "failed", "error": LATE, "status": 503}
        return record


@dataclass(frozen=True, slots=True)
class PreviewAnswers:
    """The worker's side."""

    broker_url: str

    def begin(self, tenant: str, preview_id: str, seconds: float = WORK_SECONDS) -> None:
        """A worker has it: from now on it is given up after so many seconds."""
        with redis.Redis.from_url(self.broker_url) as client, client.pipeline(transaction=True) as pipe:
            pipe.set(key(tenant, preview_id), pending(seconds), ex=int(seconds) + ANSWER_LIFETIME)
            pipe.zadd(pending_key(tenant), {preview_id: time.time() + seconds}, xx=True)
            pipe.execute()

    def put(self, tenant: str, preview_id: str, answer: dict[str, Any]) -> None:
        """Answer. Of a tenant's answers the oldest are dropped, so that the broker's memory holds."""
        with redis.Redis.from_url(self.broker_url) as client, client.pipeline(transaction=True) as pipe:
            pipe.zrem(pending_key(tenant), preview_id)
            pipe.set(key(tenant, preview_id), json.dumps(answer), ex=ANSWER_LIFETIME)
            pipe.lpush(kept_key(tenant), preview_id)
            pipe.lrange(kept_key(tenant), ANSWERS_KEPT, -1)
            pipe.ltrim(kept_key(tenant), 0, ANSWERS_KEPT - 1)
            pipe.expire(kept_key(tenant), ANSWER_LIFETIME)
            old = pipe.execute()[3]
            if old:
                client.delete(*(key(tenant, identity.decode()) for identity in old))
