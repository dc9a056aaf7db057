"""The records that flow through a version, in the order in which they appear. Everything else is written in their terms.

Images are uint8 arrays (height, width, 3), RGB; masks are bool arrays (height, width), true where to paint.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Item:
    """One real image of a source."""

    id: str  # unique and stable within the source: its relative path
    sha256: str  # of the encoded bytes; of a rendered image, of all that determines it
    label: str  # one of the source's classes
    group: str | None  # the spurious attribute, where the source knows it: "grass"


@dataclass(frozen=True, slots=True)
class Problem:
    """An image that could not be used, and what to do about it."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cell:
    """So many images of one kind: `count` of class `label`, to be made from real images of class `origin`."""

    label: str
    origin: str | None  # None when no source image is used
    count: int
    carried: int = 0  # so many of them an earlier version has made already


@dataclass(frozen=True, slots=True)
class Slot:
    """One image of the plan, before anything is learned: the `rank`-th source image of class `origin`, made a `label`."""

    index: int  # position in the plan, 0..
    label: str
    origin: str | None
    rank: int


@dataclass(frozen=True, slots=True)
class Graft:
    """A real object that is put into another picture; what is generated is what joins the two."""

    item: Item  # where it comes from
    image: Image  # the other picture with the object in it
    mask: Mask  # where the object is: never repainted


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """What the model is shown beside the text: an embedding made of one or two real images."""

    embedding: NDArray[np.float32]  # (width,), of the model's image encoder
    partner: Item | None = None  # the second image, where two were mixed; the first is the request's source
    scale: float = 1.0  # how much it counts against the text, 0..1; for IP-Adapters alone
    level: int = 0  # noise on it, 0..999; for unCLIP checkpoints alone


@dataclass(frozen=True, slots=True)
class Request:
    """One image to make."""

    index: int
    attempt: int  # 0..max_attempts - 1
    seed: int  # derived from (version seed, index, attempt)
    label: str
    method: str
    prompt: str
    source: Item | None = None
    image: Image | None = None  # the source image at the model's resolution
    mask: Mask | None = None  # the region that changes; None changes everything
    graft: Graft | None = None  # a real object to stand in that region
    shown: ImagePrompt | None = None
    concept: str | None = None  # key of the learned token in the store
    lora: str | None = None  # key of the learned LoRA in the store
    strength: float = 1.0  # share of the noise schedule that is run, 0 < strength <= 1
    guidance: float = 7.5  # classifier-free guidance scale, >= 1; 1 turns it off
    steps: int = 25  # steps of the full schedule

    @property
    def start(self) -> Image | None:
        """What generation starts from, and keeps where it does not paint."""
        return self.image if self.graft is None else self.graft.image

    @property
    def other(self) -> Item | None:
        """The second real image that went into it: the grafted object's, or the one that was mixed in."""
        if self.graft is not None:
            return self.graft.item
        return None if self.shown is None else self.shown.partner

    @property
    def painted(self) -> Mask | None:
        """What generation paints: the region, but no real object in it."""
        return self.mask if self.mask is None or self.graft is None else self.mask & ~self.graft.mask


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generated image."""

    request: Request
    image: Image


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the filters said. A dropped candidate always has a reason."""

    scores: dict[str, float] = field(default_factory=dict)  # "filter.score" -> value
    reason: str | None = None  # None keeps; else "filter: why"

    @property
    def kept(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Sample:
    """A judged candidate: a row of the version if kept, of its rejects if not."""

    candidate: Candidate
    verdict: Verdict
