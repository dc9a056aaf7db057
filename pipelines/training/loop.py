"""The optimisation loop that every training shares: AdamW on a one-cycle schedule, and the choice of a checkpoint."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.tensors import choose_device, choose_dtype
from pipelines.training.batches import batches
from pipelines.training.metrics import score
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

CHECKS = 10  # times that a training looks at the images that its checkpoint is chosen by
D = TypeVar("D")  # what is drawn for a batch
B = TypeVar("B")  # a batch


class Loop:
    """A new classifier, the optimisation steps done so far, and the best checkpoint among them.

    On a GPU in mixed precision: weights in fp32, the network in what the machine's `precision` says.
    """

    def __init__(self, task: Task) -> None:
        torch.manual_seed(task.seed)
        self.task, self.steps = task, task.spec.steps
        self.device = choose_device(task.device)
        self.dtype = choose_dtype(task.precision, self.device) if self.device.type == "cuda" else torch.float32
        self.model = Classifier(task.classes, task.spec.checkpoint, task.spec.resolution).to(self.device)
        rate = task.spec.learning_rate
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=1e-2)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=self.steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.generator = torch.Generator().manual_seed(task.seed)
        self.best: tuple[tuple[float, ...], dict[str, Tensor]] | None = None  # what it was chosen by, and its weights

    def batches(self, read: Callable[[D], B], draws: Iterable[D]) -> Iterator[B]:
        """A batch for each draw."""
        return batches(read, draws, self.device)

    def logits(self, x: Tensor) -> Tensor:
        """float32 (n, classes), of pictures (n, 3, h, w) on the CPU."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits: Tensor = self.model(x.to(self.device, non_blocking=True))
        return logits.float()

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same with the features that the last layer is given: float32 (n, width)."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features, logits = self.model.features_and_logits(x.to(self.device, non_blocking=True))
        return features.float(), logits.float()

    def step(self, loss: Tensor) -> None:
        """One optimisation step."""
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.task.progress(1)

    def due(self, step: int) -> bool:
        """Whether a step is the last, or its checkpoint is looked at."""
        chosen = self.task.selection is not None
        return step == self.steps or (chosen and step % max(1, self.steps // CHECKS) == 0)

    def check(self, step: int) -> None:
        """After every tenth of the steps: keep this checkpoint if it is the best so far on the images to choose by."""
        task, selection = self.task, self.task.selection
        if selection is None or not self.due(step):
            return
        now = score(self.model.scores(selection.images), task.classes, selection.labels, selection.groups)
        merit = now.merit(task.checkpoint)
        # A training soon has all of a few generated images right, and goes on learning.
        tie = task.checkpoint == "generated" and self.best is not None and merit == self.best[0]
        if self.best is None or merit > self.best[0] or tie:
            self.best = merit, copy.deepcopy(self.model.state_dict())

    def finish(self) -> Classifier:
        """The best checkpoint; the last one where none was looked at."""
        if self.best is not None:
            self.model.load_state_dict(self.best[1])
        return self.model.eval()
