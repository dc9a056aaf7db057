"""Cut and paste: a real object of the class grafted over the object of another real image, no generator used.

The grafts of spurious-feature removal with the gap filled classically: what it gains over this arm is diffusion's.
"""

from collections.abc import Iterator, Sequence

from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.evaluation.data import EvaluationData
from pipelines.methods.spurious_removal import graft
from pipelines.records import Examples, Image, Item
from pipelines.regions import paste_object, region
from pipelines.vision.inpainting import harmonic_fill
from pipelines.vision.object_masks import Words, word_of
from pipelines.vision.source_view import SourceView

GROW = 0.1  # how much the filled gap is larger than the object was, as a share of its longer side


def cut_and_paste(data: EvaluationData) -> Examples:
    """One image for each sample of the version, of its class, in its source image.

    Where a sample has none, or no object is detected in it, in another of its origin and group. Raises SourceError where
    no object of a class is detected.
    """
    resources, classes = data.resources, data.resources.source.classes
    view, words = resources.view, resources.superclass
    detected, _ = view.with_object(resources.source.splits["train"], words)
    objects = {label: [item for item in detected if item.label == label] for label in classes}
    chosen: list[tuple[Item, Item, str]] = []  # ground, donor, label
    for row in data.kept:
        label, seed = classes[row["label"]], derive(resources.spec.seed, "cut_and_paste", row["index"])
        if not objects[label]:
            raise SourceError(
                f"evaluation.arms: cut_and_paste found no {word_of(words, label)!r} in any image of class {label!r}; leave "
                "the arm out, or choose another method.superclass"
            )
        ground = choose(backgrounds(detected, row["source_id"], row["origin"], row["group"]), seed, "ground")
        donor = choose([item for item in objects[label] if item != ground] or [ground], seed, "donor")
        chosen.append((ground, donor, label))

    def images() -> Iterator[Image]:
        progress = resources.stage("cut and paste", len(chosen))
        for ground, donor, _ in chosen:
            yield view.fit(grafted(view, ground, donor, words), view.side)
            progress(1)

    facts = {
        "kind": "cut and paste",
        "images": [(ground.sha256, donor.sha256) for ground, donor, _ in chosen],
        "segmenter": resources.models.segmenter_revision,
        "superclass": words,
        "framing": view.framing,
        "resolution": view.resolution,
    }
    pixels = data.stored(facts, len(chosen), images())
    return Examples(pixels, [label for *_, label in chosen], [ground.group for ground, *_ in chosen])


def backgrounds(items: Sequence[Item], source: str | None, origin: str | None, group: str | None) -> Sequence[Item]:
    """The source image of a sample if it is among the items; else those of its origin and group; else all."""
    own = [item for item in items if item.id == source]
    return own or [item for item in items if origin in (None, item.label) and group in (None, item.group)] or items


def choose(items: Sequence[Item], seed: int, name: str) -> Item:
    return items[derive(seed, name) % len(items)]


def grafted(view: SourceView, ground: Item, donor: Item, words: Words) -> Image:
    """`ground` without its object, the gap filled, and the object of `donor` in its place with soft edges."""
    old, new = view.object_masks([ground, donor], words)
    assert old is not None  # both were detected
    assert new is not None
    background, image = view.images([ground, donor])
    empty = harmonic_fill(background, region(old, "mask", GROW))
    object_ = graft(donor, image, new, empty, old)
    return paste_object(empty, object_.image, object_.mask)
