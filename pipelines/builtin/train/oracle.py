"""Train the oracle: a small ResNet (He et al. 2015, arXiv 1512.03385) that evaluates the other models' pictures.

It shares no weights with them, reads no captions, and unlike them is trained on every kind of shoe. Its 26 outputs are three
softmaxes side by side: 10 garments, 8 colours, 8 scenes.
"""

from pathlib import Path

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers import ResNetConfig, ResNetForImageClassification

from pipelines.builtin.oracle import enlarged
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import fresh, pictures
from pipelines.builtin.world import COLOURS, GARMENTS, RESOLUTION, SCENES, SPOKEN, WORDS
from pipelines.tensors import tensor

FACTORS = {"garment": GARMENTS, "colour": tuple(COLOURS), "scene": SCENES}
SIZES = [len(values) for values in FACTORS.values()]
SHIFT = 2  # pixels
BATCH = 64


def build() -> ResNetForImageClassification:
    names = [f"{factor}: {value}" for factor, values in FACTORS.items() for value in values]
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=32,
            hidden_sizes=[32, 64, 128],
            depths=[1, 1, 1],
            layer_type="basic",
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
        )
    )


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Every picture moved by up to SHIFT pixels each way, its edge repeated."""
    corners = torch.randint(2 * SHIFT + 1, (len(x), 2), generator=generator).tolist()
    wide = pad(x, [SHIFT] * 4, mode="replicate")
    return torch.stack([w[:, r : r + RESOLUTION, c : c + RESOLUTION] for w, (r, c) in zip(wide, corners, strict=True)])


@torch.no_grad()
def recognise(model: ResNetForImageClassification, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The most probable garment, colour and scene of each picture: indices (n, 3), as in `Pictures.factors`."""
    batches = [model(enlarged(tensor(images[i : i + BATCH]))).logits for i in range(0, len(images), BATCH)]
    heads = torch.split(torch.cat(batches), SIZES, dim=1)
    return torch.stack([head.argmax(dim=1) for head in heads], dim=1).numpy()


def spoken(factors: NDArray[np.integer]) -> NDArray[np.int64]:
    """Factors with the index of the garment replaced by that of its word."""
    word_of = np.array([WORDS.index(SPOKEN[name]) for name in GARMENTS])
    return np.column_stack([word_of[factors[:, 0]], factors[:, 1:]])


def rates(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> dict[str, float]:
    """Accuracies of predicted spoken factors (n, 3): of each factor, then of the garment by true word."""
    agree = predicted == true
    shares = dict(zip(FACTORS, agree.mean(axis=0), strict=True))
    shares |= {word: agree[true[:, 0] == number, 0].mean() for number, word in enumerate(WORDS)}
    return {name: round(float(share), 4) for name, share in shares.items()}


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 4000,
    batch: int = BATCH,
    seed: int = 4,
    bfloat16: bool = False,
) -> None:
    data = pictures(work, count, 0)
    torch.manual_seed(seed)
    model = build().to(memory_format=torch.channels_last)

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data.images), (batch,), generator=generator).numpy()
        x = enlarged(shifted(tensor(data.images[rows]), generator)).contiguous(memory_format=torch.channels_last)
        heads = torch.split(model(x).logits, SIZES, dim=1)
        targets = torch.tensor(data.factors[rows]).long().unbind(dim=1)
        return torch.stack([cross_entropy(head, target) for head, target in zip(heads, targets, strict=True)]).sum()

    # A short average: the statistics of the batch normalisation are those of the live weights.
    train(
        "oracle",
        work,
        {"oracle": model},
        loss,
        steps=steps,
        lr=2e-3,
        seed=seed,
        decay=0.99,
        weight_decay=1e-3,
        bfloat16=bfloat16,
    )
    unseen = fresh(seed, rounds=3)
    seen = recognise(model.eval(), unseen.images)
    print(f"fine garment: {(seen[:, 0] == unseen.factors[:, 0]).mean():.3f}")
    for name, rate in rates(spoken(seen), spoken(unseen.factors)).items():
        print(f"{name}: {rate:.3f}")
    model.half().save_pretrained(work / "oracle")


if __name__ == "__main__":
    typer.run(main)
