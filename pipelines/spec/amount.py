"""How many images to make."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Strict, quantity

LARGEST = 100_000_000  # images


def divided(total: int, parts: int) -> list[int]:
    """`total` in `parts` numbers that differ by one at most: 10 in 3 is 4, 3, 3."""
    return [total // parts + (i < total % parts) for i in range(parts)]


class Amount(Strict):
    """How many images to make: one of these."""

    per_class: int | None = Field(None, ge=1, le=LARGEST, description="Images of each class.")
    total: int | None = Field(None, ge=1, le=LARGEST, description="Images in all, equally many of each class.")
    multiply: float | None = Field(None, gt=0, le=10_000, description="Images of a class for each real training image.")
    balance: Literal["classes", "groups"] | None = Field(
        None,
        description="Fill every class up to the largest, or every pair of class and group, by spurious_removal alone.",
    )

    @model_validator(mode="after")
    def one(self) -> "Amount":
        if len(self.model_fields_set & {name for name, value in self if value is not None}) != 1:
            raise ValueError(f"give one of {', '.join(Amount.model_fields)}")
        return self

    def __str__(self) -> str:
        """In words: '300 images a class'."""
        if self.balance:
            return f"as many images as balance the {self.balance}"
        if self.multiply:
            return f"{self.multiply:g} image{'s' * (self.multiply != 1)} for each real one"
        return f"{quantity(self.per_class, 'image')} a class" if self.per_class else quantity(self.total or 0, "image")
