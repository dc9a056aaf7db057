"""A version's plan: put right while nothing was made, never changed afterwards."""

from pathlib import Path

import pytest

from pipelines.errors import StoreError
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.store import keys
from pipelines.store.canonical import canonical, digest
from pipelines.store.object_store import Store
from tests.builders import spec


def test_a_spec_that_proved_wrong_can_be_put_right_until_something_was_made(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for count in (2, 3):
        root = Job(spec(amount={"per_class": count}), store, Silent()).resources.root
        planned = Job(spec(amount={"per_class": count}), store, Silent()).plan.planned
        assert store.json(keys.plan(root))["planned"] == planned == 2 * count
    store.put(keys.report(root, 0), b"{}")
    assert Job(spec(amount={"per_class": 3}), store, Silent()).plan.planned == 6
    with pytest.raises(StoreError, match="A version never changes"):
        Job(spec(amount={"per_class": 4}), store, Silent()).plan  # noqa: B018


def test_a_version_that_an_older_release_began_is_gone_on_with(tmp_path: Path) -> None:
    """Its spec lacks what has come since, and means the same."""
    store, wanted = Store.open(tmp_path), spec(evaluation={"arms": ["erm"]})
    root = Job(wanted, store, Silent()).resources.root
    Job(wanted, store, Silent()).plan  # noqa: B018  (stored on first use)
    older, plan = store.json(keys.spec(root)), store.json(keys.plan(root))
    del older["evaluation"]["checkpoint"]
    store.put(keys.spec(root), canonical(older))
    store.put(keys.plan(root), canonical({**plan, "spec": digest(older)}))
    store.put(keys.report(root, 0), b"{}")
    assert Job(wanted, store, Silent()).plan.spec == digest(older)
    assert store.json(keys.spec(root)) == older
