"""What each method is worth: on few shots, on a long tail, and on a shortcut, beside what costs less and what nothing beats.

Every method makes as many images for the same classifier. A run can be stopped and started again, as any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import paths
from pipelines.builtin.world import COLOURS, SCENES, place
from pipelines.errors import SpecError
from pipelines.progress import Progress
from pipelines.run import run
from pipelines.spec import VersionSpec, parse
from pipelines.store import Store, canonical

SHOTS = (1, 2, 4, 8, 16)
# Arms that are trained beside the first method, by their names in an evaluation.
BASELINES = {"erm": "real_only", "classical": "classical", "retrieved": "retrieved", "real_balanced": "real_full"}
FIRST = "text_to_image"
TOKENS = {"superclass": "shoe", "inversion": {"images": 40, "steps": 200}}
WORDS = {
    "templates": ["a photo of a {colour} {} {scene}"],
    "words": {"colour": list(COLOURS), "scene": [place(scene) for scene in SCENES]},
}
PLAIN = {"type": "text_to_image", "steps": 15}
SHOWN = {"type": "augmented_conditioning", "mix": "embed_mixup", "dropout": 0.2, "steps": 15, "guidance": 2}
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
        "classifier": {"steps": 200},
        "evaluation": {"gamma": 1},
    }
    methods = {
        FIRST: {"method": PLAIN},
        "tokens": {"method": {**PLAIN, **TOKENS, **WORDS}},
        "lora": {"method": {**PLAIN, "lora": {"steps": 200, "learning_rate": 2e-3, "batch": 16}}},
        "image_variation": {"method": {"type": "image_variation", **TOKENS, "guidance": 3, "steps": 15}},
        "augmented_conditioning": {"method": SHOWN},
        "augmented_conditioning_tokens": {"method": {**SHOWN, **TOKENS}},
    }
    return Benchmark("average", common, methods)


def long_tail() -> Benchmark:
    common = {
        "source": {"type": "long-tail"},
        "amount": {"balance": "classes"},
        "evaluation": {"gamma": 1, "recipe": "balanced_softmax"},
    }
    methods = {
        FIRST: {"method": PLAIN},
        "words": {"method": {**PLAIN, **WORDS}},
        "image_variation": {"method": {"type": "image_variation", "guidance": 3, "steps": 15}},
        "augmented_conditioning": {"method": SHOWN},
    }
    return Benchmark("average", common, methods, sizes=True)


def spurious() -> Benchmark:
    common = {"source": {"type": "spurious"}, "amount": {"per_class": 300}}
    heads = [
        *FILTERS,
        {"type": "label_agreement", "view": "object", "max_origin": 0.5, "min_target": 0.5},
        {"type": "attribution"},
    ]
    repaint = {"type": "spurious_removal", **TOKENS, "objects": "both", "strength": 0.87, "guidance": 3, "steps": 15}
    methods: dict[str, dict[str, Any]] = {
        FIRST: {"method": PLAIN},
        "tokens": {"method": {**PLAIN, **TOKENS, **WORDS}},
        "image_variation": {"method": {"type": "image_variation", **TOKENS, "guidance": 3, "steps": 15}},
        "augmented_conditioning": {"method": SHOWN},
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


def closed(arms: Mapping[str, Any]) -> dict[str, float]:
    """The share of the gap between `real_only` and `real_full` that each other arm closes."""
    low, high = arms["real_only"]["mean"], arms["real_full"]["mean"]
    if high <= low:
        return {}
    between = {arm: found["mean"] for arm, found in arms.items() if arm not in ("real_only", "real_full")}
    return {arm: (mean - low) / (high - low) for arm, mean in between.items()}


def bench(names: list[str], seeds: list[int], out: Path, progress: Progress) -> dict[str, Any]:
    """Run benchmarks; return `results[benchmark][arm]`, and write a table and a contact sheet a method into `out`."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise SpecError(f"--only: benchmark {unknown[0]!r} does not exist; there are {', '.join(BENCHMARKS)}")
    store = Store.open(out)
    results: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}
    for name in names:
        benchmark = BENCHMARKS[name]
        found: dict[str, Any] = {}
        for method in benchmark.methods:
            summary = run(spec_of(name, method, seeds), out, progress)
            seconds[name] = round(seconds.get(name, 0.0) + summary["seconds"]["total"], 1)
            arms = summary["arms"]
            found |= {BASELINES[arm]: figures(arms[arm], benchmark) for arm in BASELINES if arm in arms}
            found[method] = figures(arms["counterpoise"], benchmark)
            sheet = paths.figure(paths.version(summary["name"], 1), "samples.png")
            if store.exists(sheet):
                store.put(f"{method}.png", store.get(sheet))
        results[name] = found
        progress.say(f"{name}: { ({arm: round(each['mean'], 3) for arm, each in found.items()}) }")
    report = {"results": results, "gap_closed": {name: closed(arms) for name, arms in results.items()}, "seconds": seconds}
    store.put("results.json", canonical(report))
    store.put("table.md", table(results).encode())
    return report


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Mean and spread of every arm on every benchmark, in percent, as Markdown."""
    arms = list(dict.fromkeys(arm for found in results.values() for arm in found))
    arms.sort(key=lambda arm: (arm == "real_full", arm not in BASELINES.values()))
    lines = ["| | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for arm in arms:
        cells = [found.get(arm) for found in results.values()]
        said = ["" if c is None else f"{100 * c['mean']:.1f} ± {100 * c['std']:.1f}" for c in cells]
        lines.append(f"| `{arm}` | " + " | ".join(said) + " |")
    return "\n".join(lines) + "\n"
