"""What each method is worth: on few shots, on a long tail, and on a shortcut, beside what costs less and what nothing beats.

Every method makes as many images for the same classifier. A run can be stopped and started again, as any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from pipelines.builtin.world import COLOURS, SCENES, place
from pipelines.errors import SpecError
from pipelines.progress import Progress
from pipelines.records import Image
from pipelines.report.figures import contact_sheet
from pipelines.run import run
from pipelines.source.decode import decode
from pipelines.spec import VersionSpec, parse
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.training.metrics import SIZES, summary
from pipelines.version.plan import read_plan
from pipelines.version.rows import read_shards

SHOTS = (1, 2, 4, 8, 16)
ACROSS = 8  # images a row, and so a class, of a contact sheet
# Arms that are trained beside the first method, by their names in an evaluation.
BASELINES = {"erm": "real_only", "classical": "classical", "retrieved": "retrieved", "real_balanced": "real_full"}
FIRST = "text_to_image"
Results = Mapping[str, Any]  # of a benchmark: the figures of each arm
SHOE_TOKENS = {"images": 40, "steps": 200, "batch": 8}
TOKENS = {"superclass": "shoe", "inversion": SHOE_TOKENS}
WORDS = {
    "templates": ["a photo of a {colour} {} {scene}"],
    "words": {"colour": list(COLOURS), "scene": [place(scene) for scene in SCENES]},
}
PLAIN = {"type": "text_to_image", "steps": 10}
VARIED = {"type": "image_variation", "steps": 10, "guidance": 3}
SHOWN = {"type": "augmented_conditioning", "mix": "embed_mixup", "dropout": 0.2, "steps": 10, "guidance": 2}
FILTERS = [{"type": "quality"}, {"type": "near_duplicate"}]


@dataclass(frozen=True, slots=True)
class Benchmark:
    metric: str  # of an arm's accuracies: "average" or "worst_group"
    common: Mapping[str, Any]  # what every spec of it says
    methods: Mapping[str, Mapping[str, Any]]  # what is said of each method beside; the first is unfiltered
    sizes: bool = False  # whether accuracy by the classes' size is of interest


def few_shot(shots: int) -> Benchmark:
    common = {
        "source": {"type": "few-shot", "shots": shots},
        "amount": {"per_class": 60},
        "classifier": {"steps": 150},
        "evaluation": {"gamma": 1},
    }
    methods = {
        FIRST: {"method": PLAIN},
        "tokens": {"method": {**PLAIN, **TOKENS, **WORDS}},
        "image_variation": {"method": {**VARIED, **TOKENS, **WORDS}},
        "augmented_conditioning": {"method": {**SHOWN, **TOKENS, **WORDS}},
    }
    if shots == 8:  # what costs more than it brings; and what was published, by our defaults
        methods["lora"] = {"method": {**PLAIN, **WORDS, "lora": {"steps": 200, "learning_rate": 2e-3, "batch": 16}}}
        methods["image_variation_paper"] = {"method": {"type": "image_variation", **TOKENS}}
        methods["augmented_conditioning_paper"] = {"method": {"type": "augmented_conditioning"}}
    return Benchmark("average", common, methods)


def long_tail() -> Benchmark:
    common = {
        "source": {"type": "long-tail", "head": 120},
        "amount": {"balance": "classes"},
        "classifier": {"steps": 300},
        "evaluation": {"gamma": 1, "recipe": "balanced_softmax"},
    }
    # The fine names of shoes are no words of the model.
    shoes = {"superclass": dict.fromkeys(("sandal", "sneaker", "boot"), "shoe"), "inversion": SHOE_TOKENS}
    methods = {
        FIRST: {"method": PLAIN},
        "tokens": {"method": {**PLAIN, **shoes, **WORDS}},
        "image_variation": {"method": {**VARIED, **shoes, **WORDS}},
        "augmented_conditioning": {"method": {**SHOWN, **shoes, **WORDS}},
    }
    return Benchmark("average", common, methods, sizes=True)


def spurious() -> Benchmark:
    common = {"source": {"type": "spurious"}, "amount": {"per_class": 300}}
    heads = [
        *FILTERS,
        {"type": "label_agreement", "view": "object", "max_origin": 0.5, "min_target": 0.5},
        {"type": "attribution"},
    ]
    tokens = {"superclass": "shoe", "inversion": {**SHOE_TOKENS, "batch": 16}}
    repaint = {"type": "spurious_removal", **tokens, "objects": "both", "strength": 0.87, "guidance": 3, "steps": 15}
    methods: dict[str, dict[str, Any]] = {
        FIRST: {"method": PLAIN},
        "tokens": {"method": {**PLAIN, **tokens, **WORDS}},
        "image_variation": {"method": {**VARIED, **tokens, **WORDS}},
        "augmented_conditioning": {"method": {**SHOWN, **tokens, **WORDS}},
        "spurious_removal": {"method": repaint, "filters": heads, "max_attempts": 6},
    }
    return Benchmark("worst_group", common, methods)


BENCHMARKS: dict[str, Benchmark] = {
    **{f"few_shot_{shots}": few_shot(shots) for shots in SHOTS},
    "long_tail": long_tail(),
    "spurious": spurious(),
}


def spec_of(name: str, method: str, seeds: list[int]) -> VersionSpec:
    """The spec of one method on one benchmark; the first has the baselines to be trained, too."""
    benchmark = BENCHMARKS[name]
    first = method == FIRST
    evaluation = {
        **benchmark.common.get("evaluation", {}),
        "arms": [*BASELINES, "counterpoise"] if first else ["counterpoise"],
        "seeds": seeds,
    }
    return parse(
        {
            "name": f"{name}-{method}".replace("_", "-"),
            "filters": [] if first else FILTERS,
            **benchmark.common,
            **benchmark.methods[method],
            "evaluation": evaluation,
        }
    )


def figures(arm: Mapping[str, Any], benchmark: Benchmark) -> dict[str, Any]:
    """What is said of an arm: its metric, and accuracy by size of class where that is of interest."""
    return {**arm[benchmark.metric], **({"shots": arm["shots"]} if benchmark.sizes else {})}


def closed(arms: Results) -> dict[str, float]:
    """The share of the gap between `real_only` and `real_full` that each other arm closes."""
    low, high = arms["real_only"]["mean"], arms["real_full"]["mean"]
    if high <= low:
        return {}
    between = {arm: found["mean"] for arm, found in arms.items() if arm not in ("real_only", "real_full")}
    return {arm: (mean - low) / (high - low) for arm, mean in between.items()}


def overall(results: Mapping[str, Results]) -> dict[str, Any]:
    """Every arm of few shots, each seed averaged over the numbers of shots."""
    found = [results[f"few_shot_{shots}"] for shots in SHOTS]
    arms = [arm for arm in found[0] if all(arm in each for each in found)]
    seeds = {arm: zip(*(each[arm]["values"] for each in found), strict=True) for arm in arms}
    return {arm: summary([mean(values) for values in each]) for arm, each in seeds.items()}


def sheet(store: Store, root: str) -> bytes:
    """A row of a version's images for each class, evenly spread over those that were kept."""
    plan = read_plan(store, root)
    assert plan is not None
    labels: dict[int, list[Image]] = {}
    for row in read_shards(store, root, plan):
        labels.setdefault(row["label"], []).append(decode(row["image"], allow_synthetic=True))
    rows = [images[:: max(1, len(images) // ACROSS)][:ACROSS] for _, images in sorted(labels.items())]
    return contact_sheet([image for row in rows for image in row], ACROSS)


def bench(names: list[str], seeds: list[int], out: Path, progress: Progress) -> dict[str, Any]:
    """Run benchmarks; return `results[benchmark][arm]`, and write a table and a contact sheet a method into `out`."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise SpecError(f"--only: benchmark {unknown[0]!r} does not exist; there are {', '.join(BENCHMARKS)}")
    store = Store.open(out)
    results: dict[str, Results] = {}
    seconds: dict[str, float] = {}
    for name in names:
        benchmark = BENCHMARKS[name]
        found: dict[str, Any] = {}
        for method in benchmark.methods:
            made = run(spec_of(name, method, seeds), out, progress)
            seconds[name] = round(seconds.get(name, 0.0) + made["seconds"]["total"], 1)
            arms = made["arms"]
            found |= {BASELINES[arm]: figures(arms[arm], benchmark) for arm in BASELINES if arm in arms}
            found[method] = figures(arms["counterpoise"], benchmark)
            store.put(f"{name}-{method}.png", sheet(store, keys.version(made["name"], 1)))
        results[name] = found
        progress.say(f"{name}: { ({arm: round(each['mean'], 3) for arm, each in found.items()}) }")
    if all(f"few_shot_{shots}" in results for shots in SHOTS):
        results = {"few_shot": overall(results), **results}
    report = {"results": results, "gap_closed": {name: closed(arms) for name, arms in results.items()}, "seconds": seconds}
    store.put("results.json", canonical(report))
    store.put("table.md", "\n".join(table(part) for part in (whole(results), parts(results)) if part).encode())
    return report


def whole(results: Mapping[str, Results]) -> dict[str, Results]:
    """The benchmarks; of few shots, all numbers of them together where all were run."""
    return {name: found for name, found in results.items() if "few_shot" not in results or not name.startswith("few_shot_")}


def parts(results: Mapping[str, Results]) -> dict[str, Results]:
    """What they are made of: each number of shots, and the classes of each size."""
    found = {name: each for name, each in results.items() if name not in whole(results)}
    for name, arms in results.items():
        sizes = [size for size in SIZES if all(size in arm.get("shots", {}) for arm in arms.values())]
        found |= {f"{name}, {size}": {arm: each["shots"][size] for arm, each in arms.items()} for size in sizes}
    return found


def table(results: Mapping[str, Results]) -> str:
    """Mean and spread of every arm on every benchmark, in percent, and the share of the gap closed, as Markdown."""
    arms = list(dict.fromkeys(arm for found in results.values() for arm in found))
    arms.sort(key=lambda arm: (arm == "real_full", arm not in BASELINES.values()))
    lines = ["| | " + " | ".join(f"`{name}`" for name in results) + " |", "|---|" + "---:|" * len(results)]
    columns = []
    for found in results.values():
        gap = closed(found)
        best = max(gap, key=lambda arm: gap[arm], default=None)
        columns.append({arm: said(each, gap.get(arm), bold=arm == best) for arm, each in found.items()})
    lines += [f"| `{arm}` | " + " | ".join(column.get(arm, "") for column in columns) + " |" for arm in arms]
    return "\n".join(lines) + "\n"


def said(figure: Mapping[str, Any], gap: float | None = None, *, bold: bool = False) -> str:
    words = f"{100 * figure['mean']:.1f} ± {100 * figure['std']:.1f}"
    if gap is not None:
        words += f" ({100 * gap:.0f} %)"
    return f"**{words}**" if bold else words
