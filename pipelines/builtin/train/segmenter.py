"""Train the segmenter: CLIPSeg (Lüddecke and Ecker 2022, arXiv 2112.10003), a small decoder on the bundled CLIP.

Unlike there, CLIP is fine-tuned: pretrained on a few ten thousand captions, its features are too weak to stay frozen. The
model's own `forward` keeps it frozen, so `logits` calls the parts.

The patches are 8x8, so the plain transposed convolution gives one logit a pixel. The complex one strides twice by a
quarter of the patch, which fills patches of 16, but half of the height and width of these.
"""

import random
from pathlib import Path

import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import (
    CLIPModel,
    CLIPProcessor,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
)

from pipelines.builtin.train.language import phrase, token_ids
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import Pictures, fresh, pictures
from pipelines.builtin.world import COLOURS, GARMENTS, SPOKEN, WORDS
from pipelines.tensors import tensor

BATCH = 64


def build(clip: CLIPModel) -> CLIPSegForImageSegmentation:
    sizes = clip.config.to_dict()
    config = CLIPSegConfig(
        text_config=sizes["text_config"],
        vision_config=sizes["vision_config"],
        projection_dim=sizes["projection_dim"],
        # Not the fourth and last: CLIP pools its class token alone, so that its patch tokens got no gradient.
        extract_layers=[0, 1, 2],
        reduce_dim=64,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=256,
    )
    model = CLIPSegForImageSegmentation(config)
    model.clip.load_state_dict(clip.state_dict())
    calm(model)
    return model


def calm(model: CLIPSegForImageSegmentation) -> None:
    """Start the decoder with layers of one size.

    The word conditions the first layer (FiLM), which is normalised; with default weights, the projections that are added
    later are twenty times as large, so that the conditioning is drowned out and never learned.
    """
    decoder = model.decoder
    for reduce in decoder.reduces:
        nn.init.normal_(reduce.weight, std=0.5 * reduce.in_features**-0.5)
    for film in (decoder.film_mul, decoder.film_add):
        nn.init.normal_(film.weight, std=0.3 * film.in_features**-0.5)
    nn.init.ones_(decoder.film_mul.bias)


def logits(model: CLIPSegForImageSegmentation, ids: Tensor, pixels: Tensor) -> Tensor:
    """What `model(input_ids=ids, pixel_values=pixels).logits` is, (n, h, w), with gradients for all of it."""
    states = model.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
    words = model.clip.get_text_features(input_ids=ids).pooler_output
    output: Tensor = model.decoder([states[i + 1] for i in model.extract_layers], words).logits
    return output


def ask(rng: random.Random, word: str, colour: str) -> tuple[str, bool]:
    """A prompt for the garment of a picture, or, half of the time, for another; and whether it is there."""
    there = rng.random() < 0.5
    name = word if there else rng.choice([other for other in WORDS if other != word])
    form = rng.choice(("{}", "a photo of a {}"))
    return form.format(phrase(name, rng.choice((colour, None)), None)), there


@torch.no_grad()
def mean_iou(model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, data: Pictures) -> float:
    """Mean intersection over union of true and predicted mask, for the plain word at a threshold of 0.5."""
    words = [SPOKEN[GARMENTS[g]] for g in data.factors[:, 0]]
    total = 0.0
    for start in range(0, len(words), BATCH):
        rows = slice(start, start + BATCH)
        masks = logits(model, token_ids(tokenizer, words[rows]), tensor(data.images[rows])) > 0
        true = torch.tensor(data.masks[rows])
        total += float(((masks & true).sum(dim=(1, 2)) / (masks | true).sum(dim=(1, 2))).sum())
    return total / len(words)


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 7000,
    batch: int = BATCH,
    seed: int = 3,
    bfloat16: bool = False,
) -> None:
    data = pictures(work, count, 0)
    torch.manual_seed(seed)
    processor = CLIPProcessor.from_pretrained(work / "clip")
    model = build(CLIPModel.from_pretrained(work / "clip", dtype=torch.float32))

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data.images), (batch,), generator=generator).numpy()
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        prompts = [ask(rng, SPOKEN[GARMENTS[g]], list(COLOURS)[c]) for g, c, _ in data.factors[rows]]
        ids = token_ids(processor.tokenizer, [prompt for prompt, _ in prompts])
        there = torch.tensor([[[there]] for _, there in prompts])
        output = logits(model, ids, tensor(data.images[rows]))
        return binary_cross_entropy_with_logits(output, (torch.tensor(data.masks[rows]) & there).float())

    train("segmenter", work, {"segmenter": model}, loss, steps=steps, lr=6e-4, seed=seed, bfloat16=bfloat16)
    print(f"mean IoU {mean_iou(model.eval(), processor.tokenizer, fresh(seed)):.3f}")
    model.half().save_pretrained(work / "segmenter")
    CLIPSegProcessor(processor.image_processor, processor.tokenizer).save_pretrained(work / "segmenter")


if __name__ == "__main__":
    typer.run(main)
