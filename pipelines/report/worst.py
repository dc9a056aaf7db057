"""What the accuracy called `worst_group` is of: where no image has a group, a class stands for one."""

from collections.abc import Mapping
from typing import Any, Literal


def worst_part(arms: Mapping[str, Any]) -> Literal["worst group", "worst class"]:
    """Of the evaluation's arms: "worst class" if the groups of all are its classes."""
    groups = [(arm.get("groups", {}).keys(), arm.get("classes", {}).keys()) for arm in arms.values()]
    return "worst class" if groups and all(names and names == classes for names, classes in groups) else "worst group"
