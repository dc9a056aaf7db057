"""What goes with several checkpoints that share a version's images (`models.further`), and what does not."""

from pipelines.spec.method_table import MethodSpec
from pipelines.spec.methods import TextToImage
from pipelines.spec.models import Models


def sharing_refusal(models: Models, method: MethodSpec) -> str | None:
    """Why these models and this method do not go with `models.further`, field and remedy named; None: they do."""
    if not isinstance(method, TextToImage):
        return f"method.type: {method.type} is of one checkpoint, and models.further draw from text; use text_to_image"
    refused: tuple[tuple[str, object, bool, str], ...] = (
        ("method.inversion", "a token", method.inversion is not None, "is learned on one checkpoint; set it to null"),
        ("method.lora", "a LoRA", method.lora is not None, "is learned on one checkpoint; leave it out"),
        ("method.siblings", method.siblings, method.siblings > 1, "would be drawn by different checkpoints; set it to 1"),
        (
            "method.entropy_guidance",
            method.entropy_guidance,
            method.entropy_guidance > 0,
            "is a strength for one checkpoint's latents; set it to 0",
        ),
        ("models.loras", "a LoRA", bool(models.loras), "is of one checkpoint's weights; leave them out"),
        (
            "models.embeddings",
            "an embedding",
            bool(models.embeddings),
            "is of one checkpoint's text encoders; leave them out",
        ),
        ("models.erase", "erasing", models.erase is not None, "edits one checkpoint's weights; leave it out"),
    )
    for field, value, given, reason in refused:
        if given:
            return f"{field}: {value} {reason}, or leave models.further out"
    return None
