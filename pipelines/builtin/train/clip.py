"""Train CLIP (Radford et al. 2021, arXiv 2103.00020): a ViT on 8x8 patches and a text tower, both 128 wide.

With the bundle's short vocabulary a batch holds the same caption many times. Pictures that share a caption share
its target, so that none of them counts as a negative of the others. Captions describe the shape, too: an embedding
without it could not tell a boot from a sneaker, nor could a model conditioned on it.
"""

import random
from pathlib import Path

import torch
import typer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from pipelines.builtin.train.language import MAX_LENGTH, build_tokenizer, captions, token_ids
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import pictures
from pipelines.builtin.train.shapes import levels
from pipelines.builtin.world import RESOLUTION
from pipelines.tensors import tensor

WIDTH = 128


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH}
    text = {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"num_hidden_layers": 4, "image_size": RESOLUTION, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=sizes | text, vision_config=sizes | vision, projection_dim=WIDTH))


def build_image_processor() -> CLIPImageProcessorPil:
    """Any picture to 64x64 in -1..1; for a rendered one, the same as `tensor`."""
    return CLIPImageProcessorPil(
        size={"height": RESOLUTION, "width": RESOLUTION},
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def contrast(logits: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy of both directions, logits (n, n), its targets spread evenly over equal rows of `ids`."""
    same = (ids[:, None] == ids).all(dim=-1).float()
    target = same / same.sum(dim=1, keepdim=True)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 2000,
    batch: int = 192,
    seed: int = 2,
    bfloat16: bool = False,
) -> None:
    data = pictures(work, count, 0)
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = build(tokenizer)
    shapes = levels(data)

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data.images), (batch,), generator=generator).numpy()
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        ids = token_ids(tokenizer, captions(rng, data.factors[rows], shapes[rows]))
        return contrast(model(input_ids=ids, pixel_values=tensor(data.images[rows])).logits_per_image, ids)

    train("clip", work, {"clip": model}, loss, steps=steps, lr=1e-3, seed=seed, weight_decay=1e-2, bfloat16=bfloat16)
    model.half().save_pretrained(work / "clip")
    CLIPProcessor(build_image_processor(), tokenizer).save_pretrained(work / "clip")


if __name__ == "__main__":
    typer.run(main)
