"""Peak memory of a job, of few images and of many: the batch, the shards on their way and the writer are bounded.

Each is measured in a process of its own, `python -m pipelines.experiments.engine.memory CHECKPOINT CAPACITY IMAGES`.
"""

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from pipelines.experiments.engine.timing import Measurement, Size
from pipelines.parallel import permanent
from pipelines.progress import Progress, Silent, quiet

STATUS = Path("/proc/self/status")


def peak() -> float:
    """The most memory that this process has held, MiB. Linux's getrusage begins with that of whoever started it."""
    if STATUS.exists() and (line := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())):
        return int(line[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # elsewhere in bytes


def generate(checkpoint: str, capacity: int, count: int) -> None:
    """A job of so many images, from the plan to stored shards, of one step each."""
    from pipelines.job import Job
    from pipelines.spec import Machine, parse
    from pipelines.store.object_store import Store
    from pipelines.vision.models import Models

    document = {
        "name": "memory",
        "source": {"type": "spurious", "train": 20, "validation": 8, "test": 8},
        "models": {"text_to_image": checkpoint},
        "method": {"type": "text_to_image", "steps": 1, "guidance": 1},
        "amount": {"total": count},
    }
    spec = parse(document)
    with tempfile.TemporaryDirectory() as folder:
        models = Models(spec.models, Machine(capacity=capacity))
        job = Job(spec, Store.open(folder), Silent(), models=models)
        reports = job.generate(range(job.plan.shards))
        assert sum(report["kept"] for report in reports) == count


def peak_memory(size: Size, progress: Progress) -> Measurement:
    """The peak of few images over that of many: 1 where memory does not grow."""
    stage, peaks = progress.stage("peak memory", sum(size.memory)), dict[str, float]()
    for count in size.memory:
        peaks[str(count)] = peak_of(size, count)
        stage(count)
    few, many = peaks.values()
    return Measurement({"peak_memory": few / many}, figures={"peak_memory_mib": peaks})


def peak_of(size: Size, count: int) -> float:
    """Of a process that runs a job of so many images."""
    command = [sys.executable, "-m", "pipelines.experiments.engine.memory"]
    arguments = [size.checkpoint, str(size.capacity), str(count)]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    with permanent():
        quiet()
    generate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(peak())
