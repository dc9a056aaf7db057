"""Where the bundled checkpoints lie."""

from pathlib import Path

from pipelines.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"
ADAPTER = "ip-adapter.safetensors"


def resolve(checkpoint: str, part: str) -> str:
    """'builtin' is the bundled `part`: model, clip, adapter, segmenter, oracle. Anything else is a path or hub id."""
    if checkpoint != "builtin":
        return checkpoint
    folder = WEIGHTS / part
    if not folder.is_dir():
        raise ModelError(f"the bundled {part} is missing from {WEIGHTS}; install the package again, or give a checkpoint")
    return str(folder)
