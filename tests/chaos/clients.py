"""What tenants do meanwhile: ask for versions and refreshes, cancel, try again, delete and read, at random."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import httpx

from pipelines.spec import VersionSpec, parse
from service.client import Client
from service.transport import ServiceError
from service.versions.schemas import VersionView
from tests.chaos.world import World

DATASETS = ("shoes", "coats")  # every tenant has them, so that what is mixed up is seen
MOST_RUNNING, MOST_KEPT = 3, 8  # versions of a tenant
PATIENCE = 20.0  # seconds for which a request is sent again while nobody answers


def spec(tenant: str, dataset: str, chance: Random) -> VersionSpec:
    """A version of a second or two, in several shards; its prompts name its tenant. A few are evaluated."""
    template = f"a photo of {{}} for {tenant}"
    return parse(
        {
            "name": dataset,
            "source": {"type": "spurious", "train": 24, "validation": 8, "test": 8},
            "method": {"type": "text_to_image", "steps": 2, "templates": [template]},
            "amount": {"per_class": chance.randint(2, 6)},
            "shard_size": 2,
            "filters": [],
            "classifier": {"steps": 2, "batch": 8},
            "evaluation": {"arms": ["erm"], "seeds": [0]} if chance.random() < 0.1 else None,
            "seed": chance.randint(0, 3),
        }
    )


class Tenant(threading.Thread):
    """One tenant, in a thread of its own, until it is `over`."""

    def __init__(self, world: World, name: str, key: str, chance: Random) -> None:
        super().__init__(name=name, daemon=True)
        self.world, self.key, self.chance = world, key, chance
        self.over = threading.Event()
        self.accepted: set[tuple[str, int]] = set()  # versions that the service promised to make
        self.deleted: set[tuple[str, int]] = set()  # those that it may have removed
        self.answers: Counter[str] = Counter()  # calls by action and outcome
        self.surprises: list[str] = []  # answers that nobody should get

    def run(self) -> None:
        with Client(self.world.url, self.key, PATIENCE) as client:
            while not self.over.wait(self.chance.uniform(0.1, 0.8)):
                self.act(client)

    def act(self, client: Client) -> None:
        """One call, drawn by weight from those that make sense now."""
        name = "look"
        try:
            versions = list(client.versions())
            running = [version for version in versions if not version.ended]
            actions: list[tuple[str, int, Callable[[], object]]] = [("look", 4, lambda: None)]
            if len(running) < MOST_RUNNING and len(versions) < MOST_KEPT:
                actions += [("submit", 4, lambda: self.submit(client)), ("refresh", 3, lambda: self.refresh(client))]
            if running:
                actions.append(("cancel", 1, lambda: self.cancel(client, self.chance.choice(running))))
            if stopped := [version for version in versions if version.state in ("failed", "cancelled")]:
                actions.append(("retry", 3, lambda: self.retry(client, self.chance.choice(stopped))))
            if ended := [version for version in versions if version.ended and version.state != "deleting"]:
                actions.append(("read", 2, lambda: self.read(client, self.chance.choice(ended))))
                if len(versions) > MOST_KEPT // 2:
                    actions.append(("delete", 3, lambda: self.delete(client, self.chance.choice(ended))))
            names, weights, calls = zip(*actions, strict=True)
            number = self.chance.choices(range(len(names)), weights)[0]
            name = names[number]
            calls[number]()
            self.answers[f"{name} done"] += 1
        except httpx.TransportError:
            self.answers[f"{name} unanswered"] += 1
        except ServiceError as error:
            self.answers[f"{name} {error.status or 'unanswered'}"] += 1
            if (error.status or 0) >= 500 and error.status != 503:  # 503 says that something is away
                self.surprises.append(f"{self.name}, {name}: {error}")

    def submit(self, client: Client) -> None:
        self.accept(client.submit(spec(self.name, self.chance.choice(DATASETS), self.chance)))

    def refresh(self, client: Client) -> None:
        dataset = self.chance.choice(DATASETS)
        self.accept(client.refresh(dataset, spec(self.name, dataset, self.chance)))

    def accept(self, version: VersionView) -> None:
        self.accepted.add((version.dataset, version.number))

    def cancel(self, client: Client, version: VersionView) -> None:
        client.cancel(version.dataset, version.number)

    def retry(self, client: Client, version: VersionView) -> None:
        client.retry(version.dataset, version.number)

    def delete(self, client: Client, version: VersionView) -> None:
        self.deleted.add((version.dataset, version.number))  # before: the answer may be lost
        client.delete(version.dataset, version.number)

    def read(self, client: Client, version: VersionView) -> None:
        """One file of a version, by its digest; and its events, to their end."""
        if files := client.call("GET", f"/v1/datasets/{version.dataset}/versions/{version.number}/files"):
            file = self.chance.choice(files)
            path = f"/v1/datasets/{version.dataset}/versions/{version.number}/files/{file['path']}"
            data = client.http.get(path)
            if data.status_code == 200 and file["sha256"] not in (None, hashlib.sha256(data.content).hexdigest()):
                self.surprises.append(f"{self.name}: {path} is not what its manifest says")

    def recover(self, client: Client, seconds: float) -> None:
        """With nothing in the way any more: wait for what runs, and try again, once, what did not complete."""
        for retrying in (True, False):
            end = time.monotonic() + seconds
            while time.monotonic() < end and any(not v.ended or v.state == "deleting" for v in client.versions()):
                time.sleep(0.5)
            for version in client.versions() if retrying else ():
                if version.state in ("failed", "cancelled"):
                    client.retry(version.dataset, version.number)
