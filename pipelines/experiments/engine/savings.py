"""What work that is not done saves, and what it costs: seconds of a kept image, and the accuracy of the worst group of a
classifier that is trained on the version, without each saving and with it."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pipelines.experiments.engine.jobs import ATTEMPTS, REPAINT, Jobs, run
from pipelines.experiments.engine.timing import Measurement, Size, ratio
from pipelines.progress import Progress
from pipelines.spec import VersionSpec, parse
from pipelines.spec.arms import VERSION

# Changes of the spec. Each is measured alone, then all of them together.
SAVINGS: Mapping[str, Mapping[str, Any]] = {
    "solver": {"method": {"solver": "dpmsolver++", "steps": 0.25}},  # steps as a share of those without
    "guidance_interval": {"method": {"guidance_interval": (0.0, 0.7)}},
    "cache_interval": {"method": {"cache_interval": 2}},
    "early_verdict": {"early_verdict": {"at": 0.4, "loss": 0.05, "images": 60}},
    "filter_order": {"filter_order": "measured"},
}
EVERY = "all"
FILTERS = [
    {"type": "quality"},
    {"type": "near_duplicate"},
    {"type": "label_agreement", "view": "object", "max_origin": 0.5, "min_target": 0.5},
    {"type": "attribution"},
]  # those of the example of spurious_removal


def kept_seconds_saving(size: Size, progress: Progress) -> Measurement:
    """Seconds of a kept image without a saving, over those with it: an image that is dropped costs what it took. And the
    worst group's accuracy with it, over that without less its spread: 1 or more where the difference is within that.

    A round is a seed of the version and of its classifier, the same in all arms.
    """
    arms = {"none": dict[str, Any](), **SAVINGS, EVERY: joined(SAVINGS)}
    seconds, accuracy = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    kept: defaultdict[str, list[int]] = defaultdict(list)
    stage = progress.stage("savings", size.rounds * len(arms))
    with tempfile.TemporaryDirectory() as folder:
        jobs = versions(size, Path(folder))
        run(jobs.ready())  # what is loaded on first use is loaded
        for number in range(size.rounds):
            for name in list(arms)[:: -1 if number % 2 else 1]:
                job = jobs.ready(saving(jobs.spec, arms[name], number))
                began = time.perf_counter()
                counts = run(job)
                seconds[name].append((time.perf_counter() - began) / max(1, counts["kept"]))
                kept[name].append(counts["kept"])
                accuracy[name].append(job.evaluate()["arms"][VERSION]["worst_group"]["mean"])
                stage(1)
    spread = stdev(accuracy["none"]) if size.rounds > 1 else 0.0
    least = max(0.01, mean(accuracy["none"]) - spread)
    ratios = {f"kept_seconds_saving.{name}": ratio(seconds["none"], seconds[name]) for name in list(arms)[1:]}
    held = {f"kept_seconds_saving.worst_group.{name}": mean(accuracy[name]) / least for name in list(arms)[1:]}
    figures = {"kept": dict(kept), "worst_group": dict(accuracy), "worst_group_spread": spread}
    return Measurement(
        {**ratios, **held},
        {f"seconds_a_kept_image.{name}": values for name, values in seconds.items()},
        {"savings": figures},
    )


def versions(size: Size, folder: Path) -> Jobs:
    """Those of a source whose classifier leans on the background, with the filters of the example, and evaluated."""
    method = {**REPAINT, "steps": size.steps, "inversion": {"images": 40, "steps": size.learning, "batch": 8}}
    planned, train, held_out = size.version
    return Jobs(
        size, folder, {**method, "objects": "both", "region": "box", "majority": train // 3}, planned,
        source={"type": "spurious", "train": train, "validation": held_out, "test": held_out},
        classifier={"steps": size.training}, filters=FILTERS, max_attempts=ATTEMPTS,
        evaluation={"arms": [VERSION], "seeds": [0]},
    )  # fmt: skip


def joined(savings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All changes in one."""
    every: dict[str, Any] = {}
    for changes in savings.values():
        for part, values in changes.items():
            every[part] = {**every.get(part, {}), **values} if isinstance(values, Mapping) else values
    return every


def saving(spec: VersionSpec, changes: Mapping[str, Any], seed: int = 0) -> VersionSpec:
    """The spec with these changes, and another seed for version and classifier."""
    document = spec.model_dump(mode="json")
    for part, values in changes.items():
        if isinstance(values, Mapping):
            values = {key: round(value * spec.method.steps) if key == "steps" else value for key, value in values.items()}
            values = {**(document[part] or {}), **values}
        document[part] = values
    document["evaluation"] = document["evaluation"] and {**document["evaluation"], "seeds": [seed]}
    return parse({**document, "seed": seed})
