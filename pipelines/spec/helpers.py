"""The helper models of a spec: segmenter and CLIP, whose bundled ones know the built-in world alone, and the classifier."""

from pipelines.errors import SpecError
from pipelines.prompts import placeholders
from pipelines.spec.arms import ARMS
from pipelines.spec.base import Strict
from pipelines.spec.edit_mix import EditMix
from pipelines.spec.filters import (
    AttributionFilter,
    ClipScoreFilter,
    DiffusionClassifierFilter,
    EntropyFilter,
    LabelAgreementFilter,
    NearDuplicateFilter,
    ProbeFilter,
    RigidFilter,
)
from pipelines.spec.methods import AugmentedConditioning, SpuriousRemoval
from pipelines.spec.models import BUILTIN, BUNDLED, CROSS_ATTENTION, WEIGHTS_SUFFIX, split_revision
from pipelines.spec.sources import FewShotSource, LongTailSource, SpuriousSource
from pipelines.spec.subpopulation import Subpopulation
from pipelines.spec.version import VersionSpec

SEGMENTATION_MODELS = (
    "a CLIPSeg checkpoint such as CIDAS/clipseg-rd64-refined, or a GroundingDINO and a SAM one joined by '+', such as "
    "IDEA-Research/grounding-dino-tiny+facebook/sam-vit-base"
)
SEGMENTERS = f"'{CROSS_ATTENTION}', which needs no second model, {SEGMENTATION_MODELS}"
TOKENS = "method.inversion.masked"  # tokens that are learned from objects alone
CLIPS = "a CLIP checkpoint such as openai/clip-vit-base-patch32"
FROM_SCRATCH = (
    "classifier: a small ResNet from scratch knows too little of photographs to judge them; name a checkpoint such as "
    "microsoft/resnet-50."
)
BY_SUBPOPULATIONS = (
    "evaluation.checkpoint: 'subpopulations' takes an early, undecided checkpoint where nothing teaches the subpopulations; "
    "give evaluation.recipe: subpopulations beside it, or choose by average."
)


BY_CLASSIFICATION = ("guidance", "denoising_steps", "accuracy", "patience")  # fields of tokens that a classifier teaches


def segmenter_users(spec: VersionSpec) -> list[str]:
    """The fields of a spec that have objects segmented."""
    method, arms = spec.method, spec.evaluation.arms if spec.evaluation else ()
    return [
        *(["method"] if method.repaints_a_part else []),
        *([TOKENS] if method.inversion is not None and method.inversion.masked else []),
        *(f"filters.{f.type}" for f in spec.filters if isinstance(f, LabelAgreementFilter) and f.view == "object"),
        *(f"evaluation.arms.{arm}" for arm in arms if ARMS[arm].masks),
    ]


def clip_users(spec: VersionSpec) -> list[str]:
    """The fields of a spec that have images embedded by CLIP."""
    method, arms = spec.method, spec.evaluation.arms if spec.evaluation else ()
    return [
        *(["method.scale"] if isinstance(method, AugmentedConditioning) and method.scale == "by_clip" else []),
        *(["method.image_words"] if method.image_words == "by_clip" else []),
        *(["method.features"] if isinstance(method, Subpopulation) and method.features == "clip" else []),
        *(f"filters.{f.type}" for f in spec.filters if isinstance(f, ClipScoreFilter | RigidFilter | ProbeFilter)),
        *(f"filters.{f.type}" for f in spec.filters if isinstance(f, NearDuplicateFilter) and f.similarity is not None),
        *(f"evaluation.arms.{arm}" for arm in arms if ARMS[arm].addition == "retrieved"),
    ]


def judges_by_denoiser(spec: VersionSpec) -> bool:
    """Whether a filter looks at images through the text-to-image model, which then cannot denoise others meanwhile."""
    attended = spec.models.segmenter == CROSS_ATTENTION
    return any(
        isinstance(f, DiffusionClassifierFilter) or (attended and isinstance(f, LabelAgreementFilter) and f.view == "object")
        for f in spec.filters
    )


def prompt_parts(spec: VersionSpec) -> list[str]:
    """All that a user says of the version's prompts."""
    method = spec.method
    superclasses = method.superclass if isinstance(method.superclass, dict) else {"": method.superclass or ""}
    words = [word for words in method.words.values() for word in words]
    if isinstance(method.image_words, dict):
        words += [word for own in method.image_words.values() for word in own.values()]
    styles = method.styles if isinstance(method, EditMix) else ()
    return [*method.templates, *styles, *words, *method.names.values(), *superclasses.values(), method.negative_prompt]


