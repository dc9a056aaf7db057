"""A service of real processes under faults at random, while tenants use it; then everything must be as it was promised.

python -m tests.chaos --faults 1000 --seed 0                  # SQLite and a local store; about 4 seconds a fault
python -m tests.chaos --faults 1000 --seed 0 --postgres --s3  # PostgreSQL, and an S3 server behind a faulty proxy

The same seed draws the same faults in the same order. Ends with status 1 at the first round that left anything wrong; the
folder with all logs is kept then.
"""

import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from service.client import Client
from service.state import api_keys
from tests.chaos.clients import Tenant
from tests.chaos.faults import draw, inject
from tests.chaos.invariants import violations
from tests.chaos.world import World, running

ROUND = 25  # faults, after which everything is checked
SETTLING = 180.0  # seconds within which everything must have ended, twice


def run_round(world: World, names: list[str], chance: Random, count: int) -> tuple[Counter[str], Counter[str], list[str]]:
    """So many faults while tenants are busy, and a rest; return faults, answers to tenants, and what is wrong."""
    secrets = {name: api_keys.create(world.deployment.database, "chaos", name, api_keys.SCOPES) for name in names}
    tenants = [Tenant(world, name, key, Random(f"{name} {chance.random()}")) for name, key in secrets.items()]
    for tenant in tenants:
        tenant.start()
    injected: Counter[str] = Counter()
    for number in range(count):
        faults, seconds = draw(world, chance)
        injected.update(fault.__name__ for fault in faults)
        print(f"  {number + 1:3d}  {seconds:.1f} s  {' and '.join(fault.__name__ for fault in faults)}", flush=True)
        inject(world, chance, faults, seconds)
        time.sleep(chance.uniform(0.2, 1.0))
    world.restore()
    for tenant in tenants:
        tenant.over.set()
    for tenant in tenants:
        tenant.join(120)
        with Client(world.url, tenant.key) as client:
            tenant.recover(client, SETTLING)
    answers: Counter[str] = sum((tenant.answers for tenant in tenants), Counter())
    wrong = [f"{tenant.name} waits for an answer for ever" for tenant in tenants if tenant.is_alive()]
    return injected, answers, [*wrong, *violations(world, tenants)]


def torment(folder: Path, faults: int, seed: int, *, workers: int, tenants: int, postgres: bool, s3: bool) -> list[str]:
    """Rounds of faults until there were so many or something is wrong; return what is."""
    chance, start, injected, answers = Random(seed), time.monotonic(), Counter[str](), Counter[str]()
    wrong: list[str] = []
    with running(folder, workers=workers, postgres=postgres, remote=s3) as world:
        for first in range(0, faults, ROUND):
            count = min(ROUND, faults - first)
            happened, given, wrong = run_round(world, [f"team-{n}" for n in range(tenants)], chance, count)
            injected, answers = injected + happened, answers + given
            print(f"{first + count} of {faults} faults, {time.monotonic() - start:.0f} s: {len(wrong)} wrong", flush=True)
            if wrong:
                break
    print("faults: " + ", ".join(f"{count} {name}" for name, count in injected.most_common()))
    print("answers: " + ", ".join(f"{count} {name}" for name, count in sorted(answers.items())))
    return wrong


def main(
    faults: Annotated[int, typer.Option(help="How many, one or two at once.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=4)] = 2,
    tenants: Annotated[int, typer.Option(help="Tenants.", min=1)] = 3,
    postgres: Annotated[bool, typer.Option("--postgres", help="PostgreSQL instead of SQLite.")] = False,
    s3: Annotated[bool, typer.Option("--s3", help="An S3 server instead of a folder.")] = False,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all processes end with this one
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    wrong = torment(folder, faults, seed, workers=workers, tenants=tenants, postgres=postgres, s3=s3)
    for line in wrong:
        print(f"WRONG  {line}")
    if wrong:
        print(f"seed {seed}; logs and state are in {folder}")
        raise typer.Exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    typer.run(main)
