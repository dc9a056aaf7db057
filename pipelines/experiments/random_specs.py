"""Specs drawn at random: the methods of the benchmarks on built-in sources of every kind, some with shuffled labels."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import PIL.Image

from pipelines.experiments.benchmarks import FILTERS, QUICK, SHORTCUTS, Method, benchmarks
from pipelines.records import Examples
from pipelines.source.open import open_source
from pipelines.source.splits import SPLITS
from pipelines.spec import SourceSpec, VersionSpec, parse
from pipelines.spec.arms import BASELINE, VERSION
from pipelines.store.canonical import digest

HELD_OUT = {"validation": 96, "test": 240}  # images of an evaluation
SHUFFLED = "shuffled_"  # begins the names of sources whose training and validation images have each other's labels
FEW = {"type": "few-shot", "shots": 8, **HELD_OUT}
FREE = {"type": "few-shot", "classes": ["boot", "sneaker"], "scenes": ["grass", "brick"], "shots": 60, **HELD_OUT}
TAIL = {"type": "long-tail", "head": 40, "imbalance": 20, **HELD_OUT}
LEANING = {name: {"type": "spurious", "train": 160, **HELD_OUT, **source} for name, source in SHORTCUTS.items()}
SOURCES: Mapping[str, Mapping[str, Any]] = {
    "few_shot": FEW,
    "long_tail": TAIL,
    "shortcut_free": FREE,
    **LEANING,
    f"{SHUFFLED}few_shot": FEW,
    f"{SHUFFLED}long_tail": TAIL,
    f"{SHUFFLED}shortcut_free": FREE,
    f"{SHUFFLED}boot_sneaker": LEANING["boot_sneaker"],
}
AMOUNTS, GAMMAS = (10, 30), (1, 4)  # images a class, and their weight


@dataclass(frozen=True, slots=True)
class RandomSpec:
    """A method and a source that were drawn."""

    source: str  # of `SOURCES`
    method: str  # a row of the benchmarks
    spec: VersionSpec
    world: SourceSpec  # the built-in source, labelled right


def methods_of(source: str) -> dict[str, Method]:
    """The rows of every benchmark whose classes are those of a source: ten garments of the long tail, or shoes."""
    tail = source.endswith("long_tail")
    rows = [known.methods for name, known in benchmarks(QUICK).items() if (name == "long_tail") == tail]
    return {name: method for methods in rows for name, method in methods.items()}


def of_classes(method: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """A spec's method, whose words by class are those of these classes alone."""
    by_class = {name: method[name] for name in ("superclass", "names") if isinstance(method.get(name), dict)}
    own = {name: {label: word for label, word in words.items() if label in classes} for name, words in by_class.items()}
    return {**method, **own}


def draw(seed: int, count: int, out: Path) -> Iterator[RandomSpec]:
    """As many specs. Every kind of source comes as often as any other, and so does every method on what it can be used on.
    Sources with shuffled labels are written below `out`, unless they are there."""
    chance, used, kinds = Random(seed), Counter[str](), list[str]()
    for number in range(count):
        if not kinds:
            kinds = chance.sample(list(SOURCES), len(SOURCES))
        source = kinds.pop()
        candidates = methods_of(source)
        method = min(candidates, key=lambda name: (used[name], chance.random()))
        used[method] += 1
        fields = candidates[method]
        evaluation = {"gamma": chance.choice(GAMMAS), **fields.get("evaluation", {}), "arms": [BASELINE, VERSION]}
        document = {
            "name": f"harm-{seed}-{number:02}-{source}-{method}".replace("_", "-")[:60],
            "filters": chance.choice([[], FILTERS]),
            "amount": {"per_class": chance.choice(AMOUNTS)},
            "classifier": {"steps": QUICK.shortcut_steps},
            **fields,
            "source": {**SOURCES[source], "seed": number},
            "evaluation": evaluation,
            "seed": number,
        }
        world = parse(document).source
        document["method"] = of_classes(fields["method"], open_source(world).classes)
        spec = parse(document)
        if source.startswith(SHUFFLED):
            folder = out / "sources" / digest(world.model_dump(mode="json"))
            write_shuffled(world, folder, number)
            spec = parse({**document, "source": {"type": "folder", "path": str(folder.resolve())}})
        yield RandomSpec(source, method, spec, world)


def write_shuffled(world: SourceSpec, folder: Path, seed: int) -> None:
    """The images of a built-in source as a folder, in which training and validation images have each other's labels, and
    test images their own."""
    if folder.exists():
        return
    source, part = open_source(world), folder.with_suffix(".part")
    for split in SPLITS:
        items = source.splits[split]
        labels = [item.label for item in items]
        if split != "test":
            Random(f"{seed} {split}").shuffle(labels)
        for number, (item, label) in enumerate(zip(items, labels, strict=True)):
            file = part / split / label / f"{number:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(source.read(item)).save(file)
    part.rename(folder)


def fresh_test(drawn: RandomSpec, count: int) -> Examples:
    """Real images of a built-in source that no split of the spec's holds, labelled right: of every class and scene as many.
    Groups are told where the spec's source tells them."""
    source = open_source(drawn.world)
    kinds = [(item.label, item.group) for item in source.splits["reserve"]]
    quota, counted, chosen = -(-count // len(set(kinds))), Counter[tuple[str, str | None]](), []
    for kind, item in zip(kinds, source.splits["reserve"], strict=True):
        counted[kind] += 1
        if counted[kind] <= quota:
            chosen.append(item)
    groups = [None if drawn.source.startswith(SHUFFLED) else item.group for item in chosen]
    return Examples([source.read(item) for item in chosen], [item.label for item in chosen], groups)
