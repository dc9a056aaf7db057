"""The files of an IP-Adapter."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.backbones.locate import IP_ADAPTER, locate


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """The files of an IP-Adapter: its weights, and the checkpoint of its image encoder."""

    name: str  # in errors
    weights: Path
    encoder: Path


def adapter_files(checkpoint: str) -> AdapterFiles:
    """The files of FOLDER/FILE.safetensors with its encoder in FOLDER/image_encoder, by path or of the hub.

    Raises ModelError.
    """
    weights = locate("models.adapter", checkpoint, IP_ADAPTER)
    return AdapterFiles(checkpoint, weights, weights.parent / IP_ADAPTER.beside)
