"""What the paper of each method of the benchmarks claims, as a comparison with another row of the same table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any, Literal

Figures = Mapping[str, Any]  # of one row: `mean`, `std` and `values`, one a seed
Verdict = Literal["yes", "no", "unclear"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of a paper, and the row (a method or an arm) that the paper's method has to be better than."""

    paper: str  # with its arXiv number, where it has one
    text: str
    better_than: str


DA_FUSION = Claim("DA-Fusion, 2302.07944", "few shots: better than standard augmentation", "classical")
CONDITIONING = Claim("Augmented Conditioning, 2502.04475", "better than images drawn from text alone", "text_to_image")
CLAIMS: Mapping[str, Claim] = {  # by row
    "tokens": Claim("Textual Inversion, 2208.01618", "a token says what words do not", "superclass_with_words"),
    "image_variation": DA_FUSION,
    "image_variation_paper": DA_FUSION,
    "augmented_conditioning": CONDITIONING,
    "augmented_conditioning_paper": CONDITIONING,
    "tokens_in_context": Claim("BOB, 2510.24078", "context in the training prompts: better than tokens without", "tokens"),
    "tokens_personalized": Claim(
        "Personalized Representation, 2412.16156", "features from generated images beat training beside them", "tokens"
    ),
    "class_tokens": Claim(
        "Discriminative Class Tokens, 2303.17155",
        "a classifier teaches a token what words do not",
        "superclass_with_words",
    ),
    "lora": Claim("DataDream, 2407.10910", "few shots: better than a checkpoint that learned nothing", "names_with_words"),
    "lora_text_encoder": Claim("DataDream, 2407.10910", "the text encoder's weights help, too", "lora"),
    "lora_of_images": Claim("LoFT, 2505.11703", "LoRAs of single images, fused, beat one of all images", "lora"),
    "lora_diverse": Claim("DomainStudio, 2306.14153", "kept distances beat a plain LoRA of few images", "lora"),
    "negative_merging": Claim("NegToMe, 2412.01339", "more variety from the same prompts", "siblings"),
    "siblings_multi_positive": Claim(
        "StableRep, 2306.00984", "features that siblings teach beat training beside them", "siblings"
    ),
    "counterfactual_pairs": Claim("TIDA, 2309.15991", "pairs that differ in a word beat images of their own", "tokens"),
    "edit_mix": Claim("DiffuseMix, 2405.14881", "few shots: better than standard augmentation", "classical"),
    "practice": Claim("Deliberate Practice, 2502.15588", "images that the judge is unsure of teach more", "tokens"),
    "curriculum": Claim("DisCL, 2410.13674", "from diverse to specific beats all strengths mixed", "image_variation"),
    "spurious_removal": Claim("DDB, 2503.17226", "worst group: better than JTT, without group labels", "jtt"),
    "spurious_removal_by_generated": Claim(
        "Synthetic Data for Model Selection, 2105.00717",
        "generated images choose checkpoints better than a few real ones",
        "spurious_removal_by_average",
    ),
    "spurious_removal_contrastive": Claim(
        "CDvG, 2112.01021", "a contrastive loss across backgrounds beats training beside the images", "spurious_removal"
    ),
    "subpopulation": Claim("SAGE, 2026", "worst group: better than JTT, without labels or words", "jtt"),
}
UNCLAIMED = {  # to compare others with, and our own
    "text_to_image",
    "names_with_words",
    "superclass_with_words",
    "tokens_without_words",
    "siblings",
    "grafted",
    "surroundings",
    "surroundings_and_tokens",
    "spurious_removal_by_average",
    "spurious_removal_reweighted",
    "subpopulation_by_generated",
}


def verdict(row: Figures, other: Figures) -> Verdict:
    """Whether a row is above another by more than the spread of both together; one draw has none, and settles nothing."""
    if len(row["values"]) < 2:
        return "unclear"
    difference, spread = row["mean"] - other["mean"], hypot(row["std"], other["std"])
    return "unclear" if abs(difference) <= spread else "yes" if difference > 0 else "no"


def judged(results: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
    """The claims of rows whose rivals were run beside them: by how much each is above, 0..1, and whether it holds."""
    return {
        row: {
            "better_than": claim.better_than,
            "difference": figures["mean"] - results[claim.better_than]["mean"],
            "holds": verdict(figures, results[claim.better_than]),
        }
        for row, figures in results.items()
        if (claim := CLAIMS.get(row)) is not None and claim.better_than in results
    }


def cell(judgement: Mapping[str, Any] | None) -> str:
    """'no: 1.2 below `jtt`'."""
    if judgement is None:
        return ""
    difference = judgement["difference"]
    way = "above" if difference >= 0 else "below"
    return f"{judgement['holds']}: {100 * abs(difference):.1f} {way} `{judgement['better_than']}`"


def unknown_rows(rows: Iterable[str]) -> set[str]:
    """Methods of the benchmarks that have no claim, and are not there to be compared with alone."""
    return set(rows) - CLAIMS.keys() - UNCLAIMED
