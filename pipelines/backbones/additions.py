"""What a user adds to a checkpoint: LoRAs of one's own, and embeddings that words of the prompts stand for."""

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import Tensor

from pipelines.backbones.addition_files import (
    DOWN,
    check_widths,
    embedding_files,
    lora_files,
    made_for_another,
    shapes,
    vector_names,
)
from pipelines.backbones.backbone import Backbone
from pipelines.errors import ModelError
from pipelines.prompts import token_names
from pipelines.spec import EmbeddingFile, LoraFile


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
        weights, token = load_file(file), embedding.token
        vectors = [as_rows(weights[name]) for name in vector_names(field, embedding.path, weights)]
        widths = [encoder.table.weight.shape[1] for encoder in backbone.text_encoders]
        check_widths(field, embedding.path, [matrix.shape[1] for matrix in vectors], widths)
        for encoder in backbone.text_encoders:
            if token in encoder.tokenizer.get_vocab() or encoder.embedding_of(token) is not None:
                raise ModelError(
                    f"{field.removesuffix('path')}token: {token!r} is a word of {backbone.name} already; give another, such "
                    f"as '<{token.strip('<>')}-1>'"
                )
        backbone.set_token(token, [matrix.to(torch.float32) for matrix in vectors])
        for encoder in backbone.text_encoders:
            encoder.phrases[token] = " ".join(token_names(token, len(vectors[0])))


def as_rows(vectors: Tensor) -> Tensor:
    """The vectors of an embedding, one or several, as (n, width)."""
    return vectors.reshape(-1, vectors.shape[-1])
