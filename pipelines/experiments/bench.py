"""What each method is worth: on few shots, on a long tail, and on a shortcut, beside what costs less and what nothing beats.

Every method makes as many images for the same classifier, once for each seed: of other source images, other generation and
other training. A run can be stopped and started again, as any other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import CounterpoiseError, SpecError
from pipelines.experiments import pace
from pipelines.experiments.benchmarks import FIRST, FULL, SHOTS, Benchmark, Size, benchmarks, spec_of
from pipelines.experiments.claims import judged
from pipelines.experiments.same_images import begin_with_images
from pipelines.experiments.tables import Results, gaps_closed, overall, sheet, tables
from pipelines.progress import Progress
from pipelines.run import run
from pipelines.spec import VersionSpec
from pipelines.spec.arms import VERSION
from pipelines.spec.base import quantity
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.training.metrics import summary


def figures(runs: Sequence[Mapping[str, Any]], benchmark: Benchmark) -> dict[str, Any]:
    """Of an arm's evaluations, one for each seed: its metric, and accuracy by size of class where that is of interest."""
    result: dict[str, Any] = summary([run[benchmark.metric]["mean"] for run in runs])
    if benchmark.sizes:
        result["shots"] = {size: summary([run["shots"][size]["mean"] for run in runs]) for size in runs[0]["shots"]}
    return result


def run_benchmark(
    name: str, benchmark: Benchmark, seeds: Sequence[int], out: Path, progress: Progress, suffix: str
) -> tuple[Results, float]:
    """The figures of every arm, and the seconds it took. A method that fails has no row, but the first, whose baselines all
    others are compared with."""
    store, seconds, results = Store.open(out), 0.0, dict[str, Any]()
    made: list[tuple[VersionSpec, int]] = []
    for method in benchmark.methods:
        summaries = []
        try:
            for spec in (spec_of(name, benchmark, method, seed, suffix) for seed in seeds):
                begin_with_images(store, spec, made)
                summaries.append(run(spec, out, progress))
                made.append((spec, summaries[-1]["version"]))
        except CounterpoiseError as error:
            if method == FIRST:
                raise
            progress.say(f"{name}, {method}: no row, {error}")
            continue
        seconds += sum(one["seconds"]["total"] for one in summaries)
        for arm in (*benchmark.baselines.get(method, ()), VERSION):
            row = method if arm == VERSION else arm
            results[row] = figures([one["arms"][arm] for one in summaries], benchmark)
        store.put(f"{name}-{method}.png", sheet(store, keys.version(summaries[0]["name"], summaries[0]["version"])))
    return results, seconds


def expected(names: Sequence[str], seeds: Sequence[int], out: Path, size: Size) -> str:
    """How long it will take, in words."""
    chosen = {name: benchmarks(size)[name] for name in names}
    specs = [spec_of(n, b, method, seed, size.suffix) for n, b in chosen.items() for seed in seeds for method in b.methods]
    seconds = pace.estimate(specs, pace.measure(next(s for s in specs if s.method.inversion is None), Store.open(out)))
    minutes = quantity(max(1, round(seconds / 60)), "minute")
    versions = quantity(len(specs), "version")
    return f"{versions}: about {minutes} at this machine's pace of now, less for what was done before."


def bench(names: Sequence[str], seeds: Sequence[int], out: Path, progress: Progress, size: Size = FULL) -> dict[str, Any]:
    """Run benchmarks; return `results[benchmark][arm]` and what is said of them. Tables and figures are written into `out`
    after each benchmark, and a contact sheet after each method."""
    known = benchmarks(size)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SpecError(f"--only: benchmark {unknown[0]!r} does not exist; there are {', '.join(known)}")
    store = Store.open(out)
    progress.say(expected(names, seeds, out, size))
    results: dict[str, Results] = {}
    seconds: dict[str, float] = {}
    report: dict[str, Any] = {}
    for name in names:
        results[name], spent = run_benchmark(name, known[name], seeds, out, progress, size.suffix)
        seconds[name] = round(spent, 1)
        progress.say(f"{name}: { ({arm: round(figure['mean'], 3) for arm, figure in results[name].items()}) }")
        report = write_report(results, seconds, store)
    return report


def write_report(results: dict[str, Results], seconds: Mapping[str, float], store: Store) -> dict[str, Any]:
    """Store the figures and tables of what was run so far; return the figures."""
    if all(f"few_shot_{shots}" in results for shots in SHOTS):
        results = {"few_shot": overall(results), **results}
    report = {
        "results": results,
        "gap_closed": {name: gaps_closed(arms) for name, arms in results.items()},
        "claims": {name: judged(arms) for name, arms in results.items()},
        "seconds": seconds,
    }
    store.put("results.json", canonical(report))
    store.put("table.md", tables(results).encode())
    return report
