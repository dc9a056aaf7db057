"""Training batches of a classifier: drawn at random from labelled images, mirrored and displaced.

What is drawn is decided in one place, in the order of the steps; the images are read beside the training, from the disk
where they lie there. So a batch does not depend on when it is read.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipelines.engine.background import Background, Foreground, result
from pipelines.records import Examples, Image

SHIFT = 1 / 16  # of the image's side: the largest random displacement
AHEAD = 4  # batches that are read in advance beside a GPU
D = TypeVar("D")  # what is drawn for a batch
B = TypeVar("B")  # a batch


@dataclass(frozen=True, slots=True)
class Draw:
    """All that is random of a batch."""

    rows: Tensor  # int64 (count,): numbers of images
    twinned: Tensor  # bool (count,): whether the twin is taken
    mirrored: Tensor  # bool (count, 1)
    shift: Tensor  # int64 (count, 2, 1): pixels to the right and down


class Feed:
    """Draws augmented batches; a `share` of each is drawn from `twins`, other versions of the same images, if given."""

    def __init__(
        self, examples: Examples, classes: Sequence[str], twins: Sequence[Image] | None = None, share: float = 0.5
    ) -> None:
        self.examples, self.share, self.twins = examples, share, twins
        self.side = len(examples.images[0])
        self.targets = torch.tensor([classes.index(label) for label in examples.labels])
        self.shift = SHIFT  # the largest random displacement, as a share of the side
        self.weights: Tensor | None = None  # how often each image is drawn, in relation; None: all as often

    def weighted(self, weights: Tensor | Sequence[float] | None) -> "Feed":
        """The same images, drawn as often as `weights` (n,) say; None: all as often."""
        feed = copy.copy(self)
        feed.weights = None if weights is None else torch.as_tensor(weights)
        return feed

    def displaced_less(self, share: float) -> "Feed":
        """The same images, displaced by that share less."""
        feed = copy.copy(self)
        feed.shift = self.shift * (1 - share)
        return feed

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Images drawn with replacement, and how each is augmented."""
        if self.weights is None:
            rows = torch.randint(len(self.targets), (count,), generator=generator)
        else:
            rows = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        twinned = torch.zeros(count, dtype=torch.bool)
        if self.twins is not None:
            twinned = torch.rand(count, generator=generator) < self.share
        return Draw(rows, twinned, *displacements(count, self.side, generator, self.shift))

    def read(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """The batch: float32 (count, 3, h, w) in -1..1, and class numbers (count,)."""
        images, twins = self.examples.images, self.twins
        chosen = [
            images[row] if twins is None or not twinned else twins[row]
            for row, twinned in zip(draw.rows.tolist(), draw.twinned.tolist(), strict=True)
        ]
        places = displaced(draw.mirrored, draw.shift, self.side)
        pixels = packed(np.stack(chosen))[places.flatten()].view(torch.uint8).view(*places.shape, 4)[..., :3]
        return (pixels.float() / 127.5 - 1).permute(0, 3, 1, 2), self.targets[draw.rows]


class Reading(Dataset[B], Generic[D, B]):
    """Batches by what is drawn for them, as torch's DataLoader takes them."""

    def __init__(self, read: Callable[[D], B]) -> None:
        self.read = read

    def __getitem__(self, draw: D) -> B:
        return self.read(draw)


def batches(read: Callable[[D], B], draws: Iterable[D], device: torch.device) -> Iterator[B]:
    """A batch for each draw, in their order. Beside a GPU they are read in advance, into pinned memory.

    By a thread: a worker of Celery may start no processes, and those of a DataLoader need more shared memory than containers
    have. Copying and indexing leave other threads alone.
    """
    on_gpu = device.type == "cuda"
    generator = torch.Generator()  # its own: it draws a seed for processes
    loader = iter(DataLoader(Reading(read), batch_size=None, sampler=draws, pin_memory=on_gpu, generator=generator))
    with Background("batches") if on_gpu else Foreground() as reader:
        ahead = deque[Future[B | None]]()
        while True:
            while len(ahead) < (AHEAD if on_gpu else 1):
                ahead.append(reader.submit(next, loader, None))
            batch = result(ahead.popleft())
            if batch is None:
                return
            yield batch


def packed(images: NDArray[np.uint8]) -> Tensor:
    """The pixels of images (n, side, side, 3) in one list, int32 (n side side,): red, green, blue and a spare byte.

    One number is fetched faster than three.
    """
    return torch.from_numpy(np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))).view(torch.int32).flatten()


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Square images (n, channels, side, side), mirrored half of the time and displaced; edges are reflected."""
    count, channels, side = x.shape[:3]
    places = displaced(*displacements(count, side, generator), side)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)[places.flatten()]
    return pixels.view(count, side, side, channels).permute(0, 3, 1, 2)


def displacements(count: int, side: int, generator: torch.Generator, shift: float = SHIFT) -> tuple[Tensor, Tensor]:
    """Which of so many images are mirrored, bool (count, 1), and how far each is displaced, int64 (count, 2, 1): at most by
    the share `shift` of the side."""
    mirrored = torch.randint(2, (count, 1), generator=generator).bool()
    return mirrored, torch.round((torch.rand(count, 2, 1, generator=generator) * 2 - 1) * shift * side).long()


def displaced(mirrored: Tensor, shift: Tensor, side: int) -> Tensor:
    """Where each pixel of augmented images comes from, int64 (n, side, side): its place in the list of all their pixels."""
    here, images = torch.arange(side), torch.arange(len(mirrored))
    columns = reflected(torch.where(mirrored, here, side - 1 - here) + shift[:, 0], side)
    rows = reflected(here + shift[:, 1], side)
    return (images[:, None, None] * side + rows[:, :, None]) * side + columns[:, None, :]


def reflected(place: Tensor, side: int) -> Tensor:
    """Places beside a row of `side` pixels as those that they mirror."""
    return torch.where(place < 0, -1 - place, torch.where(place >= side, 2 * side - 1 - place, place))
