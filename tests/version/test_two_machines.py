"""Two workers with different floating point finish one version: what one has learned, the other uses. Twenty seconds.

The other's networks are noisy: their outputs differ by a thousandth, more than between any two cards.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.filters.clip_score import ClipScore
from pipelines.filters.label_agreement import LabelAgreement
from pipelines.filters.near_duplicate import NearDuplicate
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Image
from pipelines.spec import Machine
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import read_plan
from pipelines.vision.classifier import Classifier
from pipelines.vision.clip import Clip
from pipelines.vision.models import Models
from pipelines.vision.segmentation import ClipSeg
from tests.builders import spec

NOISE = 1e-3  # relative
SPEC: dict[str, Any] = {
    "models": {},
    "method": {
        "type": "spurious_removal",
        "superclass": "shoe",
        "inversion": {"images": 9, "vectors": 1, "steps": 1, "batch": 2},
        "majority": 8,
        "steps": 2,
    },
    "amount": {"per_class": 4},
    "filters": [
        {"type": "quality", "calibrate": 0.9},
        {"type": "near_duplicate", "calibrate": 0.9, "similarity": 0.9},
        {"type": "label_agreement", "calibrate": 0.9},
        {"type": "clip_score", "classes": "images", "calibrate": 0.9},
    ],
    "shard_size": 4,
    "max_attempts": 1,
    "evaluation": {"arms": ["erm", "counterpoise"], "seeds": [0]},
}


def noisy(outputs: Tensor) -> Tensor:
    return outputs * (1 + NOISE * torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0)))


def perturb(patch: pytest.MonkeyPatch) -> None:
    """Judges, segmenter and CLIP as another card would compute them."""
    judge, segmenter, clip = Classifier.forward, ClipSeg.probabilities, Clip.embed_images

    def embed(self: Clip, images: Sequence[Image]) -> Tensor:
        return torch.nn.functional.normalize(noisy(clip(self, images)), dim=1)

    patch.setattr(Classifier, "forward", lambda self, pictures: noisy(judge(self, pictures)))
    patch.setattr(ClipSeg, "probabilities", lambda self, images, word: noisy(segmenter(self, images, word)))
    patch.setattr(Clip, "embed_images", embed)


def worker(folder: Path, fence: int, **changes: Any) -> Job:
    """A process that begins to work on the version."""
    job = Job(spec(**{**SPEC, **changes}), Store.open(folder), Silent())
    job.resources.fence = fence
    return job


def decided(job: Job) -> dict[str, Any]:
    """What the source's numbers have decided."""
    near, agreement, clip = (job.panel.filters[name] for name in ("near_duplicate", "label_agreement", "clip_score"))
    assert isinstance(near, NearDuplicate)
    assert isinstance(agreement, LabelAgreement)
    assert isinstance(clip, ClipScore)
    masks = {item.id: None if mask is None else mask.tobytes() for items in job.method.majority.values()  # type: ignore[attr-defined]
             for item, mask in zip(items, job.resources.view.object_masks(items, "shoe"), strict=True)}  # fmt: skip
    return {
        "ranking": job.resources.ranking,
        "tokens": {label: token.key for label, token in job.method.concepts.tokens.learned.items()},
        "masks": masks,
        "limits": near.limits,
        "max_origin": agreement.max_origin,
        "min_target": agreement.min_target,
        "prototypes": clip.classes.tolist(),
        "min_share": clip.min_share,
    }


