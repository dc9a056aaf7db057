"""The files of what a user adds to a checkpoint, LoRAs and embeddings of one's own: where they lie, and whether they fit, by
the headers of their weights."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pipelines.backbones.files import CONFIG, configuration, header
from pipelines.backbones.locate import EMBEDDING, LORA, Kind, locate
from pipelines.backbones.revision import sha256
from pipelines.errors import ModelError
from pipelines.spec import EmbeddingFile, LoraFile, Models
from pipelines.store.canonical import digest

DOWN = re.compile(r".*(lora_A(\.\w+)?|[._]down)\.weight")  # one in each layer, as diffusers, peft and kohya name it
CROSS_ATTENTION = re.compile(r".*attn2[._]to_k[._].*")
CLIP_NAMES = ("clip_l", "clip_g")  # of the vectors of two text encoders


def file_of(field: str, value: str, kind: Kind) -> Path:
    """The file that a field names, or that the folder or repository holds which it names. Raises ModelError."""
    path = locate(field, value, kind)
    return path / kind.config if path.is_dir() else path


def shapes(field: str, value: str, file: Path) -> dict[str, tuple[int, ...]]:
    try:
        return header(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"{field}: {value!r} is no safetensors file ({error})") from None


def lora_files(loras: Sequence[LoraFile]) -> list[tuple[str, LoraFile, Path]]:
    """Each with its field and its file. Raises ModelError."""
    fields = [f"models.loras.{number}.path" for number in range(len(loras))]
    return [(field, lora, file_of(field, lora.path, LORA)) for field, lora in zip(fields, loras, strict=True)]


def embedding_files(embeddings: Sequence[EmbeddingFile]) -> list[tuple[str, EmbeddingFile, Path]]:
    """Each with its field and its file. Raises ModelError."""
    fields = [f"models.embeddings.{number}.path" for number in range(len(embeddings))]
    named = zip(fields, embeddings, strict=True)
    return [(field, embedding, file_of(field, embedding.path, EMBEDDING)) for field, embedding in named]


def facts(models: Models) -> list[tuple[str, str, float | str]]:
    """What determines the effect of a spec's additions, and of what it erases. Raises ModelError."""
    return [
        *(("lora", sha256(file), lora.weight) for _, lora, file in lora_files(models.loras)),
        *(("embedding", sha256(file), embedding.token) for _, embedding, file in embedding_files(models.embeddings)),
        *([] if models.erase is None else [("erase", digest(models.erase.model_dump()), "")]),
    ]


def check(models: Models, folder: Path) -> None:
    """Raises ModelError for additions that are not made for the checkpoint whose configurations lie in `folder`: by the
    headers of their files alone."""
    width = config(folder / "unet").get("cross_attention_dim")  # None: no UNet, whose file says nothing of it
    for field, lora, file in lora_files(models.loras):
        weights = shapes(field, lora.path, file)
        if any("dora_scale" in name for name in weights) or not any(map(DOWN.fullmatch, weights)):
            raise ModelError(f"{field}: {lora.path!r} is no LoRA that diffusers reads; give one, without DoRA or LyCORIS")
        keys = [name for name in weights if DOWN.fullmatch(name) and CROSS_ATTENTION.fullmatch(name)]
        if width is not None and (wrong := {weights[name][1] for name in keys} - {width}):
            raise made_for_another(field, lora.path, f"embeddings {wrong.pop()} wide, not {width}")
    encoders = [config(folder / part) for part in ("text_encoder", "text_encoder_2")]
    widths = [encoder["hidden_size"] for encoder in encoders if "hidden_size" in encoder]  # of CLIP: T5 says `d_model`
    for field, embedding, file in embedding_files(models.embeddings):
        weights = shapes(field, embedding.path, file)
        names = vector_names(field, embedding.path, weights)
        check_widths(field, embedding.path, [weights[name][-1] for name in names], widths)


def check_widths(field: str, value: str, vector_widths: Sequence[int], widths: Sequence[int]) -> None:
    """Raises ModelError unless there are vectors of these widths for each text encoder."""
    if list(vector_widths) != list(widths):
        of_file, of_encoders = (" and ".join(map(str, numbers)) for numbers in (vector_widths, widths))
        raise made_for_another(field, value, f"its vectors are {of_file} wide, the text encoders take {of_encoders}")


def config(part: Path) -> dict[str, Any]:
    """The configuration of a part; empty where there is no such part."""
    return configuration(part / CONFIG) if (part / CONFIG).exists() else {}


def made_for_another(field: str, value: str, reason: str) -> ModelError:
    return ModelError(f"{field}: {value!r} is made for another family of checkpoints ({reason}); give one of this family")


def vector_names(field: str, value: str, names: Collection[str]) -> tuple[str, ...]:
    """Of the weights of an embedding, that of each text encoder: of diffusers, A1111 (`emb_params`) or SDXL."""
    if set(CLIP_NAMES) <= set(names):
        return CLIP_NAMES
    if "emb_params" in names or len(names) == 1:
        return ("emb_params" if "emb_params" in names else next(iter(names)),)
    raise ModelError(
        f"{field}: {value!r} is no embedding of a token (it holds {', '.join(sorted(names)[:3])}); give one in the layout "
        "of diffusers, A1111 (emb_params), or SDXL (clip_l and clip_g)"
    )
