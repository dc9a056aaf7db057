"""LoRA (Hu et al. 2021, arXiv 2106.09685) from a source's images: what a prompt's words call up becomes what is in them.

DataDream (ECCV 2024, arXiv 2407.10910): one for each class, or one for all, of rank 16 beside the attention's weights. The
paper trains the text encoder's, too; here that stays as it is, since learned tokens live in it.
"""

import json
import math
import warnings
from collections.abc import Sequence
from functools import cached_property

import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load, save
from torch import Tensor

from pipelines import paths
from pipelines.chance import derive
from pipelines.diffusion.model import DiffusionModel
from pipelines.diffusion.solver import levels, noised, target
from pipelines.prompts import TEMPLATES
from pipelines.records import Image, Item
from pipelines.spec import Lora
from pipelines.store import digest
from pipelines.tensors import tensor
from pipelines.tokens import Tokens
from pipelines.workbench import Workbench

WEIGHTS, CURVE, PROGRESS = "pytorch_lora_weights.safetensors", "curve.json", "progress.safetensors"
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
NAME = "learning"  # of the weights among the UNet's adapters while they are learned


def rate(step: int, spec: Lora) -> float:
    """Linear warm-up over a tenth of the steps, then a cosine to nothing."""
    warm = max(1, spec.steps // 10)
    if step < warm:
        return spec.learning_rate * (step + 1) / warm
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, spec.steps - warm)))


class LoraTrainer:
    """One optimisation, in resumable steps. Step k's random numbers depend on (seed, k) alone."""

    def __init__(
        self, model: DiffusionModel, images: Sequence[Image], prompts: Sequence[str], spec: Lora, seed: int
    ) -> None:
        self.model, self.prompts, self.spec, self.seed = model, list(prompts), spec, seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = LoraConfig(r=spec.rank, lora_alpha=spec.rank, init_lora_weights="gaussian", target_modules=ATTENTION)
            with warnings.catch_warnings():  # several at a time is what is wanted
                warnings.simplefilter("ignore", UserWarning)
                model.unet.add_adapter(config, adapter_name=NAME)
                model.unet.enable_adapters()  # those learned before left them off
        self.weights = {n: p for n, p in model.unet.named_parameters() if f".{NAME}." in n}
        for weight in self.weights.values():
            weight.data = weight.data.float()
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=spec.learning_rate, weight_decay=1e-2)
        self.losses: list[float] = []
        with torch.no_grad():
            self.x0 = model.encode(tensor(images))

    def step(self) -> float:
        """One step of AdamW."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + len(self.losses))
        rows = torch.randint(len(self.x0), (self.spec.batch,), generator=generator)
        t = torch.randint(len(self.model.schedule.alphas_cumprod), (self.spec.batch,), generator=generator)
        x0 = self.x0[rows]
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        abar = levels(self.model.schedule.alphas_cumprod[t].tolist(), x0)
        with torch.no_grad():
            context = self.model.read([self.prompts[row] for row in rows])
        half = self.model.dtype != torch.float32
        with torch.autocast(x0.device.type, self.model.dtype, enabled=half):
            output = self.model.predict(noised(x0, eps, abar), t.to(x0.device), context)
        loss = (output - target(x0, eps, abar, self.model.schedule.prediction)).square().mean()
        for group in self.optimizer.param_groups:
            group["lr"] = rate(len(self.losses), self.spec)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.losses.append(loss.item())
        return self.losses[-1]

    def state(self) -> bytes:
        moments = self.optimizer.state_dict()["state"]
        kept = {f"{number}.{key}": value.clone() for number, each in moments.items() for key, value in each.items()}
        weights = {f"weight.{name}": weight.detach().clone() for name, weight in self.weights.items()}
        return save({"losses": torch.tensor(self.losses, dtype=torch.float64), **weights, **kept})

    def restore(self, data: bytes) -> None:
        state = load(data)
        self.losses = state.pop("losses").tolist()
        whole = self.optimizer.state_dict()
        for key, value in state.items():
            kind, _, name = key.partition(".")
            if kind == "weight":
                self.weights[name].data.copy_(value)
            else:
                whole["state"].setdefault(int(kind), {})[name] = value
        self.optimizer.load_state_dict(whole)

    def finish(self) -> dict[str, Tensor]:
        """Take the weights out of the UNet, named as diffusers' `load_lora_weights` reads them."""
        found = get_peft_model_state_dict(self.model.unet, adapter_name=NAME)
        weights = {f"unet.{name}": weight.detach().cpu().clone().contiguous() for name, weight in found.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.model.unet.delete_adapters(NAME)
        return weights


class Loras:
    """What was learned of a source beside its tokens: nothing, one LoRA for all classes, or one for each."""

    def __init__(self, bench: Workbench, tokens: Tokens, spec: Lora | None) -> None:
        self.bench, self.tokens, self.spec = bench, tokens, spec

    @cached_property
    def learned(self) -> dict[str, str]:
        """Every class's LoRA by its address in the store, learned now or found there, and put into the UNet."""
        if self.spec is None:
            return {}
        classes = self.bench.source.classes
        if self.spec.scope == "dataset":
            return dict.fromkeys(classes, self.learn(list(classes), "the dataset", self.spec))
        return {label: self.learn([label], label, self.spec) for label in classes}

    def address(self, label: str) -> str | None:
        return self.learned.get(label)

    def learn(self, labels: Sequence[str], name: str, spec: Lora) -> str:
        bench = self.bench
        items: list[Item] = [item for label in labels for item in bench.source.of(label)[: spec.images]]
        prompts = [TEMPLATES[0].format(self.tokens.said(item.label)) for item in items]
        seed = derive(bench.spec.seed, "lora", *labels) % 2**31
        facts = {
            "model": bench.model.revision,
            "resolution": bench.resolution,
            "images": [item.sha256 for item in items],
            "prompts": prompts,
            "concepts": [self.tokens.address(label) for label in labels],
            "spec": spec.model_dump(),
            "seed": bench.spec.seed,
        }
        key = digest(facts)
        address, scratch = (paths.concept("lora", key, file) for file in (WEIGHTS, PROGRESS))
        curve = paths.concept("lora", key, CURVE)
        if not bench.store.exists(curve):  # written last
            stage = bench.progress.stage(f"learn: LoRA of {name}", spec.steps)
            trainer = LoraTrainer(bench.model, bench.images(items), prompts, spec, seed)
            if bench.store.exists(scratch):
                trainer.restore(bench.store.get(scratch))
                stage(len(trainer.losses))
            while len(trainer.losses) < spec.steps:
                trainer.step()
                stage(1)
                if len(trainer.losses) % spec.checkpoint_every == 0:
                    bench.store.put(scratch, trainer.state())
            losses = [round(loss, 6) for loss in trainer.losses]
            bench.store.create(address, save(trainer.finish()))
            record = {**facts, "losses": losses, "images_seen": spec.steps * spec.batch}
            bench.store.create(curve, (json.dumps(record, sort_keys=True) + "\n").encode())
        bench.model.set_lora(address, load(bench.store.get(address)))
        return address
