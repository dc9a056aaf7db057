"""What a user adds to a checkpoint: LoRAs of one's own, and embeddings that words of the prompts stand for."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.files import CONFIG
from pipelines.backbones.locate import EMBEDDING, LORA, Kind, locate
from pipelines.backbones.revision import sha256
from pipelines.backbones.single_file import header
from pipelines.errors import ModelError
from pipelines.prompts import token_names
from pipelines.spec import EmbeddingFile, LoraFile, Models

DOWN = re.compile(r".*(lora_A(\.\w+)?|[._]down)\.weight")  # one in each layer, as diffusers, peft and kohya name it
CROSS_ATTENTION = re.compile(r".*attn2[._]to_k[._].*")
CLIP_NAMES = ("clip_l", "clip_g")  # of the vectors of two text encoders


def file_of(field: str, value: str, kind: Kind) -> Path:
    """The file that a field names, or that the folder or repository holds which it names. Raises ModelError."""
    path = locate(field, value, kind)
    return path / kind.config if path.is_dir() else path


def shapes(field: str, value: str, file: Path) -> dict[str, Tensor]:
    try:
        return header(file)
    except (OSError, SafetensorError) as error:
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
    """What determines the effect of a spec's additions. Raises ModelError."""
    return [
        *(("lora", sha256(file), lora.weight) for _, lora, file in lora_files(models.loras)),
        *(("embedding", sha256(file), embedding.token) for _, embedding, file in embedding_files(models.embeddings)),
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
        if width is not None and (wrong := {weights[name].shape[1] for name in keys} - {width}):
            raise made_for_another(field, lora.path, f"embeddings {wrong.pop()} wide, not {width}")
    encoders = [config(folder / part) for part in ("text_encoder", "text_encoder_2")]
    widths = [encoder["hidden_size"] for encoder in encoders if "hidden_size" in encoder]  # of CLIP: T5 says `d_model`
    for field, embedding, file in embedding_files(models.embeddings):
        vectors = vectors_of(field, embedding.path, shapes(field, embedding.path, file))
        check_widths(field, embedding.path, vectors, widths)


def check_widths(field: str, value: str, vectors: Sequence[Tensor], widths: Sequence[int]) -> None:
    """Raises ModelError unless there are vectors of these widths for each text encoder."""
    vector_widths = [matrix.shape[1] for matrix in vectors]
    if vector_widths != list(widths):
        of_file, of_encoders = (" and ".join(map(str, numbers)) for numbers in (vector_widths, widths))
        raise made_for_another(field, value, f"its vectors are {of_file} wide, the text encoders take {of_encoders}")


def config(part: Path) -> dict[str, Any]:
    """The configuration of a part; empty where there is no such part."""
    file = part / CONFIG
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def made_for_another(field: str, value: str, reason: str) -> ModelError:
    return ModelError(f"{field}: {value!r} is made for another family of checkpoints ({reason}); give one of this family")


def vectors_of(field: str, value: str, weights: dict[str, Tensor]) -> list[Tensor]:
    """The vectors of an embedding for each text encoder, (n, width): of diffusers, A1111 (`emb_params`) or SDXL."""
    if set(CLIP_NAMES) <= weights.keys():
        return [weights[name].reshape(-1, weights[name].shape[-1]) for name in CLIP_NAMES]
    if "emb_params" in weights or len(weights) == 1:
        vectors = weights.get("emb_params", next(iter(weights.values())))
        return [vectors.reshape(-1, vectors.shape[-1])]
    raise ModelError(
        f"{field}: {value!r} is no embedding of a token (it holds {', '.join(sorted(weights)[:3])}); give one in the layout "
        "of diffusers, A1111 (emb_params), or SDXL (clip_l and clip_g)"
    )


def fuse_loras(pipeline: Any, loras: Sequence[LoraFile]) -> None:
    """Add LoRAs to the weights of a pipeline's denoiser and text encoders, for good. Raises ModelError."""
    for field, lora, file in lora_files(loras):
        expected = sum(DOWN.fullmatch(name) is not None for name in shapes(field, lora.path, file))
        parts = [name for name in pipeline._lora_loadable_modules if getattr(pipeline, name, None) is not None]
        try:
            pipeline.load_lora_weights(str(file.parent), weight_name=file.name, local_files_only=True, use_safetensors=True)
            modules = [module for name in parts for module in getattr(pipeline, name).modules()]
            loaded = sum(isinstance(module, BaseTunerLayer) for module in modules)
            pipeline.fuse_lora(components=parts, lora_scale=lora.weight)
            pipeline.unload_lora_weights()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise made_for_another(field, lora.path, str(error).splitlines()[0]) from None
        if loaded < expected:  # more: some trainers have queries, keys and values in one layer
            raise made_for_another(field, lora.path, f"{expected - loaded} of its {expected} layers are none of this one's")


def add_embeddings(backbone: Backbone, embeddings: Sequence[EmbeddingFile]) -> None:
    """Add the embeddings to the text encoders, where their tokens stand for all of their vectors. Raises ModelError."""
    for field, embedding, file in embedding_files(embeddings):
        vectors, token = vectors_of(field, embedding.path, load_file(file)), embedding.token
        check_widths(field, embedding.path, vectors, [encoder.table.weight.shape[1] for encoder in backbone.text_encoders])
        for encoder in backbone.text_encoders:
            if token in encoder.tokenizer.get_vocab() or encoder.embedding_of(token) is not None:
                raise ModelError(
                    f"{field.removesuffix('path')}token: {token!r} is a word of {backbone.name} already; give another, such "
                    f"as '<{token.strip('<>')}-1>'"
                )
        backbone.set_token(token, [matrix.to(torch.float32) for matrix in vectors])
        for encoder in backbone.text_encoders:
            encoder.phrases[token] = " ".join(token_names(token, len(vectors[0])))
