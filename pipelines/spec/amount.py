"""How many images to make."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Strict


def divided(total: int, parts: int) -> list[int]:
    """`total` in `parts` numbers that differ by one at most: 10 in 3 is 4, 3, 3."""
    return [total // parts + (i < total % parts) for i in range(parts)]


class Amount(Strict):
    """How many images to make: one of these."""

    per_class: int | None = Field(None, ge=1, description="Images carrying each label.")
    total: int | None = Field(None, ge=1, description="Images in all, as many of each label.")
    multiply: float | None = Field(None, gt=0, le=10_000, description="Images of a label for each real one.")
    balance: Literal["classes", "groups"] | None = Field(
        None,
        description="As many as fill every class up to the largest, or, by spurious_removal, every class on every group.",
    )

    @model_validator(mode="after")
    def one(self) -> "Amount":
        if len(self.model_fields_set & {name for name, value in self if value is not None}) != 1:
            raise ValueError(f"give one of {', '.join(Amount.model_fields)}")
        return self

    def __str__(self) -> str:
        """As people say it: '300 images a class'."""
        if self.balance:
            return f"as many images as balance the {self.balance}"
        if self.multiply:
            return f"{self.multiply:g} images for each real one"
        return f"{self.per_class} images a class" if self.per_class else f"{self.total} images"
