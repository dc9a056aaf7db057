"""What the arms add to the real training images, one function for each `Addition` of `spec.arms`."""

from collections import Counter
from collections.abc import Callable

from pipelines.errors import SourceError
from pipelines.evaluation.cut_and_paste import cut_and_paste
from pipelines.evaluation.data import EvaluationData
from pipelines.evaluation.plain import plain_samples
from pipelines.records import Examples, Item
from pipelines.spec.arms import Addition
from pipelines.spec.base import quantity
from pipelines.spec.evaluation import CURRICULA
from pipelines.store import keys
from pipelines.store.canonical import canonical


def version(data: EvaluationData) -> Examples:
    """The samples of the version. Raises SourceError where a curriculum has one strength alone to walk."""
    examples = data.examples(data.samples)
    if data.spec.recipe in CURRICULA and len(set(examples.strengths or ())) == 1:
        raise SourceError(
            f"evaluation.recipe: {data.spec.recipe} walks the strengths of the version's samples, and all that were kept "
            f"have {(examples.strengths or ())[0]:g}; give a larger amount, weaker filters, or recipe: mixed"
        )
    return examples


def text_to_image(data: EvaluationData) -> Examples:
    """As many images of each class as the version holds, from the classes' names, unfiltered.

    The prompts have the templates and words of the version's own method, so that what the version gains over them is not
    the words' doing; a class that the model has no word for goes by its name, as whoever has no token would write it.
    """
    return data.examples(plain_samples(data.resources, data.sizes, data.fence))


def retrieved(data: EvaluationData) -> Examples:
    """Real images of an unlabelled pool, as many as the version has of each class, by CLIP (arXiv 2406.05184). What is first
    chosen is stored: seeds may be trained on several machines."""
    resources, key = data.resources, keys.retrieved(data.resources.root)
    if not resources.store.exists(key):
        resources.store.put_first(key, canonical([[item.id, label] for item, label in nearest(data)]))
    pool = {item.id: item for item in resources.source.splits["pool"]}
    chosen = [(pool[image], label) for image, label in resources.store.json(key)]
    pixels = resources.view.pixels([item for item, _ in chosen], resources.view.side)
    return Examples(pixels, [label for _, label in chosen], [None] * len(chosen))


def nearest(data: EvaluationData) -> list[tuple[Item, str]]:
    """Images of the pool with the class that each is taken for.

    An image is a candidate for the class whose real images it is nearest to, and the nearest are taken. Its own label is
    never read.
    """
    resources, classes = data.resources, data.resources.source.classes
    pool, view, clip = resources.source.splits["pool"], resources.view, resources.models.clip
    prototypes = clip.prototypes([view.images(resources.source.of(label)) for label in classes])
    cosines = clip.embed_images(view.images(pool)) @ prototypes.T
    chosen: list[tuple[Item, str]] = []
    for number, label in enumerate(classes):
        own = [row for row in range(len(pool)) if int(cosines[row].argmax()) == number]
        own.sort(key=lambda row: (-float(cosines[row, number]), row))
        chosen += [(pool[row], label) for row in own[: data.sizes[label]]]
    return chosen


def real_balanced(data: EvaluationData) -> Examples:
    """Unused real images of the same classes on the same groups, one for each kept sample: the ceiling.

    A sample of no group is any group's. Raises SourceError when there are too few.
    """
    resources = data.resources
    counts = Counter((resources.source.classes[row["label"]], row["group"]) for row in data.kept)
    chosen = []
    for (label, group), count in sorted(counts.items(), key=str):
        reserve = [i for i in resources.source.splits.get("reserve", []) if i.label == label and group in (None, i.group)]
        if len(reserve) < count:
            raise SourceError(
                f"evaluation.arms: real_balanced needs {quantity(count, 'unused real image')} of {label} on {group}, "
                f"the source has {len(reserve)}; leave the arm out, or ask for fewer images"
            )
        chosen += reserve[:count]
    return resources.view.labelled(chosen)


ADDITIONS: dict[Addition, Callable[[EvaluationData], Examples]] = {
    "version": version,
    "text_to_image": text_to_image,
    "cut_and_paste": cut_and_paste,
    "retrieved": retrieved,
    "real_balanced": real_balanced,
}
