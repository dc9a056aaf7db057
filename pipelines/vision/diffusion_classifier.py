"""A text-to-image model as a classifier: by the prompt of which class it denoises an image best.

Diffusion Classifier (Li et al., ICCV 2023, arXiv 2303.16203). Errors of all classes are measured with the same noise at the
same timesteps; after each stage the classes with the least errors go on, to be measured at more timesteps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.schedule import Levels, Step, add_noise, target
from pipelines.chance import derive
from pipelines.progress import step

ROWS = 32  # of a forward, at most


class DiffusionClassifier:
    """`samples`: at how many timesteps, evenly spaced, errors are measured up to the end of each stage; `keep`: how many
    classes go on from one stage to the next."""

    def __init__(self, backbone: Backbone, prompts: Sequence[str], samples: Sequence[int], keep: int, seed: int) -> None:
        """`prompts`: one a class."""
        self.backbone, self.samples, self.keep, self.seed = backbone, samples, keep, seed
        with torch.no_grad():
            self.prompt_embeds = backbone.encode_prompts(prompts)

    @torch.no_grad()
    def margins(self, pixels: Tensor, own: Sequence[int]) -> list[float]:
        """How much larger the least error of another class is than that of an image's `own`, as a share of it; of an image
        whose own class does not go on, at the stage where that is so. `pixels`: float32 (n, 3, h, w) in -1..1."""
        latents, classes, labels = self.backbone.encode_images(pixels), len(self.prompt_embeds), torch.tensor(own)
        timesteps, done = self.timesteps(latents), 0
        sums, alive = torch.zeros(len(own), classes, dtype=torch.float64), torch.ones(len(own), classes, dtype=torch.bool)
        margins = torch.full((len(own),), float("inf"), dtype=torch.float64)
        for count in self.samples:
            if not alive.any():  # every image is decided
                break
            for number in range(done, count):
                sums += self.errors(latents, alive, timesteps[number], number)
            done = count
            active = alive.any(dim=1)
            means = (sums / count).masked_fill(~alive, float("inf"))
            mine = means.gather(1, labels[:, None])[:, 0]
            others = means.scatter(1, labels[:, None], float("inf")).amin(dim=1)
            margins = torch.where(active, (others - mine) / mine, margins)
            ranks = means.argsort(dim=1).argsort(dim=1)
            alive &= ranks < self.keep
            alive &= alive.gather(1, labels[:, None])  # an image whose own class is out is decided
        return [float(margin) for margin in margins]

    def timesteps(self, latents: Tensor) -> list[Step]:
        """Those of all stages, in an order whose every beginning is spread over the schedule."""
        steps = self.backbone.schedule.plan(self.samples[-1], 1.0, self.backbone.patches(latents))
        order = sorted(range(len(steps)), key=lambda place: (reversed_bits(place, len(steps).bit_length()), place))
        return [steps[place] for place in order]

    def errors(self, latents: Tensor, alive: Tensor, at: Step, number: int) -> Tensor:
        """Mean squared errors (n, classes), float64 on the CPU, of predictions at a timestep; 0 where none is measured."""
        result = torch.zeros(alive.shape, dtype=torch.float64)
        generator = torch.Generator().manual_seed(derive(self.seed, "noise", number) % 2**63)
        eps = torch.randn(latents.shape[1:], generator=generator).to(latents).expand_as(latents)  # whatever is beside it
        levels = Levels.of([at.level], latents)
        xt = self.backbone.everywhere(add_noise(latents, eps, levels))
        truth = target(latents, eps, levels, self.backbone.schedule.prediction)
        for pairs in torch.split(alive.nonzero(), ROWS):
            step()
            image, prompt = pairs.to(latents.device).unbind(dim=1)
            t = torch.full((len(pairs),), at.t, device=latents.device)
            prediction = self.backbone.predict(xt[image], t, self.prompt_embeds.rows(prompt))
            errors = (prediction - truth[image]).square().flatten(1).mean(dim=1)
            result[pairs[:, 0], pairs[:, 1]] = errors.double().cpu()
        return result


def reversed_bits(place: int, bits: int) -> int:
    """The number whose binary digits are those of `place`, read backwards (van der Corput)."""
    return int(f"{place:0{bits}b}"[::-1], 2)
