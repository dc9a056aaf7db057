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


class CheckedSpec(VersionSpec):
    """A valid spec."""

    warnings: list[str] = Field(description="What it will do badly, and the remedy; the spec itself has no such field.")
