"""What work that is not done saves: seconds of a kept image without each saving, and with it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pipelines.experiments.engine.jobs import Jobs, run
from pipelines.experiments.engine.timing import Measurement, Size, alternate, ratio
from pipelines.job import Job
from pipelines.progress import Progress
from pipelines.spec import VersionSpec, parse

# Changes of the spec's method. Each is measured alone, then all of them together.
SAVINGS: Mapping[str, Mapping[str, Any]] = {
    "solver": {"solver": "dpmsolver++", "steps": 0.6},  # steps as a share of those without
    "guidance_interval": {"guidance_interval": (0.0, 0.7)},
}


def kept_seconds_saving(size: Size, progress: Progress) -> Measurement:
    """Seconds of a kept image without a saving, over those with it: an image that is dropped costs what it took."""
    every = {key: value for changes in SAVINGS.values() for key, value in changes.items()}
    kept, rounds = dict[str, int](), dict[str, list[float]]()
    with Jobs.repainting(size) as jobs:
        specs = {name: saving(jobs.spec, changes) for name, changes in {"none": {}, **SAVINGS, "all": every}.items()}

        def generate(name: str, job: Job) -> None:
            kept[name] = run(job)["kept"]

        run(jobs.ready())  # what is loaded on first use is loaded
        stage = progress.stage("savings", size.rounds * len(specs))
        for number in range(size.rounds):
            names = list(specs)[:: -1 if number % 2 else 1]
            arms = {name: partial(generate, name, jobs.ready(specs[name])) for name in names}
            for name, (seconds,) in alternate(arms, 1, stage).items():
                rounds.setdefault(name, []).append(seconds / max(1, kept[name]))
    ratios = {f"kept_seconds_saving.{name}": ratio(rounds["none"], rounds[name]) for name in (*SAVINGS, "all")}
    return Measurement(ratios, {f"seconds_a_kept_image.{name}": values for name, values in rounds.items()}, {"kept": kept})


def saving(spec: VersionSpec, changes: Mapping[str, Any]) -> VersionSpec:
    """The spec with its method changed."""
    document = spec.model_dump(mode="json")
    changes = {key: round(value * spec.method.steps) if key == "steps" else value for key, value in changes.items()}
    return parse({**document, "method": {**document["method"], **changes}})
