"""How fast the console's grid of samples is, with as many samples as wanted:

python -m tests.benchmarks.console 1000000

The rows are made for the purpose: every shard holds the same thousand. Times are of whole pages, in one process.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import structlog
from fastapi.testclient import TestClient

from pipelines.quality.projection import POINTS
from pipelines.report.embedding_map import FILE, EmbeddingMap, encode
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version.plan import Plan, Quota, read_plan
from pipelines.version.rows import write_table
from pipelines.version.score_order import write_orders
from service.api.app import create_app
from service.settings import Settings
from service.state import versions
from service.tenants import open_store
from tests.service.calls import SPEC
from tests.service.console.browsing import Browser
from tests.service.console.samples import CLASSES, publish_samples, row

SHARD = 1000
REPETITIONS = 20
QUERIES = {
    "the first page": "",
    "the last part": "part={parts}",
    "kept": "verdict=kept",
    "dropped of a class": "label=boot&verdict=dropped",
    "of a group": "group=on+brick",
    "for a reason": "reason=quality",
    "for a reason that none has": "reason=attribution",
    "by a score": "score=quality.contrast&least=0.05&most=0.06",
    "by a score that none has": "score=quality.contrast&least=99",
    "sorted by a score": "score=quality.contrast&order=ascending",
    "sorted, from the other end": "score=quality.contrast&order=descending",
    "sorted, dropped of a class": "score=quality.contrast&order=descending&label=boot&verdict=dropped",
    "sorted, for a reason none has": "score=quality.contrast&order=ascending&reason=attribution",
    "in a region of the map": "region=0,0,500,0,500,500,0,500",
    "kept ones of a class in it": "region=0,0,500,0,500,500,0,500&verdict=kept&label=boot",
}


def write(folder: Path, samples: int) -> TestClient:
    """A version of so many samples, each dropped once and kept once, and the application that displays it."""
    app = create_app(Settings(state_dir=folder, broker_url="redis://127.0.0.1:1/0", auth=False))
    context = app.state.context
    versions.create(context.database, "default", "shoes", SPEC)
    store, root, shards = open_store(context.settings, "default"), keys.version("shoes", 1), samples // SHARD
    quotas = tuple(Quota(label, "boot", samples // 2) for label in CLASSES)
    store.put(keys.plan(root), canonical(Plan(spec="0", source="0", quotas=quotas, shard_size=SHARD).as_json()))
    kept, dropped = (write_table([row(i, attempt, attempt == 1) for i in range(SHARD)], CLASSES) for attempt in (1, 0))
    for number in range(shards):
        store.put(keys.data(root, number, shards), kept)
        store.put(keys.rejected(root, number, shards), dropped)
        store.put(keys.report(root, number), canonical({}))
    publish_samples(store, "shoes", 1)
    plan = read_plan(store, root)
    assert plan is not None
    start = time.perf_counter()
    write_orders(store, root, plan)
    print(f"the orders of all scores, made once: {time.perf_counter() - start:.0f} s")
    store.put(keys.report_file(root, FILE), drawn(shards))
    return TestClient(app)


def drawn(shards: int) -> bytes:
    """A map of samples of all shards, anywhere on it."""
    rng = np.random.default_rng(0)
    numbers = rng.permutation(shards * SHARD)[:POINTS]
    count, kinds = len(numbers), rng.choice(["kept", "dropped"], len(numbers))
    places, labels = np.stack(np.divmod(numbers, SHARD), axis=1), np.full(count, "boot")
    points = rng.uniform(0, 1000, (count, 2)).astype(np.float32)
    shape = EmbeddingMap(kinds, numbers.astype(str), labels, places, points, {})
    return encode(shape, rng.normal(size=(count, 512)).astype(np.float16))


def main(samples: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    folder = Path(tempfile.mkdtemp())
    try:
        with write(folder, samples) as client:
            Browser(client).open("/console")
            for name, query in QUERIES.items():
                path = f"/console/datasets/shoes/versions/1/samples?{query.format(parts=2 * samples // SHARD)}"
                seconds = []
                for _ in range(REPETITIONS):
                    start = time.perf_counter()
                    assert client.get(path).status_code == 200
                    seconds.append(time.perf_counter() - start)
                high = statistics.quantiles(seconds, n=20)[-1]
                print(f"{name:28} {1000 * statistics.median(seconds):5.0f} ms, 95th percentile {1000 * high:5.0f} ms")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
