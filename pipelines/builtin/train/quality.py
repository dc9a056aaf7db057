"""Write the bundle's quality card: the oracle's accuracy on generated pictures, beside that on held-out renders."""

import json
from pathlib import Path

import numpy as np
import torch
import typer
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from torch import Tensor
from transformers import CLIPSegForImageSegmentation, CLIPTokenizer, ResNetForImageClassification

from pipelines.builtin.train.language import phrase
from pipelines.builtin.train.oracle import rates, recognise, spoken
from pipelines.builtin.train.pictures import fresh
from pipelines.builtin.train.segmenter import mean_iou
from pipelines.builtin.world import COLOURS, GARMENTS, RESOLUTION, SCENES, WORDS
from pipelines.tensors import tensor

HOME = Path(__file__).parent.parent
STEPS, GUIDANCE, BATCH = 25, 4.0, 32
COLUMNS = ("drawn", "rendered", "rendered, autoencoded")

CARD = """# What the built-in model draws

![Every word on every scene](quality.png)

Rows: {words}. Columns: {scenes}. The colour changes from cell to cell.

{verdict}

How often the oracle recognises what was asked for, in {images} drawn and {real} rendered pictures:

| | {columns} |
|---|{rules}
{rates}

The autoencoder is off by {l1:.4f} of the range a pixel, and the segmenter finds the garment with a mean IoU of {iou:.3f}.
Both are measured on the rendered pictures, whose garments no model was trained on.

| training | steps | minutes |
|---|---:|---:|
{training}
"""


def pixels(x: Tensor) -> NDArray[np.uint8]:
    """Float (n, 3, 64, 64) in 0..1 to uint8 (n, 64, 64, 3)."""
    bytes_: NDArray[np.uint8] = (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return bytes_


def prompt(word: int, colour: int, scene: int) -> str:
    return f"a photo of a {phrase(WORDS[word], list(COLOURS)[colour], SCENES[scene])}"


def sample(pipe: StableDiffusionPipeline, factors: NDArray[np.int64], seed: int, title: str) -> NDArray[np.uint8]:
    """Draw `factors`, indices (n, 3) of word, colour and scene. Picture i starts from seed + i, whatever the batch."""
    batches = []
    for start in track(range(0, len(factors), BATCH), title):
        rows = factors[start : start + BATCH]
        output = pipe(
            [prompt(*row) for row in rows],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=[torch.Generator().manual_seed(seed + start + i) for i in range(len(rows))],
            output_type="pt",
        )
        batches.append(pixels(output.images))
    return np.concatenate(batches)


@torch.no_grad()
def autoencoded(vae: AutoencoderTiny, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    batches = (tensor(images[i : i + BATCH]) for i in range(0, len(images), BATCH))
    return np.concatenate([pixels(vae.decode(vae.encode(x).latents).sample / 2 + 0.5) for x in batches])


def sheet(images: NDArray[np.uint8], columns: int) -> Image.Image:
    """Images (n, 64, 64, 3) row by row, twice enlarged, in 256 colours."""
    rows = len(images) // columns
    grid = images.reshape(rows, columns, RESOLUTION, RESOLUTION, 3).swapaxes(1, 2)
    small = Image.fromarray(grid.reshape(rows * RESOLUTION, columns * RESOLUTION, 3)).quantize(256)
    return small.resize((2 * small.width, 2 * small.height), Image.Resampling.NEAREST)


def verdict(drawn: dict[str, float], rendered: dict[str, float]) -> str:
    """In words: which garments the oracle recognises about as often as in rendered pictures, and which it does not."""
    good = [w for w in WORDS if drawn[w] >= 0.9 * rendered[w]]
    bad = [w for w in WORDS if drawn[w] < 0.5 * rendered[w]]
    weak = [w for w in WORDS if w not in good and w not in bad]
    sentences = (
        (good, "It draws {} about as recognisably as the renderer (at least nine tenths of its rate)."),
        (weak, "Less reliable: {}."),
        (bad, "It hardly draws {} (less than half of the renderer's rate)."),
    )
    return " ".join(
        [
            *(sentence.format(", ".join(words)) for words, sentence in sentences if words),
            f"The colour is right in {drawn['colour']:.0%} and the scene in {drawn['scene']:.0%} of its pictures.",
            "It has read no word for a kind of shoe, so it cannot draw a sandal, a sneaker or a boot by name.",
        ]
    )


def main(
    work: Path = Path(".training"),
    model: Path | None = None,
    images: int = 512,
    seed: int = 5,
    home: Path = HOME,
) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(model or work / "model", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    oracle = ResNetForImageClassification.from_pretrained(work / "oracle", dtype=torch.float32)
    segmenter = CLIPSegForImageSegmentation.from_pretrained(work / "segmenter", dtype=torch.float32)

    grid = np.array([(w, (w + s) % len(COLOURS), s) for w in range(len(WORDS)) for s in range(len(SCENES))])
    sheet(sample(pipe, grid, seed, "contact sheet"), len(SCENES)).save(home / "quality.png", optimize=True)

    rng = np.random.default_rng(seed)
    # The garments in turn, not the words: as many shoes as among the rendered pictures.
    turns = np.arange(images) % len(GARMENTS)
    factors = spoken(np.column_stack([turns, rng.integers((len(COLOURS), len(SCENES)), size=(images, 2))]))
    drawn = sample(pipe, factors, seed + len(grid), "random captions")
    real = fresh(seed)
    again = autoencoded(pipe.vae, real.images)
    labelled = (drawn, factors), (real.images, spoken(real.factors)), (again, spoken(real.factors))
    accuracies = {name: rates(spoken(recognise(oracle, x)), true) for name, (x, true) in zip(COLUMNS, labelled, strict=True)}
    iou = mean_iou(segmenter, CLIPTokenizer.from_pretrained(work / "segmenter"), real)
    logs = {file.stem: json.loads(file.read_text()) for file in sorted(work.glob("*.json"))}
    card = {
        "images": images,
        "seed": seed,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "rates": accuracies,
        "autoencoder_l1": round(float(np.abs(again.astype(int) - real.images).mean()) / 255, 5),
        "segmenter_iou": round(iou, 4),
        "training": {name: {key: log[key] for key in ("steps", "seconds", "seed")} for name, log in logs.items()},
    }
    (home / "quality.json").write_text(json.dumps(card, indent=2) + "\n")
    text = CARD.format(
        words=", ".join(WORDS),
        scenes=", ".join(SCENES),
        verdict=verdict(accuracies["drawn"], accuracies["rendered"]),
        images=images,
        real=len(real.images),
        columns=" | ".join(COLUMNS),
        rules="---:|" * len(COLUMNS),
        rates="\n".join(
            f"| {row} | {' | '.join(f'{accuracies[c][row]:.1%}' for c in COLUMNS)} |" for row in accuracies["drawn"]
        ),
        l1=card["autoencoder_l1"],
        iou=iou,
        training="\n".join(f"| {name} | {log['steps']} | {log['seconds'] / 60:.0f} |" for name, log in logs.items()),
    )
    (home / "QUALITY.md").write_text(text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
