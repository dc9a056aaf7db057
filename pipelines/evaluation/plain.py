"""The images of the plain arm as a version below the one that is evaluated: planned, and generated shard by shard.

Killed half way, it goes on where it was. Of several workers that train the arm with several seeds, each begins with another
shard, so that they share them; the first report of a shard wins.
"""

import copy
from collections import Counter

from pipelines.engine.open import open_engine
from pipelines.evaluation.samples import Samples
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods.text_to_image import TextToImageMethod
from pipelines.records import Quota
from pipelines.spec import TextToImage
from pipelines.store import keys
from pipelines.store.canonical import canonical, digest
from pipelines.version.files import entries, remove_unnamed
from pipelines.version.plan import Plan, read_plan
from pipelines.version.shard import run_shards

SHARED = {
    "steps", "solver", "templates", "words", "written_words", "image_words", "names", "negative_prompt", "width", "height",
    "cache_interval",
}  # fmt: skip


def plain_samples(resources: Resources, sizes: Counter[str], fence: int | None) -> Samples:
    """As many images of each class, from the classes' names, unfiltered: those in the store, and the rest made now."""
    plain = plain_resources(resources, fence)
    plan = plain_plan(plain, sizes)
    if any(not plain.store.exists(keys.report(plain.root, number)) for number in range(plan.shards)):
        generate(plain, plan)
    return Samples(plain.store, plain.root, plan)


def plain_resources(resources: Resources, fence: int | None) -> Resources:
    """Those of the version, with its models but for the further ones that share its images, for another method and below its
    root."""
    plain = copy.copy(resources)
    plain.root, plain.fence = keys.plain(resources.root), fence
    method = TextToImage(type="text_to_image", **resources.spec.method.model_dump(include=SHARED))
    models = resources.spec.models.model_copy(update={"further": ()})
    changes = {"models": models, "method": method, "filters": (), "early_verdict": None, "max_attempts": 1}
    plain.spec = resources.spec.model_copy(update=changes)
    return plain


def plain_plan(plain: Resources, sizes: Counter[str]) -> Plan:
    """The plan in the store: of several workers the first decides."""
    quotas = tuple(Quota(label, None, sizes[label]) for label in plain.source.classes if sizes[label])
    plan = Plan(digest(plain.spec.model_dump(mode="json")), plain.source.fingerprint, quotas, plain.spec.shard_size)
    plain.store.put_first(keys.plan(plain.root), canonical(plan.as_json()))
    stored = read_plan(plain.store, plain.root)
    assert stored is not None
    return stored


def generate(plain: Resources, plan: Plan) -> None:
    """All shards that have no report: in one stream, or by a lease a unit at a time, since others may be at work, too."""
    capacity, interval = plain.models.machine.capacity, plain.spec.method.cache_interval
    engine = open_engine(plain.models.text_to_image, capacity, interval)
    assert isinstance(plain.spec.method, TextToImage)
    method, unfiltered = TextToImageMethod(plain, plain.spec.method), Panel(plain)
    first = plain.fence or 0
    units = [plan.unit((first + number) % plan.units) for number in range(plan.units)]
    for shards in [range(plan.shards)] if plain.fence is None else units:
        run_shards(plain, plan, shards, method, engine, unfiltered)
    reports = [plain.store.json(keys.report(plain.root, number)) for number in range(plan.shards)]
    remove_unnamed(plain.store, plain.root, entries(reports))
