"""The arms of an evaluation, the one table: what each is called, what it trains on, and what it needs of the source."""

from dataclasses import dataclass
from typing import Literal

# What an arm trains on beside the real images, by the functions of `evaluation.additions`.
Addition = Literal["version", "text_to_image", "cut_and_paste", "retrieved", "real_balanced"]
# How an arm trains, by the functions of `training.fit`.
Training = Literal["erm", "classical", "group_dro", "jtt", "dfr"]
BASELINE, PLAIN, VERSION, CEILING = "erm", "text_to_image", "counterpoise", "real_balanced"  # those that reports compare


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training the downstream classifier."""

    title: str  # in tables and charts
    description: str  # in the schema
    addition: Addition | None = None  # None: the real images alone
    split: str | None = None  # of unused real images that the addition takes; built-in sources alone have them
    reencode: Literal["image", "region"] | None = None  # which part of real images the generator's autoencoder re-encodes
    training: Training = "erm"
    lengthening: int = 1  # its optimisation steps, as a multiple of ERM's
    groups: Literal["train", "validation"] | None = None  # the split whose group labels it reads
    masks: bool = False  # whether it needs the masks of the objects
    reweighted: bool = False  # whether real images are drawn as often of each subpopulation, whatever the recipe


ARMS: dict[str, Arm] = {
    "erm": Arm("real images alone (ERM)", "the real images alone"),
    "erm_reencoded": Arm(
        "real images alone, re-encoded",
        "the same, as many of them re-encoded as beside this version: what re-encoding alone does",
        reencode="region",
    ),
    "classical": Arm(
        "RandAugment, CutMix, MixUp",
        "the same as erm with RandAugment, CutMix and MixUp, twice as long",
        training="classical",
        lengthening=2,
    ),
    "group_dro": Arm(
        "group DRO",
        "the same by group DRO, which reads the groups of the training images",
        training="group_dro",
        groups="train",
    ),
    "jtt": Arm("JTT", "the same by Just Train Twice, which reads no groups in training", training="jtt"),
    "reweighted": Arm(
        "every subpopulation as often",
        "the same, drawn as often of each subpopulation, by a classifier not trained on them; reads no groups",
        reweighted=True,
    ),
    "dfr": Arm(
        "last layer retrained (DFR)",
        "erm with its last layer retrained on the validation images, whose groups it reads",
        training="dfr",
        groups="validation",
    ),
    "text_to_image": Arm(
        "+ as many text-to-image, by name",
        "beside the real images, as many generated from the classes' names in the method's templates and words, unfiltered",
        addition="text_to_image",
        reencode="image",
    ),
    "cut_and_paste": Arm(
        "+ as many cut and pasted",
        "beside them, as many with a real object of the class pasted over the object, no generator used",
        addition="cut_and_paste",
        masks=True,
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
