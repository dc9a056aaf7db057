"""Twenty worlds with a planted shortcut, and ten without: is it the first suspect, and is anything suspected without one?

python -m tests.benchmarks.discovery
python -m tests.benchmarks.discovery --only blur
"""

import time

import typer

from pipelines.builtin.checkpoints import resolve
from pipelines.discovery.discover import discover
from pipelines.discovery.study import study
from pipelines.discovery.suspects import Discovery
from pipelines.progress import SILENT, quiet
from pipelines.spec import Classifier
from pipelines.spec.models import BUILTIN
from pipelines.vision.clip import Clip
from tests.discovery.worlds import CLEAN, PLANTED, World, source

CLASSIFIER = Classifier(steps=150, batch=32)


def discovered(world: World, clip: Clip) -> Discovery:
    looked = study(source(world), CLASSIFIER, SILENT, "cpu")
    return discover(looked, clip, SILENT, name=world.title, checkpoint=BUILTIN)[0]


def line(discovery: Discovery) -> str:
    """Each attribute by the fall in accuracy, with the standard errors of fall and association; suspects have a star."""
    return "  ".join(
        f"{'*' if one.suspected else ''}{one.attribute} {100 * one.fall:.0f} ({one.exchange_statistic:.0f}, "
        f"{one.association_statistic:.0f})"
        for one in discovery.suspects
    )


def main(only: str = "", verbose: bool = True) -> None:
    quiet()
    clip = Clip(resolve(BUILTIN, "clip"), "cpu")
    first = alarms = 0
    planted = [world for world in PLANTED if only in ("", world.attribute)]
    clean = [world for world in CLEAN if only in ("", "clean")]
    for world in (*planted, *clean):
        began = time.process_time()
        discovery = discovered(world, clip)
        named = [one.attribute for one in discovery.named]
        right = not named if world.clean else named[:1] == [world.attribute]
        first += right and not world.clean
        alarms += bool(named) and world.clean
        words = next((dict(one.words) for one in discovery.named if one.words), "")
        print(f"{'ok  ' if right else 'MISS'} {world.title}: {', '.join(named) or 'nothing'} {words}", flush=True)
        if verbose:
            seconds = time.process_time() - began
            print(f"       accuracy {100 * discovery.accuracy:.0f} %, {seconds:.0f} s; {line(discovery)}", flush=True)
    print(f"{first} of {len(planted)} planted shortcuts are the first suspect; {alarms} alarms in {len(clean)} clean worlds")


if __name__ == "__main__":
    typer.run(main)
