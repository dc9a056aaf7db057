"""How long the benchmarks will take on this machine: a few steps of each kind are timed, and all of them counted."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipelines.engine.open import open_engine
from pipelines.experiments.same_images import images_of
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.progress import Silent
from pipelines.records import Examples
from pipelines.source.open import open_source
from pipelines.spec import SpuriousRemoval, Subpopulation, VersionSpec
from pipelines.spec.arms import ARMS
from pipelines.store.object_store import Store
from pipelines.training.batches import Feed
from pipelines.training.fit import fit
from pipelines.version.plan import Counts, make_plan

IMAGES, STEPS = 32, 6  # timed: images generated, optimisation steps of a classifier
BACKWARD = 1.5  # an image in a step of learning against one in a step of denoising, whose guidance takes two forwards
ATTEMPTS = {True: 1.6, False: 1.1}  # images generated for each planned one, with and without DDB's heads
OVERHEAD = 5.0  # seconds of a version's images: opening, reading, writing, scoring


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds on this machine."""

    denoising: float  # of one image in one denoising step
    training: float  # of one optimisation step of a classifier


def measure(spec: VersionSpec, store: Store) -> Pace:
    """Generate a few images of a spec that learns nothing, and train its classifier for a few steps."""
    resources = Resources(spec, store, Silent())
    method = open_method(resources)
    engine = open_engine(resources.painter, cache_interval=spec.method.cache_interval)
    plan = make_plan(spec, "", "", resources.source.counts)
    planned = [plan.image(index % plan.planned) for index in range(IMAGES)]
    for _ in engine.run(method.requests(planned[:2], 0)):  # the first forward is slower
        pass
    began = time.monotonic()
    count = sum(1 for _ in engine.run(method.requests(planned, 0)))
    denoising = (time.monotonic() - began) / (count * spec.method.steps)
    return Pace(denoising, training_step(spec, resources))


def training_step(spec: VersionSpec, resources: Resources) -> float:
    side, classes = resources.view.side, resources.source.classes
    examples = Examples([np.zeros((side, side, 3), np.uint8)] * len(classes), classes, [None] * len(classes))
    classifier = spec.classifier.model_copy(update={"steps": STEPS})
    began = time.monotonic()
    fit(
        classifier, classes, Feed(examples, classes), None, None,
        gamma=1, seed=0, device=resources.models.machine.device, progress=Silent().stage("", 0),
    )  # fmt: skip
    return (time.monotonic() - began) / STEPS


def learning(spec: VersionSpec, classes: Counts) -> float:
    """Image-steps of learning its tokens and LoRAs, as image-steps of denoising."""
    method = spec.method
    tokens = len(method.superclass) if isinstance(method.superclass, dict) else len(classes)
    if isinstance(method, Subpopulation):  # all of them together
        tokens = 1
    images, inversion = 0.0, method.inversion
    if inversion is not None:
        drawn = inversion.denoising_steps / BACKWARD if inversion.objective == "classification" else 0
        images += tokens * inversion.steps * inversion.batch * (1 + drawn)
    if method.lora is not None:
        of_images = sum(min(method.lora.images, sum(groups.values())) for groups in classes.values())
        loras = {"dataset": 1, "class": len(classes), "image": of_images}[method.lora.scope]
        images += loras * method.lora.steps * method.lora.batch
    return BACKWARD * images


def estimate(specs: Iterable[VersionSpec], pace: Pace) -> float:
    """Seconds that the versions take one after the other. Tokens of one source are learned once for all methods, and
    the images of specs that differ in their evaluation alone are made once."""
    seconds, learned, sources, made = 0.0, set[str](), dict[str, Counts](), set[str]()
    for spec in specs:
        if (name := str(spec.source)) not in sources:
            sources[name] = open_source(spec.source).counts
        planned = make_plan(spec, "", "", sources[name]).planned
        repainting = isinstance(spec.method, SpuriousRemoval)
        if (images := str(images_of(spec))) not in made:
            made.add(images)
            seconds += OVERHEAD + planned * ATTEMPTS[repainting] * spec.method.steps * pace.denoising
        arms = spec.evaluation.arms if spec.evaluation else ()
        seeds = len(spec.evaluation.seeds) if spec.evaluation else 0
        seconds += sum(ARMS[arm].lengthening for arm in arms) * seeds * spec.classifier.steps * pace.training
        concept = f"{spec.source} {spec.method.superclass} {spec.method.inversion} {spec.method.lora}"
        if concept not in learned:
            learned.add(concept)
            seconds += learning(spec, sources[name]) * pace.denoising
    return seconds
