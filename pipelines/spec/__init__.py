"""The spec: strict pydantic models, every field with its meaning and unit. Imports no torch."""

from pipelines.spec.amount import Amount
from pipelines.spec.base import Name, Strict
from pipelines.spec.counterfactual_pairs import CounterfactualPairs
from pipelines.spec.edit_mix import EditMix
from pipelines.spec.encoding import EncodingSpec, JpegEncoding, PngEncoding, WebpEncoding
from pipelines.spec.evaluation import Checkpoint, Classifier, Evaluation, Recipe
from pipelines.spec.filters import (
    EARLY_SCORES,
    FILTER_SPECS,
    AttributionFilter,
    ClipScoreFilter,
    DiffusionClassifierFilter,
    EarlyVerdict,
    EntropyFilter,
    FilterSpec,
    LabelAgreementFilter,
    NearDuplicateFilter,
    ObjectSizeFilter,
    ProbeFilter,
    QualityFilter,
    RigidFilter,
    Saliency,
)
from pipelines.spec.image_variation import ImageVariation
from pipelines.spec.learning import Inversion, Lora
from pipelines.spec.machine import Device, Machine, Precision, check_build
from pipelines.spec.method_table import METHOD_SPECS, MethodSpec
from pipelines.spec.methods import AugmentedConditioning, FromNoise, SpuriousRemoval, TextToImage
from pipelines.spec.mistakes import explain, mistake
from pipelines.spec.models import EmbeddingFile, Erasing, FurtherCheckpoint, LoraFile, Models
from pipelines.spec.parsing import load, parse
from pipelines.spec.sources import (
    FewShotSource,
    FolderSource,
    HubSource,
    LongTailSource,
    ParquetSource,
    SourceSpec,
    SpuriousSource,
    UploadedSource,
    WebDatasetSource,
)
from pipelines.spec.subpopulation import JointInversion, Subpopulation
from pipelines.spec.version import Framing, VersionSpec

__all__ = [
    "EARLY_SCORES",
    "FILTER_SPECS",
    "METHOD_SPECS",
    "Amount",
    "AttributionFilter",
    "AugmentedConditioning",
    "Checkpoint",
    "Classifier",
    "ClipScoreFilter",
    "CounterfactualPairs",
    "Device",
    "DiffusionClassifierFilter",
    "EarlyVerdict",
    "EditMix",
    "EmbeddingFile",
    "EncodingSpec",
    "EntropyFilter",
    "Erasing",
    "Evaluation",
    "FewShotSource",
    "FilterSpec",
    "FolderSource",
    "Framing",
    "FromNoise",
    "FurtherCheckpoint",
    "HubSource",
    "ImageVariation",
    "Inversion",
    "JointInversion",
    "JpegEncoding",
    "LabelAgreementFilter",
    "LongTailSource",
    "Lora",
    "LoraFile",
    "Machine",
    "MethodSpec",
    "Models",
    "Name",
    "NearDuplicateFilter",
    "ObjectSizeFilter",
    "ParquetSource",
    "PngEncoding",
    "Precision",
    "ProbeFilter",
    "QualityFilter",
    "Recipe",
    "RigidFilter",
    "Saliency",
    "SourceSpec",
    "SpuriousRemoval",
    "SpuriousSource",
    "Strict",
    "Subpopulation",
    "TextToImage",
    "UploadedSource",
    "VersionSpec",
    "WebDatasetSource",
    "WebpEncoding",
    "check_build",
    "explain",
    "load",
    "mistake",
    "parse",
]
