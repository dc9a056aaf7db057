"""What is benchmarked: few shots, a long tail and a shortcut of the built-in world, and the methods on each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.builtin.world import COLOURS, GARMENTS, SCENES, SPOKEN, place
from pipelines.spec import VersionSpec, parse
from pipelines.spec.arms import VERSION

SHOTS = (1, 2, 4, 8, 16)
FIRST = "text_to_image"  # the method beside which most baselines are trained
PLAIN = {"type": "text_to_image", "steps": 10}
VARIED = {"type": "image_variation", "steps": 10, "guidance": 3}
CONDITIONED = {"type": "augmented_conditioning", "mix": "embed_mixup", "dropout": 0.2, "steps": 10, "guidance": 2}
DRAWN = {"type": "subpopulation", "superclass": "shoe", "steps": 10}  # the model has no word for its classes
EDITED = {"type": "edit_mix", "steps": 10, "guidance": 3, "styles": [place(scene) for scene in SCENES]}  # words it knows
GRAFTED = {  # nothing is learned: what is painted is no shoe
    "type": "spurious_removal",
    "superclass": "shoe",
    "inversion": None,
    "objects": "real",
    "guidance": 1,
    "steps": 10,
}
KEPT = {"type": "image_variation", "repaint": "surroundings", "grow": 0, "strengths": [1], "guidance": 1, "steps": 10}
WORDS = {
    "templates": ["a photo of a {colour} {} {scene}"],
    "words": {"colour": list(COLOURS), "scene": [place(scene) for scene in SCENES]},
}
SHOES = ("sandal", "sneaker", "boot")  # whose names the model does not know
UNTRAINED = {"vectors": 1, "steps": 1, "learning_rate": 1e-12}  # a token as it begins: the superclass said twice
# Tokens by classification. Of as many denoising steps as the paper's, the last, through which they learn, does too little.
CLASS_TOKENS = {
    "objective": "classification",
    "vectors": 4,
    "steps": 60,
    "batch": 12,
    "learning_rate": 0.01,
    "guidance": 3,
    "denoising_steps": 2,
    "accuracy": 1,
    "patience": 60,
}
FILTERS = [{"type": "quality"}, {"type": "near_duplicate"}]
SHORTCUTS: Mapping[str, Mapping[str, Any]] = {  # by name: sources with a shortcut
    "boot_sneaker": {},
    "sandal_sneaker": {"classes": ["sandal", "sneaker"], "ratio": 0.97},
    "sandal_boot": {"classes": ["sandal", "boot"], "scenes": ["wood", "snow"]},
    "three": {"classes": SHOES, "scenes": ["grass", "brick", "snow"]},
}
Method = Mapping[str, Any]  # fields of a spec


@dataclass(frozen=True, slots=True)
class Size:
    """How large the benchmarks are."""

    suffix: str  # of the versions' names
    inversion: int  # steps of a token
    few_images: int  # generated images a class, from few shots
    few_steps: int  # optimisation steps of a classifier, of few shots
    head: int  # images of the largest class of the long tail
    tail_steps: int
    shortcut_train: int  # training images with the shortcut
    shortcut_images: int  # generated images a class, against it
    shortcut_steps: int


FULL = Size("", 200, 60, 150, 120, 300, 1000, 300, 400)
QUICK = Size("-quick", 60, 12, 60, 24, 200, 300, 40, 120)
QUICK_BENCHMARKS = ("few_shot_8", "long_tail", "spurious", *(f"unlabelled_{name}" for name in SHORTCUTS))  # every method


@dataclass(frozen=True, slots=True)
class Benchmark:
    metric: str  # of an arm's accuracies: "average" or "worst_group"
    common: Mapping[str, Any]  # fields of every spec of it
    methods: Mapping[str, Method]  # the fields of each method beside them; the first is unfiltered
    baselines: Mapping[str, tuple[str, ...]]  # arms to be trained beside a method, too
    sizes: bool = False  # whether accuracy by the classes' size is of interest


def words_and_tokens(superclass: str | dict[str, str], inversion: Mapping[str, Any]) -> dict[str, Method]:
    """Text to image with and without words, by name, by superclass and by token: what each of them is worth."""
    tokens = {"superclass": superclass, "inversion": inversion}
    untrained = {"superclass": superclass, "inversion": {**inversion, **UNTRAINED}}
    return {
        FIRST: {"method": PLAIN},
        "names_with_words": {"method": {**PLAIN, **WORDS}},
        "superclass_with_words": {"method": {**PLAIN, **untrained, **WORDS}},
        "tokens_without_words": {"method": {**PLAIN, **tokens}},
        "tokens": {"method": {**PLAIN, **tokens, **WORDS}},
        "image_variation": {"method": {**VARIED, **tokens, **WORDS}},
        "augmented_conditioning": {"method": {**CONDITIONED, **tokens, **WORDS}},
    }


def surroundings(classes: Sequence[str], **learned: Any) -> Method:
    """Real objects of the classes in other colours, in any place of other scenes; by words that segmenter and model know."""
    words = {name: SPOKEN[name] for name in classes}
    objects = {name: word.removeprefix("t-") for name, word in words.items()}  # one token each, as which others may begin
    altered = {"recolour": "colour", "move": True, "superclass": objects, "names": words}
    method = {**KEPT, **WORDS, **altered, **learned}
    return {"method": method, "models": {"inpainting": "builtin-inpainting"}}


PLAIN_BASELINES = ("erm", "erm_reencoded", "classical", "retrieved", "real_balanced")


def few_shot(shots: int, size: Size) -> Benchmark:
    """Three shoes that the model has no word for. No checkpoint is chosen: there are no images to choose it on."""
    common = {
        "source": {"type": "few-shot", "shots": shots},
        "amount": {"per_class": size.few_images},
        "classifier": {"steps": size.few_steps},
        "evaluation": {"gamma": 1, "checkpoint": "last"},
    }
    inversion = {"images": 40, "steps": size.inversion, "batch": 8}
    methods = words_and_tokens("shoe", inversion)
    methods["tokens_in_context"] = {"method": {**methods["tokens"]["method"], "image_words": "by_clip"}}
    methods["surroundings"] = surroundings(SHOES)
    methods["surroundings_and_tokens"] = surroundings(SHOES, inversion=inversion, whole=0.5, guidance=2)
    if shots <= 8:
        methods["tokens_personalized"] = {**methods["tokens"], "evaluation": {"recipe": "personalized"}}
    baselines: dict[str, tuple[str, ...]] = {FIRST: PLAIN_BASELINES}
    if shots == 8:  # what costs more than it brings; and what was published, by our defaults
        siblings = {**methods["tokens"]["method"], "siblings": 10}
        methods["siblings"] = {"method": siblings}
        methods["siblings_multi_positive"] = {"method": siblings, "evaluation": {"recipe": "multi_positive"}}
        methods["negative_merging"] = {"method": {**siblings, "negative_merging": {}}}
        methods["class_tokens"] = {"method": {**PLAIN, **WORDS, "superclass": "shoe", "inversion": CLASS_TOKENS}}
        lora = {"steps": 200, "learning_rate": 2e-3, "batch": 16}
        methods["lora"] = {"method": {**PLAIN, **WORDS, "lora": lora}}
        methods["lora_text_encoder"] = {"method": {**PLAIN, **WORDS, "lora": {**lora, "text_encoder": True}}}
        methods["lora_of_images"] = {"method": {**PLAIN, **WORDS, "lora": {"scope": "image", "steps": 200}}}
        methods["lora_diverse"] = {"method": {**PLAIN, **WORDS, "lora": {**lora, "keep_diversity": 100}}}
        methods["image_variation_paper"] = {
            "method": {"type": "image_variation", "superclass": "shoe", "inversion": inversion}
        }
        paired = {"type": "counterfactual_pairs", "steps": 10, "guidance": 2, "swap": "colour", **WORDS}
        pairs = {**paired, "superclass": "shoe", "inversion": inversion}
        methods["counterfactual_pairs"] = {"method": pairs, "filters": FILTERS[:1]}  # a pair is nearly the same
        methods["edit_mix"] = {"method": {**EDITED, "superclass": "shoe", "inversion": inversion}}
        methods["practice"] = {**methods["tokens"], "filters": [*FILTERS, {"type": "entropy"}]}
        methods["augmented_conditioning_paper"] = {"method": {"type": "augmented_conditioning"}}
        methods["grafted"] = {"method": GRAFTED, "models": {"inpainting": "builtin-inpainting"}}
        baselines["grafted"] = ("cut_and_paste",)
    return Benchmark("average", common, methods, baselines)


def long_tail(size: Size) -> Benchmark:
    """Ten garments, filled up to the largest class. The fine names of three shoes are no words of the model."""
    common = {
        "source": {"type": "long-tail", "head": size.head},
        "amount": {"balance": "classes"},
        "classifier": {"steps": size.tail_steps},
        "evaluation": {"gamma": 1, "recipe": "balanced_softmax"},
    }
    inversion = {"images": 40, "steps": size.inversion, "batch": 8}
    methods = words_and_tokens(dict.fromkeys(SHOES, "shoe"), inversion)
    methods["surroundings"] = surroundings(GARMENTS)
    methods["surroundings_and_tokens"] = surroundings(GARMENTS, inversion=inversion, whole=0.5, guidance=2)
    varied = {**methods["image_variation"]["method"], "spectrum": "even"}
    methods["curriculum"] = {"method": varied, "evaluation": {"recipe": "curriculum"}}
    return Benchmark("average", common, methods, {FIRST: PLAIN_BASELINES}, sizes=True)


def spurious(size: Size) -> Benchmark:
    """Boots on grass, sneakers on brick, measured by the worst group; and what checkpoints are worth that are chosen without
    group labels."""
    common = {
        "source": {"type": "spurious", "train": size.shortcut_train},
        "amount": {"per_class": size.shortcut_images},
        "classifier": {"steps": size.shortcut_steps},
    }
    heads = [
        *FILTERS,
        {"type": "label_agreement", "view": "object", "max_origin": 0.5, "min_target": 0.5},
        {"type": "attribution"},
    ]
    inversion = {"images": 40, "steps": size.inversion, "batch": 16}
    repaint = {"superclass": "shoe", "inversion": inversion, "objects": "both", "strength": 0.87, "guidance": 3, "steps": 15}
    removal = {"method": {"type": "spurious_removal", **repaint}, "filters": heads, "max_attempts": 6}
    methods = {
        **words_and_tokens("shoe", inversion),
        "spurious_removal": removal,
        "spurious_removal_reweighted": {**removal, "evaluation": {"recipe": "subpopulations"}},
        "spurious_removal_contrastive": {**removal, "evaluation": {"recipe": "contrastive"}},
        "spurious_removal_by_average": {**removal, "evaluation": {"checkpoint": "average"}},
        "spurious_removal_by_generated": {**removal, "evaluation": {"checkpoint": "generated"}},
    }
    beside_plain = ("erm", "classical", "group_dro", "jtt", "reweighted", "dfr", "retrieved", "real_balanced")
    baselines = {FIRST: beside_plain, "spurious_removal": ("erm_reencoded", "cut_and_paste")}
    return Benchmark("worst_group", common, methods, baselines)


def unlabelled(size: Size, **source: Any) -> Benchmark:
    """A shortcut that nobody has a word or a label for: no checkpoint is chosen by groups."""
    common = {
        "source": {"type": "spurious", "train": size.shortcut_train, **source},
        "amount": {"per_class": size.shortcut_images},
        "classifier": {"steps": size.shortcut_steps},
        "evaluation": {"checkpoint": "subpopulations", "gamma": 1},
    }
    inversion = {"steps": size.inversion * 3 // 2}
    drawn: dict[str, Any] = {
        "method": {**DRAWN, "inversion": inversion},
        "filters": [*FILTERS, {"type": "label_agreement", "view": "balanced", "min_target": 0.5}],
        "max_attempts": 6,
        "evaluation": {"recipe": "subpopulations"},
    }
    by_generated = {**drawn, "evaluation": {**drawn["evaluation"], "checkpoint": "generated"}}
    methods: dict[str, Method] = {
        FIRST: {"method": PLAIN},
        "subpopulation": drawn,
        "subpopulation_by_generated": by_generated,
    }
    return Benchmark("worst_group", common, methods, {FIRST: ("erm", "jtt", "reweighted", "retrieved", "real_balanced")})


def benchmarks(size: Size = FULL) -> dict[str, Benchmark]:
    return {
        **{f"few_shot_{shots}": few_shot(shots, size) for shots in SHOTS},
        "long_tail": long_tail(size),
        "spurious": spurious(size),
        **{f"unlabelled_{name}": unlabelled(size, **source) for name, source in SHORTCUTS.items()},
    }


def spec_of(name: str, benchmark: Benchmark, method: str, seed: int, suffix: str = "") -> VersionSpec:
    """The spec of one method on one benchmark. A seed is one of other source images, other generation and other training."""
    evaluation = {
        **benchmark.common.get("evaluation", {}),
        **benchmark.methods[method].get("evaluation", {}),
        "arms": [*benchmark.baselines.get(method, ()), VERSION],
        "seeds": [seed],
    }
    return parse(
        {
            "name": f"{name}-{method}{suffix}-s{seed}".replace("_", "-"),
            "filters": [] if method == FIRST else FILTERS,
            **benchmark.common,
            "source": {**benchmark.common["source"], "seed": seed},
            **benchmark.methods[method],
            "evaluation": evaluation,
            "seed": seed,
        }
    )
