"""Small versions of the built-in worlds, of which some help and some harm: the specs of `tests.benchmarks.forecast`."""

from collections.abc import Mapping
from typing import Any

from pipelines.builtin.world import COLOURS, SCENES, place
from pipelines.spec import VersionSpec, parse

FAST = {"steps": 8, "solver": "dpmsolver++"}
PLAIN = {"type": "text_to_image", "guidance": 2, **FAST}
WORDS = {
    "templates": ["a photo of a {colour} {} {scene}"],
    "words": {"colour": list(COLOURS), "scene": [place(scene) for scene in SCENES]},
}
CONDITIONED = {"type": "augmented_conditioning", "mix": "embed_mixup", "dropout": 0.2, "guidance": 2, **FAST}
SEEDS = (0, 1, 2)
COMMON = {
    "classifier": {"steps": 100, "batch": 32},
    "evaluation": {"arms": ["erm", "counterpoise"], "seeds": SEEDS, "gamma": 1, "checkpoint": "last", "reencode": 0},
    "filters": [{"type": "quality"}],
    "max_attempts": 1,
}
HELD_OUT = {"validation": 200, "test": 320}
Fields = Mapping[str, Any]


def varied(*strengths: float, **changes: Any) -> Fields:
    return {"type": "image_variation", "strengths": strengths, "guidance": 3, **FAST, **changes}


def swapped(*classes: str) -> dict[str, str]:
    """Every class drawn as the next one: all labels are wrong."""
    return dict(zip(classes, [*classes[1:], classes[0]], strict=True))


KNIT, TOPS = ("t-shirt", "trousers", "dress", "bag"), ("pullover", "coat", "shirt", "dress")
TAIL, SHOES, PAIR = ("t-shirt", "trousers", "bag", "dress", "coat"), ("sandal", "sneaker", "boot"), ("t-shirt", "bag")
WORLDS: dict[str, Fields] = {
    "knit": {
        "source": {"type": "few-shot", "classes": KNIT, "shots": 2, "seed": 1, **HELD_OUT},
        "amount": {"per_class": 40},
    },
    "shoes": {"source": {"type": "few-shot", "classes": SHOES, "shots": 6, **HELD_OUT}, "amount": {"per_class": 50}},
    "tops": {
        "source": {"type": "few-shot", "classes": TOPS, "shots": 12, "seed": 2, **HELD_OUT},
        "amount": {"per_class": 40},
    },
    "tail": {
        "source": {"type": "long-tail", "classes": TAIL, "head": 60, "imbalance": 30, "seed": 3, **HELD_OUT},
        "amount": {"balance": "classes"},
    },
    "shortcut": {
        "source": {"type": "spurious", "classes": PAIR, "scenes": ["grass", "brick"], "train": 120, "seed": 4, **HELD_OUT},
        "amount": {"per_class": 80},
    },
}
METHODS: dict[str, dict[str, Fields]] = {
    "knit": {
        "plain": PLAIN,
        "varied": varied(0.3, 0.6),
        "two steps": {**PLAIN, "steps": 2},
        "swapped": {**PLAIN, **WORDS, "names": swapped(*KNIT)},
        "words": {**PLAIN, **WORDS},
        "conditioned": CONDITIONED,
    },
    "shoes": {
        "one word": {**PLAIN, **WORDS, "names": dict.fromkeys(SHOES, "shoe")},
        "varied a little": varied(0.3),
        "varied much": varied(0.8),
        "other names": varied(0.95, names=dict(zip(SHOES, ("bag", "trousers", "dress"), strict=True))),
        "conditioned": CONDITIONED,
    },
    "tops": {
        "words": {**PLAIN, **WORDS},
        "varied": varied(0.3, 0.6),
        "half swapped": {**PLAIN, **WORDS, "names": {"coat": "shirt", "shirt": "coat"}},
        "saturated": {**PLAIN, "guidance": 15},
        "conditioned": CONDITIONED,
    },
    "tail": {
        "plain": PLAIN,
        "varied": varied(0.5),
        "swapped": {**PLAIN, **WORDS, "names": swapped(*TAIL)},
        "conditioned": CONDITIONED,
        "words": {**PLAIN, **WORDS},
    },
    "shortcut": {
        "words": {**PLAIN, **WORDS},
        "varied": varied(0.5),
        "swapped": {**PLAIN, **WORDS, "names": swapped(*PAIR)},
        "same scenes": {**PLAIN, "names": {"t-shirt": "t-shirt on grass", "bag": "bag on brick"}},
        "other scenes": {**PLAIN, "names": {"t-shirt": "t-shirt on brick", "bag": "bag on grass"}},
        "plain": PLAIN,
    },
}


def specs() -> dict[tuple[str, str], VersionSpec]:
    """By world and method; one of each world before the second of any, so that a part of them is as mixed as all."""
    pairs = [(number, world, method) for world, own in METHODS.items() for number, method in enumerate(own)]
    return {
        (world, method): parse({
            "name": f"{world}-{method}".replace(" ", "-"), **COMMON, **WORLDS[world], "method": METHODS[world][method],
        })
        for _, world, method in sorted(pairs, key=lambda pair: pair[0])
    }  # fmt: skip
