"""Where the bundled checkpoints lie."""

from pathlib import Path

from pipelines.errors import ModelError
from pipelines.spec.models import BUILTIN, BUILTIN_INPAINTING

WEIGHTS = Path(__file__).parent / "weights"
ADAPTER = "ip-adapter.safetensors"


def resolve(checkpoint: str, part: str) -> str:
    """The path of the bundled `part` (model, clip, adapter, segmenter, oracle) for 'builtin', of the model's twin for
    'builtin-inpainting'; anything else as it is."""
    if checkpoint == BUILTIN_INPAINTING and part == "model":
        part = "inpainting"
    elif checkpoint != BUILTIN:
        return checkpoint
    folder = WEIGHTS / part
    if not folder.is_dir():
        raise ModelError(f"the bundled {part} is missing from {WEIGHTS}; install the package again, or give a checkpoint")
    return str(folder)
