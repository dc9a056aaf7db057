"""The arms of an evaluation, the one table: what each is called, what it trains on, and what it needs of the source."""

from dataclasses import dataclass
from typing import Literal

# What an arm trains on beside the real images, by the functions of `evaluation.additions`.
Addition = Literal["version", "text_to_image", "retrieved", "real_balanced"]
BASELINE, PLAIN, VERSION, CEILING = "erm", "text_to_image", "counterpoise", "real_balanced"  # those that reports compare


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training the downstream classifier."""

    title: str  # in tables and charts
    description: str  # in the schema
    addition: Addition | None = None  # None: the real images alone
    split: str | None = None  # of unused real images that the addition takes; built-in sources alone have them
    reencode: Literal["image", "region"] | None = None  # which part of real images the generator's autoencoder re-encodes
    classical: bool = False  # strong augmentation without a generator


ARMS: dict[str, Arm] = {
    "erm": Arm("real images alone (ERM)", "the real images alone"),
    "classical": Arm("RandAugment, CutMix, MixUp", "the same with RandAugment, CutMix and MixUp", classical=True),
    "text_to_image": Arm(
        "+ as many plain text-to-image",
        "beside the real images, as many plain generated ones",
        addition="text_to_image",
        reencode="image",
    ),
    "retrieved": Arm(
        "+ as many from an unlabelled pool",
        "beside them, as many real ones from an unlabelled pool, retrieved by CLIP",
        addition="retrieved",
        split="pool",
    ),
    "counterpoise": Arm("+ this version", "beside them, this version", addition="version", reencode="region"),
    "real_balanced": Arm(
        "+ as many real, balanced (ceiling)",
        "beside them, as many real ones with the same labels and groups",
        addition="real_balanced",
        split="reserve",
    ),
}


def known(name: str) -> str:
    """Raises ValueError for a name that is no arm's."""
    if name not in ARMS:
        raise ValueError(f"there is no such arm; give some of {', '.join(map(repr, ARMS))}")
    return name
