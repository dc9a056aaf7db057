"""The spec: strict pydantic models, every field with its meaning and unit. Imports no torch."""

from pipelines.spec.amount import Amount
from pipelines.spec.base import Name, Strict
from pipelines.spec.evaluation import Checkpoint, Classifier, Evaluation, Recipe
from pipelines.spec.filters import (
    FILTER_SPECS,
    AttributionFilter,
    ClipScoreFilter,
    FilterSpec,
    LabelAgreementFilter,
    NearDuplicateFilter,
    QualityFilter,
)
from pipelines.spec.methods import (
    METHOD_SPECS,
    AugmentedConditioning,
    ImageVariation,
    Inversion,
    Lora,
    MethodSpec,
    SpuriousRemoval,
    TextToImage,
)
from pipelines.spec.models import EmbeddingFile, LoraFile, Models, Precision
from pipelines.spec.parsing import explain, load, mistake, parse
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
from pipelines.spec.version import VersionSpec

__all__ = [
    "FILTER_SPECS",
    "METHOD_SPECS",
    "Amount",
    "AttributionFilter",
    "AugmentedConditioning",
    "Checkpoint",
    "Classifier",
    "ClipScoreFilter",
    "EmbeddingFile",
    "Evaluation",
    "FewShotSource",
    "FilterSpec",
    "FolderSource",
    "HubSource",
    "ImageVariation",
    "Inversion",
    "LabelAgreementFilter",
    "LongTailSource",
    "Lora",
    "LoraFile",
    "MethodSpec",
    "Models",
    "Name",
    "NearDuplicateFilter",
    "ParquetSource",
    "Precision",
    "QualityFilter",
    "Recipe",
    "SourceSpec",
    "SpuriousRemoval",
    "SpuriousSource",
    "Strict",
    "TextToImage",
    "UploadedSource",
    "VersionSpec",
    "WebDatasetSource",
    "explain",
    "load",
    "mistake",
    "parse",
]
