"""With what rank correlation forecasts predict real gains: `python -m tests.benchmarks.forecast --json out.json`.

Of each spec: the forecast, from 64 images; then the version, and its evaluation with three seeds beside real images alone.
It can be stopped and started again: what stands in the file is not done twice.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import spearmanr

from pipelines.evaluation.evaluator import Evaluator
from pipelines.experiments.ablation import candidates
from pipelines.job import Job
from pipelines.progress import SILENT
from pipelines.quality.forecast import IMAGES, forecast
from pipelines.spec import Models as ModelSpec
from pipelines.spec import VersionSpec
from pipelines.spec.arms import BASELINE, VERSION
from pipelines.store.object_store import Store
from pipelines.version.preview import Preview
from pipelines.version.rows import read_shards
from pipelines.vision.models import Models
from tests.benchmarks.forecast_specs import SEEDS, specs

METRICS = ("average", "worst_group")
REDRAWS = 2000  # of specs, for the interval of a rank correlation
Row = dict[str, Any]


def accuracies(evaluator: Evaluator, arm: str) -> dict[str, list[float]]:
    """Of an arm, by metric, one for each seed. Trained one at a time, in this process."""
    for seed in SEEDS:
        evaluator.train([(arm, seed)])
    return {metric: [evaluator.result(arm, seed)[metric] for seed in SEEDS] for metric in METRICS}


def preview_of(job: Job) -> Preview:
    """The preview of a version that was generated: its images are among the version's, and need not be made twice."""
    resources, plan = job.resources, job.plan
    count = min(IMAGES, plan.planned)
    indices = {number * plan.planned // count for number in range(count)}
    every = [row for part in (False, True) for row in read_shards(job.store, resources.root, plan, rejected=part)]
    some = sorted((row for row in every if row["index"] in indices), key=lambda row: int(row["index"]))
    return Preview(candidates(resources, some), learned=True, resources=resources, planned=plan.planned, seconds=0.0)


def measure(spec: VersionSpec, store: Store, models: Models, real: Any) -> Row:
    """The forecast of a spec, and its accuracies. `real` are those of real images alone, where they are known."""
    job = Job(spec, store, SILENT, models=models)
    job.generate(range(job.plan.written_shards))
    job.finalize()
    outlook = forecast(preview_of(job)).as_json()
    assert job.evaluator is not None
    before = real or accuracies(job.evaluator, BASELINE)
    return {"forecast": outlook, "before": before, "after": accuracies(job.evaluator, VERSION)}


def gains(rows: Sequence[Row], metric: str) -> list[float]:
    """Of every spec, the mean over its seeds."""
    return [float(np.mean(row["after"][metric]) - np.mean(row["before"][metric])) for row in rows]


def predictions(rows: Sequence[Row], metric: str) -> dict[str, list[float]]:
    """What a forecast says that might predict the gain, by name; the first is what it is for."""
    outlooks = [row["forecast"] for row in rows]
    probe = [outlook[metric]["after"] - outlook[metric]["before"] for outlook in outlooks]
    return {"gain": probe, **{name: [o[name] for o in outlooks] for name in ("label_agreement", "precision", "density")}}


def correlation(predicted: Sequence[float], true: Sequence[float]) -> dict[str, float]:
    """Spearman's, with its 95 % interval over redraws of the specs."""
    pairs, rng = np.array([predicted, true]), np.random.default_rng(0)
    redrawn = (pairs[:, rng.integers(len(true), size=len(true))] for _ in range(REDRAWS))
    values = [spearmanr(*redraw).statistic for redraw in redrawn if (redraw.std(axis=1) > 0).all()]
    low, high = np.quantile(values, (0.025, 0.975))
    return {"rank_correlation": float(spearmanr(*pairs).statistic), "low": float(low), "high": float(high)}


def directions(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Of each direction that was forecast: how many specs, and how many of them gained on average."""
    true, result = gains(rows, "average"), dict[str, list[int]]()
    for row, gain in zip(rows, true, strict=True):
        count = result.setdefault(row["forecast"]["direction"], [0, 0])
        result[row["forecast"]["direction"]] = [count[0] + 1, count[1] + (gain > 0)]
    return result


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    by_metric = {
        metric: {name: correlation(values, gains(rows, metric)) for name, values in predictions(rows, metric).items()}
        for metric in METRICS
    }
    harmful = sum(gain < 0 for gain in gains(rows, "average"))
    return {"specs": len(rows), "harmful": harmful, **by_metric, "directions": directions(rows)}


def main(
    json_file: Annotated[Path, typer.Option("--json", help="File for the results, written after each spec.")],
    out: Annotated[Path, typer.Option(help="Folder for the versions.")] = Path("forecast-out"),
) -> None:
    rows: list[Row] = json.loads(json_file.read_text())["rows"] if json_file.exists() else []
    store, models = Store.open(out), Models(ModelSpec())
    known = {(row["world"], row["method"]) for row in rows}
    for (world, method), spec in specs().items():
        if (world, method) in known:
            continue
        real = next((row["before"] for row in rows if row["world"] == world), None)
        rows.append({"world": world, "method": method, **measure(spec, store, models, real)})
        json_file.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        predicted, gain = predictions(rows[-1:], "average")["gain"][0], gains(rows[-1:], "average")[0]
        print(f"{world}, {method}: forecast {100 * predicted:+.1f} points, gain {100 * gain:+.1f}", flush=True)
    result = summary(rows)
    json_file.write_text(json.dumps({"summary": result, "rows": rows}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    typer.run(main)