def check_helpers(spec: VersionSpec) -> None:
    """Raises SpecError for a bundled helper beside a checkpoint that is not: it would judge images of another kind; and for
    an inpainting checkpoint that nothing paints with, or an embedding that stands in no prompt."""
    models = spec.models
    for number, embedding in enumerate(models.embeddings):
        if not any(embedding.token in text for text in prompt_parts(spec)):
            raise SpecError(
                f"models.embeddings.{number}.token: {embedding.token!r} stands in no prompt; use it in method.templates, "
                "words, names or negative_prompt, or leave the embedding out"
            )
    if models.inpainting is not None and not spec.method.repaints_a_part:
        raise SpecError(
            f"models.inpainting: {models.inpainting!r} would paint nothing, since the method repaints no part of an image; "
            "leave it out, or use spurious_removal, or image_variation with repaint"
        )
    own = [name for name in models.generators.values() if name not in BUNDLED]
    if not own:
        return
    helpers = (("segmenter", models.segmenter, segmenter_users, SEGMENTERS), ("clip", models.clip, clip_users, CLIPS))
    for field, value, users, remedy in helpers:
        if value == BUILTIN and (used := users(spec)):
            raise SpecError(
                f"models.{field}: 'builtin' knows small images of garments alone; beside {own[0]!r} it would "
                f"judge others, for {', '.join(used)}; give {remedy}"
            )


def rendered(spec: VersionSpec) -> bool:
    """Whether the real images are renders of the built-in world."""
    return isinstance(spec.source, SpuriousSource | FewShotSource | LongTailSource)


def uses_classifier(spec: VersionSpec) -> bool:
    """Whether the classifier ranks or clusters source images, judges generated ones, teaches tokens, or is trained."""
    judged = any(isinstance(f, LabelAgreementFilter | AttributionFilter | EntropyFilter) for f in spec.filters)
    clustered = isinstance(spec.method, Subpopulation) and spec.method.features == "classifier"
    inversion = spec.method.inversion
    taught = inversion is not None and inversion.objective == "classification"
    leading = taught or spec.method.entropy_guidance > 0
    return judged or clustered or leading or isinstance(spec.method, SpuriousRemoval) or spec.evaluation is not None


def warnings(spec: VersionSpec) -> list[str]:
    """What a valid spec will do badly, and the remedy: sentences."""
    photographs = spec.models.text_to_image not in BUNDLED and not rendered(spec)
    scratch = photographs and spec.classifier.checkpoint is None and uses_classifier(spec)
    evaluation = spec.evaluation
    alone = evaluation is not None and evaluation.checkpoint == "subpopulations" and evaluation.recipe != "subpopulations"
    return [*([FROM_SCRATCH] if scratch else []), *([BY_SUBPOPULATIONS] if alone else []), *unused(spec)]


def changed(part: Strict, field: str) -> bool:
    """Whether a field has another value than its default; a spec that was stored has all of them."""
    return bool(getattr(part, field) != type(part).model_fields[field].default)


def unused(spec: VersionSpec) -> list[str]:
    """Of what a spec names and nothing uses, sentences."""
    models, method, lines = spec.models, spec.method, []
    files = [name for name in (*models.generators.values(), models.inpainting or "") if is_file(name)]
    if models.config is not None and not files:
        lines.append(
            f"models.config: {models.config!r} is not used: it goes with checkpoints in a single {WEIGHTS_SUFFIX} file, and "
            "those of a folder have configurations of their own; leave it out."
        )
    if method.type == "subpopulation" and method.features != "clip" and changed(method, "clusters"):
        lines.append(
            "method.clusters: it is not used: what is taken for what makes them; give features: clip, or leave it out."
        )
    inversion = method.inversion
    if inversion is not None and inversion.objective == "denoising":
        lines += [
            f"method.inversion.{name}: it is not used: it is for objective: classification; leave it out."
            for name in BY_CLASSIFICATION
            if changed(inversion, name)
        ]
    if method.words and isinstance(method.image_words, dict):
        lines.append("method.words: they are not used: method.image_words has those of every image; leave them out.")
    named = {name for template in method.templates for name in placeholders(template)}
    if models.language_model is not None and method.written_words is None:
        lines.append("models.language_model: it writes nothing: say what in method.written_words, or leave it out.")
    listed = [f"words.{word}" for word in method.words]
    listed += [f"written_words.names.{word}" for word in (method.written_words.names if method.written_words else ())]
    return lines + [
        f"method.{words}: it is not used: no template has {{{name}}}; write it in method.templates, or leave it out."
        for words in listed
        if (name := words.rpartition(".")[2]) not in named
    ]


def is_file(checkpoint: str) -> bool:
    """Whether a checkpoint is named as a single file."""
    return split_revision(checkpoint)[0].endswith(WEIGHTS_SUFFIX)
