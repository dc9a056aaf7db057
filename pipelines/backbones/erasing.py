"""Concept erasing in closed form (Unified Concept Editing, Gandikota et al., WACV 2024, arXiv 2308.14761).

The keys and values that a word gives a UNet's cross-attention become those of an anchor, and those of preserved words stay.
Symbols: W, a key or value projection; c, a token's embedding; c*, that of the anchor's token in its place.
"""

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.errors import ModelError
from pipelines.prompts import TEMPLATES, fill
from pipelines.spec import Erasing

PROJECTIONS = ("attn2.to_k", "attn2.to_v")  # of cross-attention, as diffusers names them
RIDGE = 0.5  # weight of ||W' - W||^2, as in the authors' code


def erasing_matrix(erased: Tensor, anchors: Tensor, preserved: Tensor, ridge: float = RIDGE) -> Tensor:
    """P, float64 (width, width), for embeddings (n, width), their anchors (n, width) and preserved ones (m, width).

    W' = W P minimises sum ||W' c - W c*||^2 + sum ||W' c - W c||^2 + ridge ||W' - W||^2, the second sum over the preserved:
    every target is W times an embedding, so the solution is the same for every W but for that factor.
    """
    erased, anchors, preserved = erased.double(), anchors.double(), preserved.double()
    identity = torch.eye(erased.shape[1], dtype=torch.float64, device=erased.device)
    normal = erased.T @ erased + preserved.T @ preserved + ridge * identity
    moved: Tensor = torch.linalg.solve(normal, (anchors - erased).T @ erased, left=False)
    return identity + moved


def embeddings(backbone: Backbone, word: str) -> Tensor:
    """What stands for a word: the embedding of its last token, alone and at the end of each template, float32 (n, width).
    Of the empty word it is that of the token with which every prompt begins."""
    prompts = [word, *(fill(template, word) if word else "" for template in TEMPLATES)]
    tokens, tokenizer = backbone.encode_prompts(prompts).tokens.float(), backbone.text_encoders[0].tokenizer
    last = [len(ids) - 2 for ids in tokenizer(prompts).input_ids]  # before the end token
    return tokens[torch.arange(len(prompts)), last]


@torch.no_grad()
def erase(backbone: Backbone, erasing: Erasing) -> None:
    """Edit the UNet in memory, so that its prompts say no word of `erasing.words`. Raises ModelError for a denoiser without
    cross-attention."""
    layers = [layer for name, layer in backbone.denoiser.named_modules() if name.endswith(PROJECTIONS)]
    if not layers:
        raise ModelError(f"models.erase: {backbone.name!r} has no cross-attention to edit; leave it out")
    erased = torch.cat([embeddings(backbone, word) for word in erasing.words])
    anchors = embeddings(backbone, erasing.anchor).repeat(len(erasing.words), 1)
    preserved = torch.cat([embeddings(backbone, word) for word in ("", erasing.anchor, *erasing.preserve)])
    matrix = erasing_matrix(erased, anchors, preserved).float()
    for layer in layers:
        layer.weight.copy_(layer.weight.float() @ matrix)
