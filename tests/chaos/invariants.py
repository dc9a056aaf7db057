"""What must hold once all faults are over and everything had its time: each function yields what is wrong, in words."""

import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pyarrow.parquet as pq
from sqlalchemy import select

from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.plan import read_plan
from service.janitor import Janitor
from service.state import events, queue
from service.state.lifecycle import ENDED, PUBLISHED, STAGE_OF, STATE_OF, WORKER_KINDS
from service.state.tables import Unit, Version, now
from tests.chaos.clients import Tenant
from tests.chaos.world import World

Versions = dict[tuple[str, int], Version]  # of a tenant, by dataset and number
WORKING = frozenset(STAGE_OF) - {"deleting"}
GONE = "was to be refreshed, is not there"  # of a refresh whose base was deleted before it was tried again: rightly failed
LATER = ("manifest.json", "seconds.json", "evaluation", "report/", "diff.json")  # written after the manifest, so not in it
ORDER = ("queued", *STATE_OF.values(), "completed")


def violations(world: World, tenants: list[Tenant]) -> Iterator[str]:
    database = world.deployment.database
    with database.read() as session:
        versions = session.scalars(select(Version).order_by(Version.id)).all()
        leased = session.scalars(select(Unit).where(Unit.state == "leased", Unit.lease_until > now())).all()
    orphaned = [*orphans(world, tenants)]  # first: what the janitor removes must not be missed below
    for version in versions:
        where = f"{version.tenant}/{version.dataset}/v{version.number}"
        history = events.list_after(database, version.id, 0, 10_000)
        states = [event.data["state"] for event in history if event.kind == "state"]
        done = [(event.data["stage"], event.data["number"]) for event in history if event.kind == "unit"]
        for problem in (*ending(version), *path(version, states), *once(version, done)):
            yield f"{where}: {problem} (states: {', '.join(states)})"
        if version.state in PUBLISHED:
            for problem in contents(world.store(version.tenant), version):
                yield f"{where}: {problem}"
    for tenant in tenants:
        mine = {(version.dataset, version.number): version for version in versions if version.tenant == tenant.name}
        yield from (f"{tenant.name}: {lost} was accepted, and is not there" for lost in sorted(lost_versions(tenant, mine)))
        yield from (f"{tenant.name}: {problem}" for problem in foreign(world.store(tenant.name), tenant.name))
        yield from tenant.surprises
    yield from (f"unit {unit.id} ({unit.stage} {unit.number}) is leased to {unit.owner}" for unit in leased)
    yield from (f"the queue holds {count} units of {stage}" for stage, count in queue.depth(database).items())
    yield from orphaned
    yield from messages(world)


def ending(version: Version) -> Iterator[str]:
    """It has ended, and well: what failed or was cancelled has been tried again."""
    if version.state not in ENDED or version.state == "deleting":
        yield f"is still {version.state}"
    elif version.state == "cancelled" or (version.state == "failed" and GONE not in (version.error or "")):
        yield f"is {version.state} after it was tried again: {version.error}"


def path(version: Version, states: list[str]) -> Iterator[str]:
    """Its events lead to its state by steps that there are: forward, or to an end, and from an end only by a retry."""
    if states[:1] != ["queued"] or states[-1] != version.state:
        yield f"is {version.state}, and its events do not say so"
    for before, after in pairwise(states):
        forward = before in WORKING and (after in ENDED or after == "cancelling" or later(before, after))
        stopped = before == "cancelling" and after in ("cancelled", "failed", "completed", "held")
        again = before in ("cancelled", "failed") and after in STATE_OF.values()
        if not (forward or stopped or again or (before, after) == ("held", "completed") or after == "deleting"):
            yield f"went from {before} to {after}"


def later(before: str, after: str) -> bool:
    return after in ORDER and ORDER.index(after) > ORDER.index(before)


def once(version: Version, done: list[tuple[str, int]]) -> Iterator[str]:
    """Each of its units was done, once."""
    yield from (f"{stage} {number} was done {n} times" for (stage, number), n in Counter(done).items() if n > 1)
    if version.state in PUBLISHED:
        counts = Counter(stage for stage, _ in done)
        expected = {"plan": 1, **{stage: count for stage, count in version.unit_counts.items() if count}}
        if counts != expected:
            yield f"units done are {dict(counts)}, of {expected}"


