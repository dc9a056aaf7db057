"""Which checkpoints are used."""

from typing import Literal

from pydantic import Field

from pipelines.spec.base import Strict

BUILTIN = "builtin"  # what a spec calls the bundled checkpoints
WEIGHTS_SUFFIX = ".safetensors"
BUILTIN_INPAINTING = "builtin-inpainting"  # the inpainting twin of the bundled text-to-image model
BUNDLED = (BUILTIN, BUILTIN_INPAINTING)
Precision = Literal["auto", "bf16", "fp16", "fp32"]  # of a machine, and so no field of a spec


def split_revision(value: str) -> tuple[str, str | None]:
    """ORGANISATION/NAME@REVISION of the hub as its name and its revision, a branch, tag or commit; None: the main branch."""
    name, _, revision = value.partition("@")
    return name, revision or None


class Models(Strict):
    """The checkpoints to use. The defaults are in the package; any diffusers or transformers path or id will do."""

    text_to_image: str = Field(
        "builtin",
        description="A diffusers checkpoint, or one in a single .safetensors file: path, hub id, or 'builtin'.",
    )
    inpainting: str | None = Field(
        None,
        description="A diffusers inpainting checkpoint of the same family, which paints where a method repaints a part; "
        "tokens and LoRAs are learned on text_to_image. 'builtin-inpainting': the bundled one. None: text_to_image paints.",
    )
    config: str | None = Field(
        None,
        description="A diffusers checkpoint of the same family, of which configurations and tokenizers are used where "
        "text_to_image or inpainting is a single file. None: diffusers' default, from the hub or its cache.",
    )
    segmenter: str = Field(
        "builtin",
        description="A CLIPSeg checkpoint, a GroundingDINO and a SAM one joined by '+', 'builtin' (CLIPSeg), "
        "or 'cross-attention' (the text-to-image model's own).",
    )
    adapter: str = Field(
        "builtin",
        description="Adapter for image prompts: an IP-Adapter, FOLDER/FILE.safetensors with its "
        "encoder in FOLDER/image_encoder, or 'builtin'. unCLIP checkpoints need none.",
    )
    clip: str = Field("builtin", description="A CLIP checkpoint: path, hub id, or 'builtin'.")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="'auto', 'cpu', 'cuda', 'cuda:1', ...")
    resolution: int | None = Field(None, ge=32, le=4096, multiple_of=8, description="Pixels a side; none: the checkpoint's.")

    @property
    def bundled(self) -> bool:
        """Whether all of them are the bundled ones."""
        named = {self.text_to_image, self.inpainting, self.segmenter, self.adapter, self.clip}
        return named <= {*BUNDLED, None}
