"""The records that flow through a version, in order of appearance. Everything else is written in their terms.

Images are uint8 arrays (height, width, 3), RGB; masks are bool arrays (height, width), true inside.
"""

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Examples:
    """Labelled images. `groups` names the spurious attribute of each, None where it is unknown."""

    images: Sequence[Image]
    labels: Sequence[str]
    groups: Sequence[str | None]
    strengths: Sequence[float] | None = None  # of a version's samples: share of the noise schedule that was run

    def __len__(self) -> int:
        return len(self.images)

    def pick(self, rows: Sequence[int]) -> "Examples":
        """Those of these numbers."""
        images, labels, groups = self.images, self.labels, self.groups
        strengths = self.strengths_of(rows)
        pictures = [images[row] for row in rows]
        return Examples(pictures, [labels[row] for row in rows], [groups[row] for row in rows], strengths)

    def strengths_of(self, rows: Sequence[int]) -> Sequence[float] | None:
        """Those of these numbers; None where they have none."""
        return None if self.strengths is None else [self.strengths[row] for row in rows]


@dataclass(frozen=True, slots=True)
class Frame:
    """The square part of an image that a model works on, in the image's pixels; it may reach beyond the image's borders."""

    top: int
    left: int
    side: int


@dataclass(frozen=True, slots=True)
class FramedImage:
    """The part of a real image that a model works on, at the model's resolution or, of a small region, at a smaller one."""

    size: tuple[int, int]  # height and width of the whole image
    overview: Frame  # what classifiers and segmenters see of it
    frame: Frame
    image: Image  # the frame's pixels, (side, side, 3)
    mask: Mask  # the region that changes, in the frame: (side, side)

    @property
    def magnification(self) -> float:
        """How much larger things are in the frame than in the overview, if both had as many pixels."""
        return self.overview.side / self.frame.side

    def scale_in(self, other: "FramedImage") -> float:
        """How much larger, in pixels, things must be in the other so that they are as large a share of its overview."""
        return other.magnification / self.magnification * (len(other.image) / len(self.image))


@dataclass(frozen=True, slots=True)
class Problem:
    """An image that could not be used, and what to do about it."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of images of one kind: `count` of class `label`, generated from real images of class `origin`."""

    label: str
    origin: str | None  # None when no source image is used
    count: int
    carried: int = 0  # how many of them are carried over from an earlier version


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image of the plan: the `rank`-th source image of class `origin`, generated as class `label`."""

    index: int  # position in the plan, 0..
    label: str
    origin: str | None
    rank: int
    ordinal: int = 0  # among the planned images of its quota, 0..: those that follow each other have consecutive indices

    def first_sibling(self, siblings: int) -> int:
        """The index of the first of its group, where so many consecutive images of a quota are a group."""
        return self.index - self.ordinal % siblings


@dataclass(frozen=True, slots=True)
class Graft:
    """A real object cut out of one image and pasted into another; the gap around it is generated."""

    item: Item  # the image that it was cut from
    image: Image  # the other image with the object in it
    mask: Mask  # where the object is: not repainted, but blended at its inner edge


@dataclass(frozen=True, slots=True)
class Mix:
    """How a generated image is mixed with the real one that it is an edit of, into the sample (DiffuseMix)."""

    side_by_side: bool  # left the real half, right the generated one; else above and below
    fractal: Image  # blended over both, of their size
    weight: float  # of the fractal, 0..1


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """Conditioning beside the text: the embedding of one real image, or of two that were mixed."""

    embedding: NDArray[np.float32]  # (width,), of the backbone's image encoder
    negative: NDArray[np.float32] | None = None  # of classifier-free guidance's other prediction
    partner: Item | None = None  # the second image, where two were mixed; the first is the request's source
    scale: float = 1.0  # its weight against the text, 0..1; of IP-Adapters alone
    noise_level: int = 0  # of the embedding, 0..999; of unCLIP checkpoints alone


@dataclass(frozen=True, slots=True)
class NegativeMerging:
    """Pushes an image's tokens away from those of a reference, which starts from other noise and shares all else."""

    reference_seed: int  # of its noise
    alpha: float  # how far
    threshold: float  # cosine above which a token is pushed
    until: float  # in steps that begin before this share of the full run, from noise to image


@dataclass(frozen=True, slots=True)
class Request:
    """One image to generate: its prompt, conditioning and sampling parameters."""

    index: int
    attempt: int  # 0..max_attempts - 1
    seed: int  # derived from (version seed, index, attempt)
    label: str
    method: str
    prompt: str
    source: Item | None = None
    image: Image | None = None  # the source image in its frame
    mask: Mask | None = None  # the region that changes; None changes everything
    frame: Frame | None = None  # what `image` is of the source image
    size: tuple[int, int] | None = None  # height and width of what starts from noise; None: the checkpoint's
    graft: Graft | None = None  # a real object to stand in that region
    image_prompt: ImagePrompt | None = None
    mix: Mix | None = None  # of the generated image with `image`, once it is finished
    concept: str | None = None  # key of the learned token in the store
    lora: str | None = None  # key of the learned LoRA in the store; of several that are fused, joined by +
    checkpoint: int = 0  # which one draws it: 0 the first, then those of models.further
    group_id: str | None = None  # which images of the version belong together, as siblings do; None: to none
    strength: float = 1.0  # share of the noise schedule that is run, 0 < strength <= 1
    guidance: float = 7.5  # classifier-free guidance scale, >= 1; 1 turns it off
    image_guidance: float = 1.0  # scale of guidance by `image`, >= 1, beside the prompt's; of checkpoints that edit alone
    guidance_rescale: float = 0.0  # 0..1: how far guidance keeps the standard deviation of its conditional prediction
    guidance_interval: tuple[float, float] = (0.0, 1.0)  # where guidance is on: shares of the full run, from noise to image
    entropy_guidance: float = 0.0  # scale of entropy guidance, in that interval, too; 0 turns it off
    steps: int = 25  # steps of the full schedule
    solver: str = "auto"  # auto, by the checkpoint's scheduler; ddim or dpmsolver++
    negative_merging: NegativeMerging | None = None  # of what starts from noise alone
    negative_prompt: str = ""  # of classifier-free guidance's other prediction

    @property
    def init_image(self) -> Image | None:
        """The image that denoising starts from, kept outside the inpainting mask; None: pure noise."""
        return self.image if self.graft is None else self.graft.image

    @property
    def partner(self) -> Item | None:
        """The second real image of the request: the grafted object's, or the one mixed into its image prompt."""
        if self.graft is not None:
            return self.graft.item
        return None if self.image_prompt is None else self.image_prompt.partner

    @property
    def inpaint_mask(self) -> Mask | None:
        """Where generation repaints: the region, without the real object grafted into it."""
        return self.mask if self.mask is None or self.graft is None else self.mask & ~self.graft.mask

    @property
    def object_region(self) -> Mask | None:
        """Where the label's object stands in the frame: the outline of the real one that was grafted, or else the region."""
        return self.mask if self.graft is None else self.graft.mask


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generated image."""

    request: Request
    image: Image
    failure: str | None = None  # why the image is none, or an unfinished one: no filter looks at it, and it is dropped
    scores: Mapping[str, float] = field(default_factory=dict)  # "filter.score" -> value, by which it was ended early


@dataclass(frozen=True, slots=True)
class Verdict:
    """The filters' decision. A dropped candidate always has a reason."""

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
