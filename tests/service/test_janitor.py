"""What the janitor removes, and what it leaves: of rows in both databases and of a real store, what is due alone. 6 s."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, insert, select, update

from pipelines.store import keys
from pipelines.store.artifacts import Artifacts, use
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version.plan import Carried, Plan
from service.janitor import Janitor
from service.settings import Settings
from service.state import deletions, leases, retention, versions
from service.state.database import Database
from service.state.idempotency import IdempotentRequest
from service.state.tables import Dataset, Delivery, Event, IdempotencyKey, Unit, Upload, Version, Webhook, now
from tests.service.state.units import take

DAY = 86400


@pytest.fixture
def janitor(database: Database, tmp_path: Path) -> Janitor:
    return Janitor(Settings(state_dir=tmp_path), database)


@pytest.fixture
def store(janitor: Janitor) -> Store:
    return Store.open(f"{janitor.settings.store}/team")


def put(store: Store, key: str, data: bytes = b"{}", *, days: float = 2) -> None:
    """An object that was written so many days ago."""
    store.put(key, data)
    age(store, key, days)


def age(store: Store, key: str, days: float) -> None:
    written = time.time() - days * DAY
    os.utime(Path(str(store.objects.prefix)) / key, (written, written))  # type: ignore[union-attr]


def completed(database: Database, report: dict[str, Any] | None = None, key: str | None = None, **spec: Any) -> int:
    """A version that has done nothing but learn."""
    request = IdempotentRequest.of(key, spec)
    version = versions.create(database, "team", "shoes", {"name": "shoes", **spec}, request)
    leases.complete(database, take(database), {}, {"learn": 1})
    leases.complete(database, take(database), report or {})
    return version


def shift(database: Database, version: int, days: float) -> None:
    """Make a version and its events older."""
    with database.write() as session:
        row = session.get_one(Version, version)
        row.entered = {state: at - days * DAY for state, at in row.entered.items()}
        session.execute(update(Event).where(Event.version_id == version).values(at=Event.at - days * DAY))


def counted(database: Database, table: Any, *criteria: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*criteria)) or 0


def removed(kind: str, name: str = "removed") -> float:
    return REGISTRY.get_sample_value(f"counterpoise_janitor_{name}_total", {"kind": kind}) or 0.0


def test_rows_go_by_age_and_only_those_that_are_due(
    janitor: Janitor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS", 2)  # so that it takes several transactions
    old, recent = completed(database, key="old"), completed(database, key="recent")
    running = versions.create(database, "team", "shoes", {"name": "shoes"})
    for version, days in ((old, 91), (recent, 6), (running, 91)):
        shift(database, version, days)
    events = {version: counted(database, Event, Event.version_id == version) for version in (old, recent, running)}
    with database.write() as session:
        session.execute(insert(Webhook).values(id=1, tenant="team", url="https://a", secret="s", created=0))
        for state, days in (("delivered", 31), ("abandoned", 31), ("pending", 31), ("delivered", 29)):
            values = {"webhook_id": 1, "payload": {}, "at": 0, "state": state, "not_before": now() - days * DAY}
            session.execute(insert(Delivery).values(values))
        for ended in (now() - 91 * DAY, now() - 89 * DAY, None):
            upload = {"tenant": "team", "source": "birds", "key": "uploads/a", "size": 1, "allow_synthetic": False}
            session.execute(insert(Upload).values(**upload, created=0, ended=ended))
    before = removed("events")
    janitor.run()
    assert removed("events") - before == events[old] > 2
    assert {version: counted(database, Event, Event.version_id == version) for version in (old, recent, running)} == {
        old: 0, recent: events[recent], running: events[running],
    }  # fmt: skip
    with database.read() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["recent"]
        assert session.scalars(select(Delivery.state).order_by(Delivery.id)).all() == ["pending", "delivered"]
    assert counted(database, Upload) == 2
    janitor.run()
    assert removed("events") - before == events[old]


def test_what_is_kept_for_ever_stays(janitor: Janitor, database: Database, store: Store) -> None:
    names = ("keep_events_days", "keep_deliveries_days", "keep_idempotency_days", "keep_artifacts_days")
    janitor.settings = janitor.settings.model_copy(update=dict.fromkeys(names, 0))
    shift(database, completed(database, key="old"), 1000)
    put(store, "concepts/token/a/curve.json", days=1000)
    events = counted(database, Event)
    janitor.run()
    assert (counted(database, Event), counted(database, IdempotencyKey)) == (events, 1)
    assert store.exists("concepts/token/a/curve.json")


def sent(store: Store, name: str, digest: str, *images: str, days: float = 2) -> None:
    """A state of a source, as an upload leaves it; it is the newest."""
    for sha256 in images:
        put(store, keys.blob(sha256), b"image", days=days)
    put(store, keys.index(name, digest), canonical({"items": [{"sha256": image} for image in images]}), days=days)
    put(store, f"sources/{name}/{digest}.summary.json", days=days)
    put(store, keys.newest(name), canonical({"digest": digest}), days=days)


def images(store: Store) -> set[str]:
    return {key.rpartition("/")[2] for key in store.keys("blobs")}


def states(store: Store, name: str = "birds") -> set[str]:
    return {key.rpartition("/")[2] for key in store.keys(f"sources/{name}")}


def test_states_of_a_source_go_that_are_neither_the_newest_nor_a_versions_and_images_with_the_last(
    janitor: Janitor, database: Database, store: Store
) -> None:
    completed(database, source={"type": "uploaded", "name": "birds", "digest": "first"})
    sent(store, "birds", "first", "aa1", "aa2")
    sent(store, "birds", "second", "aa2", "bb1", "cc1")
    sent(store, "cats", "only", "cc1")
    put(store, keys.blob("dd1"), days=0.5)  # of an upload that may just be read
    put(store, keys.blob("dd2"))
    sent(store, "birds", "third", "aa3", days=0.5)
    janitor.run()
    assert {f"{state}.json" for state in ("first", "second", "third", "newest")} < states(store)  # replaced today
    assert images(store) == {"aa1", "aa2", "aa3", "bb1", "cc1", "dd1"}
    age(store, keys.newest("birds"), 2)
    janitor.run()
    kept = {f"{state}{kind}" for state in ("first", "third") for kind in (".json", ".summary.json")}
    assert states(store) == kept | {"newest.json"}
    assert images(store) == {"aa1", "aa2", "aa3", "cc1", "dd1"}
    assert states(store, "cats") == {"only.json", "only.summary.json", "newest.json"}


def test_nothing_of_a_source_goes_while_an_upload_is_read_and_its_archive_afterwards(
    janitor: Janitor, database: Database, store: Store
) -> None:
    completed(database)
    sent(store, "birds", "first", "aa1")
    sent(store, "birds", "second", "aa2")
    put(store, "uploads/read")
    put(store, "uploads/unknown")
    put(store, "uploads/new", days=0.1)
    with database.write() as session:
        values = {"tenant": "team", "source": "birds", "key": "uploads/read", "size": 1, "allow_synthetic": False}
        session.execute(insert(Upload).values(**values, state="reading", created=now()))
    janitor.run()
    assert (images(store), "first.json" in states(store)) == ({"aa1", "aa2"}, True)
    assert store.keys("uploads") == ["uploads/new", "uploads/read"]
    with database.write() as session:
        session.execute(update(Upload).values(state="done", ended=now()))
    janitor.run()
    assert (images(store), "first.json" in states(store)) == ({"aa2"}, False)
    assert store.keys("uploads") == ["uploads/new"]


def test_an_upload_that_begins_meanwhile_stops_it(
    janitor: Janitor, database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(database)
    put(store, keys.blob("aa1"))
    scan = Store.scan

    def sending(self: Store, prefix: str) -> Any:
        if prefix == "blobs":
            with database.write() as session:
                values = {"tenant": "team", "source": "birds", "key": "uploads/a", "size": 1, "allow_synthetic": False}
                session.execute(insert(Upload).values(**values, state="done", created=now(), ended=now()))
        return scan(self, prefix)

    monkeypatch.setattr(Store, "scan", sending)
    janitor.run()
    assert images(store) == {"aa1"}
    monkeypatch.undo()
    janitor.run()
    assert images(store) == set()


def published(store: Store, number: int, *carried: str, days: float = 2) -> str:
    root = keys.version("shoes", number)
    parts = tuple(Carried(key, (0, 1, 1), {"boot": 1}) for key in carried)
    put(store, keys.plan(root), canonical(Plan("", "", (), 1, carried=parts).as_json()), days=days)
    put(store, f"{root}/data/a.parquet", days=days)
    put(store, f"{root}/data/b.f2.parquet", days=days)
    files = [
        {"path": "plan.json"},
        {"path": "data/a.parquet"},
        {"path": "data/b.parquet", "key": f"{root}/data/b.f2.parquet"},
    ]
    put(store, keys.manifest(root), canonical({"files": files}), days=days)
    return root


def test_files_of_versions_that_are_gone_and_of_writers_that_were_lost_go(
    janitor: Janitor, database: Database, store: Store
) -> None:
    first, second = completed(database), completed(database)
    one, two = published(store, 1), published(store, 2, f"{keys.version('shoes', 1)}/data/a.parquet")
    running = versions.create(database, "team", "shoes", {"name": "shoes"})
    deletions.begin(database, first)
    with database.write() as session:
        session.delete(session.get_one(Version, first))  # its files are there still, as if nothing had been removed
    later = ("evaluation.json", "evaluation/erm-0.json", "report/summary.json", "diff.json", "seconds.json")
    for file in (*later, "data/b.f1.parquet", "reports/00000.f1.json"):
        put(store, f"{two}/{file}")
    put(store, f"{two}/data/b.f3.parquet", days=0.9)
    put(store, f"{keys.version('shoes', 3)}/data/x.parquet")  # of a version on its way
    put(store, f"{keys.version('shoes', 9)}/data/x.parquet")  # of a number that this database has not given
    put(store, f"{keys.version('hats', 1)}/manifest.json")  # of a dataset that it does not know
    janitor.run()
    assert store.keys(one) == [f"{one}/data/a.parquet"]
    files = {key.removeprefix(f"{two}/") for key in store.keys(two)}
    own = {"plan.json", "manifest.json", "data/a.parquet", "data/b.f2.parquet"}
    assert files == {*own, *later, "data/b.f3.parquet"}
    assert len(store.keys(keys.version("shoes", 3))) == len(store.keys(keys.version("shoes", 9))) == 1
    assert len(store.keys("datasets/hats")) == 1
    assert janitor.settled == set()  # it was published just now
    shift(database, second, 3)
    age(store, f"{two}/data/b.f3.parquet", 2)
    janitor.run()
    assert janitor.settled == {second}
    assert not store.exists(f"{two}/data/b.f3.parquet")
    assert versions.get(database, running) is not None


def test_after_a_whole_dataset_was_removed_nothing_stays(janitor: Janitor, database: Database, store: Store) -> None:
    completed(database)
    root = published(store, 1)
    deletions.begin_all(database, "team", "shoes")
    deletions.complete(database, take(database))
    put(store, f"{root}/late.json", days=0.5)  # by a worker that had lost its lease
    janitor.run()
    assert store.keys("datasets") == [f"{root}/late.json"]
    age(store, f"{root}/late.json", 2)
    janitor.run()
    assert store.keys("datasets") == []
    assert counted(database, Dataset) == 1


def test_a_database_that_was_lost_costs_no_files(janitor: Janitor, store: Store) -> None:
    published(store, 1, days=1000)
    sent(store, "birds", "first", "aa1", days=1000)
    put(store, "concepts/token/a/curve.json", days=1000)
    before = store.keys("")
    janitor.run()
    assert store.keys("") == before


def test_what_was_learned_goes_when_no_version_names_it_and_none_has_used_it_for_long(
    janitor: Janitor, database: Database, store: Store
) -> None:
    completed(database, {"artifacts": ["concepts/token/named/learned_embeds.safetensors"]})
    for name in ("named", "unused", "used"):
        for file in ("learned_embeds.safetensors", "curve.json"):
            put(store, f"concepts/token/{name}/{file}", days=91)
    put(store, "concepts/lora/young/progress.safetensors", days=89)
    Artifacts(store).at("token", "used", "curve.json").get("curve.json")
    janitor.run()
    folders = {key.split("/")[2] for key in store.keys("concepts")}
    assert folders == {"named", "used", "young"}
    assert len(store.keys("concepts/token/used")) == 2
    with database.write() as session:
        session.execute(update(Unit).values(report={}))
    janitor.run()
    assert {key.split("/")[2] for key in store.keys("concepts")} == {"used", "young"}


def test_indexes_of_sources_go_when_they_were_not_used_for_long(janitor: Janitor, database: Database, store: Store) -> None:
    completed(database)
    for state, days in (("unused", 91), ("used", 91), ("young", 89)):
        put(store, keys.source_index("shoes", state), days=days)
    use(store, keys.source_index("shoes", "used"))
    janitor.run()
    assert [key.rpartition("/")[2] for key in store.keys("indexes")] == ["used.parquet", "young.parquet"]


def test_a_step_that_fails_keeps_none_of_the_others_from_theirs(
    janitor: Janitor, database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(database)
    put(store, keys.blob("aa1"))
    put(store, "concepts/token/a/curve.json", days=91)
    delete_all, before = Store.delete_all, removed("artifacts", "removed_bytes")

    def broken(self: Store, keys: list[str]) -> None:
        if keys and keys[0].startswith("blobs/"):
            raise OSError("the disk is away")
        delete_all(self, keys)

    monkeypatch.setattr(Store, "delete_all", broken)
    janitor.run()
    assert (images(store), store.keys("concepts")) == ({"aa1"}, [])
    assert removed("artifacts", "removed_bytes") - before == 2
    monkeypatch.undo()
    janitor.run()
    assert images(store) == set()


def test_several_at_a_time_do_what_one_does(janitor: Janitor, database: Database, store: Store) -> None:
    shift(database, completed(database, key="old"), 91)
    published(store, 1)
    for number in range(50):
        put(store, keys.blob(f"{number:02x}"))
        put(store, f"{keys.version('shoes', 1)}/data/lost-{number}.parquet")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: Janitor(janitor.settings, database).run(), range(3)))
    assert (images(store), counted(database, Event), counted(database, IdempotencyKey)) == (set(), 0, 0)
    assert len(store.keys(keys.version("shoes", 1))) == 4
