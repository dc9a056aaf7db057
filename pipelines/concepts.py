"""What a method learns of a source before it generates, and how it says it."""

from typing import Any

from pipelines.chance import derive
from pipelines.lora import Loras
from pipelines.prompts import filled
from pipelines.records import Request, Slot
from pipelines.spec import MethodSpec
from pipelines.tokens import Tokens
from pipelines.workbench import Workbench


class Concepts:
    """The tokens and LoRAs of a source's classes, none where none are asked for."""

    def __init__(self, bench: Workbench, spec: MethodSpec) -> None:
        self.bench, self.spec = bench, spec
        self.tokens = Tokens(bench, spec.superclass, spec.inversion)
        self.loras = Loras(bench, self.tokens, spec.lora)

    def learn(self) -> None:
        """Learn them, or find them in the store. Resumable; running it again costs nothing."""
        self.tokens.learned  # noqa: B018  (learned on first use)
        self.loras.learned  # noqa: B018

    def seed(self, slot: Slot, attempt: int) -> int:
        return derive(self.bench.spec.seed, "image", slot.index, attempt)

    def request(self, slot: Slot, attempt: int, **more: Any) -> Request:
        """What every request of a method has in common, and whatever more there is to one."""
        seed = self.seed(slot, attempt)
        common = {
            "seed": seed,
            "prompt": filled(self.spec.templates, self.spec.words, self.tokens.said(slot.label), seed),
            "concept": self.tokens.address(slot.label),
            "lora": self.loras.address(slot.label),
            "guidance": self.spec.guidance,
            "steps": self.spec.steps,
        }
        return Request(index=slot.index, attempt=attempt, label=slot.label, method=self.spec.type, **{**common, **more})
