"""A preview's request and answer, both through the broker: nothing of it lies in the database.

Lost messages do no harm: the client sends its request again.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

import redis
from celery import Celery

from service import tracing

PREVIEW = "counterpoise.preview"  # the task
TIMEOUT = 45  # seconds that a preview may take, waiting for a worker included
ANSWER_LIFETIME = 60  # seconds that an answer is kept until it is fetched


def request_preview(broker: Celery, preview_id: str, tenant: str, spec: dict[str, Any], count: int) -> None:
    """Ask any GPU worker for `count` images; its answer will lie under `preview_id`."""
    args = preview_id, tenant, spec, count, tracing.origin()
    broker.send_task(PREVIEW, args=args, queue="gpu", expires=TIMEOUT, retry=False)


@dataclass(frozen=True, slots=True)
class PreviewAnswers:
    broker_url: str

    def put(self, preview_id: str, answer: dict[str, Any]) -> None:
        with redis.Redis.from_url(self.broker_url) as client:
            client.lpush(f"preview:{preview_id}", json.dumps(answer))
            client.expire(f"preview:{preview_id}", ANSWER_LIFETIME)

    def wait(self, preview_id: str) -> dict[str, Any] | None:
        """The answer as soon as it is there; None after TIMEOUT seconds."""
        with redis.Redis.from_url(self.broker_url, socket_timeout=TIMEOUT + 5) as client:
            item = cast(tuple[bytes, bytes] | None, client.blpop([f"preview:{preview_id}"], TIMEOUT))
        return None if item is None else json.loads(item[1])
