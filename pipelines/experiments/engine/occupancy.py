"""How full the engine's batch is while a job drops half of its images, which come back as further attempts."""

import tempfile
from pathlib import Path
from unittest.mock import patch

from pipelines.engine.batch import Batch
from pipelines.experiments.engine.jobs import Jobs, engine_of, run
from pipelines.experiments.engine.timing import Measurement, Size
from pipelines.progress import Progress

DROPPED = 0.5  # share of the images
ATTEMPTS = 3  # the spec's default: the more there are, the longer the last ones run in a batch that empties
METHOD = {"type": "image_variation", "steps": 4, "guidance": 1}  # of 1 to 4 steps, by strength


def occupancy(size: Size, progress: Progress) -> Measurement:
    """Rows in the batch over its places, in all ticks of the job."""
    stage, rows = progress.stage("occupancy", size.stream), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        planned = round(size.stream / sum(DROPPED**attempt for attempt in range(ATTEMPTS)))
        job = Jobs(size, Path(folder), METHOD, planned, max_attempts=ATTEMPTS).ready(dropping=DROPPED)
        engine = engine_of(job)
        tick = engine.tick

        def counted(batch: Batch) -> None:
            rows.append(len(batch))
            tick(batch)
            stage(sum(not steps for steps in batch.steps))

        with patch.object(engine, "tick", counted):
            counts = run(job)
    share = sum(rows) / (size.capacity * len(rows))
    return Measurement(
        {"occupancy": share}, figures={"occupancy": {**counts, "ticks": len(rows), "full": rows.count(size.capacity)}}
    )