def test_two_workers_with_different_floating_point_finish_one_version(tmp_path: Path) -> None:
    learner = worker(tmp_path / "store", 1)
    learner.learn()
    here = decided(learner)
    with pytest.MonkeyPatch.context() as patch:
        perturb(patch)
        alone = worker(tmp_path / "alone", 2)
        alone.learn()
        other = worker(tmp_path / "store", 2)
        other.generate([0])
        there, elsewhere = decided(other), decided(alone)
    assert [name for name in here if here[name] == elsewhere[name]] == [], "the noise is to be felt everywhere"
    assert there == here
    assert other.resources.artifacts.used == {}, "nothing was looked for by its facts"
    assert not {"segmenter", "clip"} - set(learner.resources.models.loaded)
    assert "segmenter" not in other.resources.models.loaded, "nothing was segmented again"
    assert other.resources.artifacts.keys == learner.resources.artifacts.keys
    learner.generate([1])
    with pytest.MonkeyPatch.context() as patch:
        perturb(patch)
        last = worker(tmp_path / "store", 3)
        counts = last.finalize()["counts"]
        evaluation = last.evaluate()
    assert set(evaluation["arms"]) == {"erm", "counterpoise"}
    store, root = last.store, last.resources.root
    plan = read_plan(store, root)
    assert plan is not None
    samples = [row for rejected in (False, True) for row in rows.read_shards(store, root, plan, rejected=rejected)]
    assert sorted(row["index"] for row in samples) == list(range(plan.planned)) == list(range(counts["generated"]))
    assert {(row["label"], row["concept"]) for row in samples} == {
        (number, here["tokens"][label]) for number, label in enumerate(last.resources.source.classes)
    }


def test_of_two_that_learn_the_second_goes_on_with_what_the_first_has_recorded(tmp_path: Path) -> None:
    """It has begun before there was a record, and what they could have shared is gone."""
    first, second = worker(tmp_path, 1, filters=[]), worker(tmp_path, 2, filters=[])
    assert second.resources.artifacts.recorded == {}
    first.learn()
    tokens = {label: token.key for label, token in first.method.concepts.tokens.learned.items()}
    for kind in ("ranking", "masks", "classifier"):
        first.store.delete_all(first.store.keys(f"concepts/{kind}"))
    record = first.store.get(keys.learned(first.resources.root))
    with pytest.MonkeyPatch.context() as patch:
        perturb(patch)
        second.learn()
        assert len(second.store.folders("concepts/token")) > len(tokens), "it has learned others"
        assert {label: token.key for label, token in second.method.concepts.tokens.learned.items()} == tokens
    assert second.store.get(keys.learned(second.resources.root)) == record
    assert set(tokens.values()) < {
        key.replace("curve.json", "learned_embeds.safetensors") for key in json.loads(record).values()
    }


def test_a_worker_without_a_gpu_finalizes_what_was_asked_for_on_one(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """By an old spec, which names the device; and by a worker whose own device is not there."""
    old = {
        "schema_version": 1,
        "models": {"text_to_image": str(tiny_checkpoint), "device": "cuda"},
        "method": {"type": "text_to_image", "steps": 1},
        "filters": [],
        "evaluation": None,
    }
    made = worker(tmp_path, 1, **old)
    made.learn()
    made.generate([0, 1])
    skipped = [{"id": "train/boot/empty.png", "reason": "no shoe found"}]
    made.store.put(keys.skipped(made.resources.root), canonical(skipped))
    last = Job(spec(**{**SPEC, **old}), made.store, Silent(), models=Models(made.spec.models, Machine(device="cuda")))
    last.resources.fence = 2
    manifest = last.finalize()
    assert manifest["counts"]["kept"] == made.plan.planned
    assert last.resources.loaded == []
    assert "source image skipped: no shoe found" in made.store.get(keys.card(last.resources.root)).decode()
    assert "learned.json" in {file["path"] for file in manifest["files"]}


def test_an_artifact_is_named_once(tmp_path: Path) -> None:
    """The record and the report name the same."""
    job = worker(tmp_path, 1)
    job.learn()
    record = job.store.json(keys.learned(job.resources.root))
    assert sorted(set(record.values())) == job.resources.artifacts.keys
    assert {name.partition("/")[0] for name in record} == {
        "clip_score", "gallery", "judge", "label_agreement", "masks", "near_duplicate", "quality", "ranking", "token",
    }  # fmt: skip
    assert Counter(record.values()).most_common(1)[0][1] == 1
    assert all(job.store.exists(key) for key in record.values())
