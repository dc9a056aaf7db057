"""Discriminative class tokens (Schwartz et al., ICCV 2023, arXiv 2303.17155): a token learned from a classifier.

The frozen model draws images with the token, the classifier says of which class they are, and the cross-entropy's gradient
goes back through it, the autoencoder and the last denoising step into the token's vectors. No image of the class is needed.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Levels, Step
from pipelines.chance import derive
from pipelines.engine.guidance import guide
from pipelines.engine.solver import advance, predicted_x0
from pipelines.learning.judges import FILE
from pipelines.learning.resources import Resources
from pipelines.learning.textual_inversion import CURVE, TokenLearner
from pipelines.parallel import Call
from pipelines.progress import Stage, step
from pipelines.prompts import TEMPLATES, fill
from pipelines.spec import Inversion
from pipelines.store.artifacts import Artifact
from pipelines.vision.classifier import Classifier
from pipelines.vision.models import Models

PROMPTS = TEMPLATES[:3]  # as many as in the paper


class ClassTokenTraining(TokenLearner):
    """Training of one token until the classifier recognises the class in what is drawn with it.

    Its result is the vectors of the step that ended it or, of one without an end, of the lowest loss.
    """

    def __init__(
        self,
        backbone: Backbone,
        classifier: Classifier,
        label: str,
        side: int,
        name: str,
        word: str,
        spec: Inversion,
        seed: int,
    ) -> None:
        """`side`: pixels of what is drawn. The classifier is copied, and stays as it is."""
        self.classifier = deepcopy(classifier).eval().requires_grad_(False)
        self.label = classifier.classes.index(label)
        super().__init__(backbone, name, word, spec, seed)
        self.trainer.buffers |= {key: vectors.detach().clone() for key, vectors in self.trainer.parameters.items()}
        cells = side // backbone.vae_scale_factor
        self.shape = backbone.latent_channels, cells, cells
        self.plan = backbone.schedule.plan(spec.denoising_steps, 1.0, backbone.patches(torch.empty(self.shape)))
        with torch.no_grad():
            self.unconditional = backbone.unconditional
        self.accuracy = 0.0  # of the last step: the share of images in which the class was recognised

    def losses(self, generator: torch.Generator, parts: int) -> Iterator[Tensor]:
        """The classifier's cross-entropy on each part of one batch of images, drawn from noise that is new in each step."""
        size, total, correct = self.spec.batch, 0.0, 0
        choice = torch.randint(len(PROMPTS), (size,), generator=generator).tolist()
        noise = torch.randn((size, *self.shape), generator=generator).to(self.backbone.device)
        for rows in torch.tensor_split(torch.arange(size), min(parts, size)):
            prompt_embeds = self.encode_prompts([fill(PROMPTS[choice[row]], self.phrase) for row in rows.tolist()])
            logits = self.classifier(self.images(*self.denoised(noise[rows], prompt_embeds), prompt_embeds))
            loss = F.cross_entropy(logits, torch.full_like(rows, self.label).to(logits.device), reduction="sum") / size
            total, correct = total + loss.item(), correct + int((logits.argmax(dim=1) == self.label).sum())
            yield loss
        self.accuracy = correct / size
        if self.recognised or total < min(self.trainer.losses, default=float("inf")):
            for name, vectors in self.trainer.parameters.items():
                self.trainer.buffers[name].copy_(vectors.detach())

    @torch.no_grad()
    def denoised(self, noise: Tensor, prompt_embeds: PromptEmbeds) -> tuple[Tensor, Tensor]:
        """Latents (n, channels, h, w) before the last step, and x0 as it is predicted before it."""
        xt, x0 = noise, torch.zeros_like(noise)
        for planned in self.plan[:-1]:
            step()
            xt, x0 = self.solve(planned, xt, x0, prompt_embeds)
        return xt, x0

    def images(self, xt: Tensor, x0_previous: Tensor, prompt_embeds: PromptEmbeds) -> Tensor:
        """Pixels in -1..1 after the last step, through which gradients reach the prompts' embeddings."""
        xt, _ = self.solve(self.plan[-1], xt, x0_previous, prompt_embeds)
        return self.backbone.decode_latents(xt).clamp(-1, 1)

    def solve(self, planned: Step, xt: Tensor, x0_previous: Tensor, prompt_embeds: PromptEmbeds) -> tuple[Tensor, Tensor]:
        """One step of the solver with classifier-free guidance: the latents after it, and the x0 that is predicted."""
        backbone, count, scale = self.backbone, len(xt), self.spec.guidance
        t, x = torch.full((count,), planned.t, device=xt.device), backbone.everywhere(xt)
        prediction = backbone.predict(x, t, prompt_embeds)
        if scale > 1:
            with torch.no_grad():
                unconditional = backbone.predict(x, t, self.unconditional.expand(count))
            prediction = guide(prediction, unconditional, torch.full((count,), scale, device=xt.device))
        x0 = predicted_x0(xt, prediction, Levels.of([planned.level] * count, xt), backbone.schedule.prediction)
        return advance(xt, x0, x0_previous, torch.tensor([planned.weights] * count, device=xt.device)), x0

    @property
    def recognised(self) -> bool:
        return self.accuracy > self.spec.accuracy

    def converged(self) -> bool:
        """Whether the class is recognised, or the loss has not become lower for long."""
        losses = self.trainer.losses
        return self.recognised or len(losses) - 1 - losses.index(min(losses)) >= self.spec.patience

    def result(self) -> list[Tensor]:
        return list(self.trainer.buffers.values())


@dataclass(frozen=True)
class ClassToken:
    """The training of one class token: its classifier, settings and artifact."""

    classifier: Classifier
    label: str
    side: int
    name: str
    word: str
    spec: Inversion
    seed: int
    facts: dict[str, object]
    artifact: Artifact  # holds the checkpoints


def train_class_token(token: ClassToken, models: Models, progress: Stage) -> dict[str, bytes]:
    """The files of a token. In a process of its own, `models` are loaded there."""
    spec = token.spec
    training = ClassTokenTraining(
        models.backbone, token.classifier, token.label, token.side, token.name, token.word, spec, token.seed
    )
    losses = training.trainer.run(spec.steps, spec.checkpoint_every, token.artifact, progress, training.converged)
    return training.files({**token.facts, "accuracy": training.accuracy}, losses)


def prepare(resources: Resources, label: str, name: str, word: str, spec: Inversion) -> tuple[Artifact, Call]:
    """The artifact of a class's token, and the call that trains it. The classifier is the judge of whole images, which has
    learned from the source's labels alone; it is trained now where it is needed and not stored."""
    judge = resources.judge_artifact("image")
    facts: dict[str, object] = {
        "model": resources.models.revision,
        "resolution": resources.models.resolution,
        "judge": judge.digest,
        "concepts": [judge.key(FILE)],  # whose images it depends on
        "images": [],
        "spec": spec.model_dump(),
        "word": word,
        "label": label,
        "seed": resources.spec.seed,
    }
    artifact = resources.artifacts.find(f"token/{label}", "token", lambda: facts, CURVE)
    if not artifact.complete:
        resources.judge  # noqa: B018  (not within the call: trainings are not nested)

    def arguments() -> tuple[ClassToken, Models]:
        seed = derive(resources.spec.seed, "token", label) % 2**31
        side = resources.models.resolution
        return ClassToken(resources.judge, label, side, name, word, spec, seed, facts, artifact), resources.models

    return artifact, Call(train_class_token, arguments, f"learn: token {name}", spec.steps)