def contents(store: Store, version: Version) -> Iterator[str]:
    """Each file is as its manifest says, and each planned sample is there once. Its spec has no filters."""
    root = keys.version(version.dataset, version.number)
    plan = read_plan(store, root)
    if plan is None or not store.exists(keys.manifest(root)):
        yield "is published without plan or manifest"
        return
    manifest = store.json(keys.manifest(root))
    data = []
    for file in manifest["files"]:
        key = file.get("key", f"{root}/{file['path']}")
        content = store.get(key) if store.exists(key) else None
        if content is None or (len(content), hashlib.sha256(content).hexdigest()) != (file["size"], file["sha256"]):
            yield f"{key} is {'missing' if content is None else 'not what the manifest says'}"
        elif file["path"].startswith("data/"):
            data += pq.read_table(io.BytesIO(content), columns=["index", "prompt"]).to_pylist()
    indices = Counter(row["index"] for row in data)
    planned = set(range(plan.first, plan.first + plan.planned))
    if missing := planned - set(indices):
        yield f"samples {sorted(missing)} are planned, and not there"
    yield from (f"sample {index} is there {n} times" for index, n in indices.items() if n > 1)
    if len(indices) != plan.planned + plan.carried_samples:
        yield f"{len(indices)} samples, of {plan.planned} planned and {plan.carried_samples} carried"
    if strangers := {row["prompt"] for row in data if not row["prompt"].endswith(f" for {version.tenant}")}:
        yield f"has samples of others: {strangers}"


def lost_versions(tenant: Tenant, there: Versions) -> set[tuple[str, int]]:
    """Those that were promised, but for deleted ones and refreshes that changed nothing, whose numbers are given again."""
    latest = {dataset: max((n for name, n in there if name == dataset), default=0) for dataset, _ in tenant.accepted}
    return {key for key in tenant.accepted - tenant.deleted - set(there) if key[1] <= latest[key[0]]}


def foreign(store: Store, tenant: str) -> Iterator[str]:
    """Nothing of another's lies in a tenant's part of the store. (What lies there of no version: `orphans`.)"""
    for dataset in store.folders("datasets"):
        for folder in store.folders(f"datasets/{dataset}"):
            key = keys.spec(f"datasets/{dataset}/{folder}")
            if store.exists(key) and f" for {tenant}" not in store.json(key)["method"]["templates"][0]:
                yield f"{key} is of another tenant"


def orphans(world: World, tenants: list[Tenant]) -> Iterator[str]:
    """Files that nothing refers to, once the janitor was there: of versions that are gone, and beside published ones."""
    clean(world)
    with world.deployment.database.read() as session:
        versions = session.scalars(select(Version)).all()
    for tenant in tenants:
        store, mine = world.store(tenant.name), [v for v in versions if v.tenant == tenant.name]
        roots = {keys.version(v.dataset, v.number): v.state in PUBLISHED for v in mine}
        named = {key for root, published in roots.items() for key in named_keys(store, root, published=published)}
        for key in store.keys("datasets"):
            root = "/".join(key.split("/")[:3])
            if key not in named and roots.get(root, True) and not key.startswith(tuple(f"{root}/{name}" for name in LATER)):
                yield f"{tenant.name}/{key} is of no version"


def named_keys(store: Store, root: str, *, published: bool) -> Iterator[str]:
    """The keys of a version's manifest, or those that its plan carries."""
    if published:
        yield from (file.get("key", f"{root}/{file['path']}") for file in store.json(keys.manifest(root))["files"])
    if plan := read_plan(store, root):
        yield from (part.key for part in plan.carried)


def clean(world: World) -> None:
    """The janitor's work, with nothing too young for it."""
    settings = world.deployment.settings.model_copy(update={"orphan_hours": 0})
    Janitor(settings, world.deployment.database).run()


def messages(world: World, seconds: float = 30) -> Iterator[str]:
    """Workers read all messages of the broker."""
    client, end = world.deployment.broker.client(), time.monotonic() + seconds
    while counts := {kind: length for kind in WORKER_KINDS if (length := client.llen(kind))}:
        if time.monotonic() > end:
            yield f"the broker holds messages that nobody reads: {counts}"
            return
        time.sleep(0.5)
