"""Response models of what a spec may name: methods, filters, tokens, checkpoints."""

from typing import Any

from pydantic import BaseModel, Field

from pipelines.spec import VersionSpec


class ComponentView(BaseModel):
    """A method or a filter."""

    type: str
    description: str
    parameters: dict[str, Any]  # JSON Schema


class ConceptView(BaseModel):
    """A token that was learned, usable again by every version that needs the same one."""

    token: str = Field(examples=["<boot>"])
    key: str = Field(description="Key of its embedding in the store, as plain diffusers loads it.")
    word: str = Field(description="The superclass.")
    label: str = Field(description="The class that it was learned for.")
    images: int = Field(description="Images that it was learned from.")
    model: str = Field(description="Revision of the text-to-image model that reads it.")
    learning_rate: float
    losses: list[float] = Field(description="The learning curve, every tenth step.")


class CheckpointView(BaseModel):
    """Something that a spec's `models` or `classifier` may name."""

    name: str
    kind: str = Field(
        description="builtin, folder, file: weights in a single file; or hub: any checkpoint of that organisation."
    )


class CheckpointFacts(BaseModel):
    """What a checkpoint is, by its configuration."""

    field: str = Field(examples=["models.text_to_image"])
    name: str = Field(description="As the spec has it.")
    pipeline: str = Field(description="Its class in diffusers.", examples=["StableDiffusionXLPipeline"])
    inpainting: bool
    resolution: int = Field(description="Pixels a side that it is given: models.resolution, else what it is made for.")
    made_for: int = Field(description="Pixels a side that its configuration says; 0: it does not.")
    most_steps: int | None = Field(description="Of one that is distilled: to how many steps.")
    whole: bool = Field(description="Whether diffusers runs it whole, without step-level batching.")
    unavailable: list[str] = Field(description="What a spec cannot ask of it.")
    text: str = Field(description="All of this, as `counterpoise validate` prints it.")


class MemoryView(BaseModel):
    """About the GPU memory that a spec needs in half precision, GiB; null: of what it does not do."""

    generating: int = Field(description="With as many images at a time as COUNTERPOISE_CAPACITY.")
    learning_tokens: int | None
    learning_lora: int | None
    text: str = Field(description="All of this, as `counterpoise validate` prints it.")


class CheckedSpec(VersionSpec):
    """A valid spec. What it has beside the fields of a spec is no part of one."""

    warnings: list[str] = Field(
        description="What it will do badly, and the remedy; and which checkpoints were not looked at, and why."
    )
    checkpoints: list[CheckpointFacts] = Field(description="The diffusers checkpoints that lie where the API does.")
    memory: MemoryView | None = Field(description="None: unknown, since weights or configurations do not lie here.")
