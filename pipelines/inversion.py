"""Textual inversion (Gal et al. 2022, arXiv 2208.01618): learn a token whose embedding alone is trained.

Two losses: inside the object's mask, the image itself is the target; outside, the model's own answer to the plain word is.
So what always stands behind a class is not learned with it, and yet the token is taught not to spill over the object's edge.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from pipelines import paths
from pipelines.diffusion.model import DiffusionModel
from pipelines.diffusion.solver import levels, noised, target
from pipelines.errors import SpecError
from pipelines.prompts import TEMPLATES, noun, token_names
from pipelines.records import Image, Mask
from pipelines.spec import Inversion
from pipelines.store import Store
from pipelines.tensors import mask_tensor, tensor

EMBEDS, CURVE, PROGRESS = "learned_embeds.safetensors", "curve.json", "progress.safetensors"


@dataclass(frozen=True, slots=True)
class Token:
    """A learned concept: its name in prompts, its embedding, and how it got there."""

    name: str  # "<boot>"
    digest: str  # of all that it was learned from
    vectors: Tensor  # float32 (n, width)
    losses: list[float]  # one a step


def initial(model: DiffusionModel, word: str, vectors: int) -> Tensor:
    """The embedding of `word`, once a vector. Raises SpecError unless the word is a single token."""
    ids = model.tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise SpecError(
            f"method.inversion.initializer: {word!r} is {len(ids)} tokens of {model.name}, and one starts from one; "
            "give one of its words as initializer (left out, it is the superclass)"
        )
    row: Tensor = model.text_encoder.get_input_embeddings().weight[ids[0]]
    return row.detach().float().repeat(vectors, 1)


def average(errors: Tensor, weight: Tensor) -> Tensor:
    """Mean of errors (n, channels, h, w) with weights (n, 1, h, w)."""
    return (errors.mean(dim=1, keepdim=True) * weight).sum() / weight.sum().clamp(min=1e-6)


class Inverter:
    """One optimisation, in resumable steps. Step k's random numbers depend on (seed, k) alone."""

    def __init__(
        self,
        model: DiffusionModel,
        images: Sequence[Image],
        masks: Sequence[Mask] | None,
        name: str,
        word: str,
        spec: Inversion,
        seed: int,
    ) -> None:
        self.model, self.name, self.word, self.spec, self.seed = model, name, word, spec, seed
        self.vectors = initial(model, spec.initializer or word, spec.vectors).requires_grad_()
        model.set_token(name, self.vectors.detach())
        self.ids = model.tokenizer.convert_tokens_to_ids(token_names(name, spec.vectors))
        self.optimizer = torch.optim.AdamW([self.vectors], lr=spec.learning_rate, weight_decay=1e-2)
        self.losses: list[float] = []
        with torch.no_grad():
            self.x0 = model.encode(tensor(images))
            whole = torch.ones_like(self.x0[:, :1])
            self.plain = model.read([template.format(word) for template in TEMPLATES])
            self.weight = whole if masks is None else F.avg_pool2d(mask_tensor(masks), model.scale).to(whole)

    def context(self, prompts: list[str]) -> Tensor:
        """Read prompts with the vectors being trained in the places of the token."""
        ids = self.model.token_ids(prompts)

        def substitute(_module: object, _inputs: object, embedded: Tensor) -> Tensor:
            for row, number in zip(self.vectors, self.ids, strict=True):
                embedded = torch.where((ids == number)[..., None], row, embedded)
            return embedded

        hook = self.model.text_encoder.get_input_embeddings().register_forward_hook(substitute)
        try:
            states: Tensor = self.model.text_encoder(ids)[0]
        finally:
            hook.remove()
        return states.to(self.model.dtype)

    def step(self) -> float:
        """One step of AdamW."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + len(self.losses))
        rows = torch.randint(len(self.x0), (self.spec.batch,), generator=generator)
        t = torch.randint(len(self.model.schedule.alphas_cumprod), (self.spec.batch,), generator=generator)
        choice = torch.randint(len(TEMPLATES), (self.spec.batch,), generator=generator)
        phrase = noun(self.name, self.spec.vectors, self.word)
        x0, weight = self.x0[rows], self.weight[rows]
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        abar = levels(self.model.schedule.alphas_cumprod[t].tolist(), x0)
        context = self.context([TEMPLATES[i].format(phrase) for i in choice])
        xt, when = noised(x0, eps, abar), t.to(x0.device)
        output = self.model.predict(xt, when, context)
        loss = average((output - target(x0, eps, abar, self.model.schedule.prediction)).square(), weight)
        if self.spec.masked:
            with torch.no_grad():
                plain = self.model.predict(xt, when, self.plain[choice])
            loss = loss + average((output - plain).square(), 1 - weight)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.losses.append(loss.item())
        return self.losses[-1]

    def state(self) -> bytes:
        moments = self.optimizer.state_dict()["state"].get(0, {})
        kept = {key: moments[key].clone() for key in ("exp_avg", "exp_avg_sq", "step") if key in moments}
        losses = torch.tensor(self.losses, dtype=torch.float64)
        return save({"vectors": self.vectors.detach().clone(), "losses": losses, **kept})

    def restore(self, data: bytes) -> None:
        state = load(data)
        with torch.no_grad():
            self.vectors.copy_(state["vectors"])
        self.losses = state["losses"].tolist()
        whole = self.optimizer.state_dict()
        whole["state"] = {0: {key: state[key] for key in ("exp_avg", "exp_avg_sq", "step")}}
        self.optimizer.load_state_dict(whole)


def learn(inverter: Inverter, store: Store, digest: str, facts: dict[str, object], progress: Callable[[int], None]) -> Token:
    """Run to the end, from wherever the store says an earlier run got to; then save what plain diffusers loads."""
    name, steps = inverter.name, inverter.spec.steps
    scratch = paths.concept("token", digest, PROGRESS)
    if store.exists(scratch):
        inverter.restore(store.get(scratch))
        progress(len(inverter.losses))
    while len(inverter.losses) < steps:
        inverter.step()
        progress(1)
        if len(inverter.losses) % inverter.spec.checkpoint_every == 0:
            store.put(scratch, inverter.state())
    vectors = inverter.vectors.detach().cpu().clone()
    record = {
        **facts,
        "token": name,
        "learning_rate_effective": inverter.spec.learning_rate,
        "images_seen": steps * inverter.spec.batch,
        "losses": [round(loss, 6) for loss in inverter.losses],
    }
    store.create(paths.concept("token", digest, EMBEDS), save({name: vectors}))
    store.create(paths.concept("token", digest, CURVE), (json.dumps(record, sort_keys=True) + "\n").encode())
    return Token(name, digest, vectors, inverter.losses)


def cached(store: Store, digest: str) -> Token | None:
    """The token that an earlier run learned, if it finished: the curve is written last."""
    if not store.exists(paths.concept("token", digest, CURVE)):
        return None
    record = store.json(paths.concept("token", digest, CURVE))
    vectors = load(store.get(paths.concept("token", digest, EMBEDS)))[record["token"]]
    return Token(record["token"], digest, vectors, record["losses"])
