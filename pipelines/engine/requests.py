"""Where an engine's requests come from."""

from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from pipelines.records import Request


class RequestQueue(Protocol):
    """Requests in an order of its own; more of them may come of the candidates that they became."""

    def take(self, count: int, *, wait: bool) -> list[Request]:
        """The next requests, at most `count`: those that are there now. With `wait` at least one, and none only where no
        more will come."""


class Listed:
    """Requests of an iterable, which is read no further than it must be."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self.requests = iter(requests)

    def take(self, count: int, *, wait: bool) -> list[Request]:
        return list(islice(self.requests, count))
