"""Which files of a checkpoint are read: those of its parts, weights as safetensors, in one variant of them.

And reading those that say what it is: configurations, and the headers of weights.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

INDEX = "model_index.json"  # of a diffusers checkpoint: its pipeline, and the classes of its parts
CONFIG = "config.json"  # of a transformers checkpoint
PICKLES = (".bin", ".ckpt", ".pt", ".pth")  # suffixes of what PyTorch writes: they can run code when they are read
TEXTS = (".json", ".txt", ".model")  # suffixes of configurations and tokenizers
SCHEDULER = "scheduler_config.json"  # of a diffusers checkpoint's scheduler
UNREAD = ("safety_checker",)  # parts that are never loaded
DENOISERS = ("unet/", "transformer/")
SHARD = re.compile(r"-\d{5}-of-\d{5}")


def names(folder: Path) -> list[str]:
    """The files of a checkpoint's folder and of its parts' folders, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for pattern in ("*", "*/*") for path in folder.glob(pattern))


def is_weights(name: str) -> bool:
    """Whether a file holds weights as safetensors, or says in which of several each of them lies."""
    return name.endswith(".safetensors") or ".safetensors.index." in name


def variant(name: str) -> str | None:
    """The variant of a file of weights, `fp16` of `model.fp16.safetensors`; None for a plain one."""
    parts = SHARD.sub("", PurePosixPath(name).name).split(".")[1:]
    return next((part for part in parts if part not in ("safetensors", "index", "json")), None)


def variant_of(files: Iterable[str]) -> str | None:
    """The variant of a diffusers checkpoint whose denoiser has no plain weights; None: the plain ones."""
    variants = {variant(name) for name in files if name.startswith(DENOISERS) and is_weights(name)}
    return None if None in variants else min((name for name in variants if name is not None), default=None)


def part_files(files: Iterable[str], folder: str, chosen: str | None) -> list[str]:
    """The files in one folder of a checkpoint, "" for its own: texts, and weights of the variant that is chosen, plain ones
    where there are none of it."""
    inside = [name for name in files if name.rpartition("/")[0] == folder]
    weights = [name for name in inside if is_weights(name)]
    of_variant = [name for name in weights if variant(name) == chosen]
    texts = [name for name in inside if name.endswith(TEXTS) and ".index." not in name]
    return sorted([*texts, *(of_variant or [name for name in weights if variant(name) is None])])


def diffusers_files(files: list[str], index: Mapping[str, Any]) -> list[str]:
    """What is read of a diffusers checkpoint, whose model_index.json holds `index`."""
    parts = sorted(name for name, value in index.items() if isinstance(value, list) and value[0] and name not in UNREAD)
    return [INDEX, *(name for part in parts for name in part_files(files, part, variant_of(files)))]


def transformers_files(files: list[str]) -> list[str]:
    """What is read of a transformers checkpoint. Without safetensors: PyTorch's own files, read as tensors alone."""
    chosen = part_files(files, "", None)
    pickles = [name for name in files if re.fullmatch(r"pytorch_model[^/]*\.bin(\.index\.json)?", name)]
    return chosen if any(map(is_weights, chosen)) else sorted([*chosen, *pickles])


def files_read(folder: Path, files: list[str]) -> list[str]:
    """Of all `files` of a checkpoint, those that are read; `folder` holds its configurations. Raises OSError, ValueError."""
    index = folder / INDEX
    if index.exists():
        return diffusers_files(files, json.loads(index.read_text(encoding="utf-8")))
    return transformers_files(files)


def configuration(file: Path) -> dict[str, Any]:
    """What a configuration says. Raises OSError, or ValueError for what is no JSON object."""
    read = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(read, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return read


def header(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a safetensors file's weights, by name. Raises OSError, or ValueError for a file of another kind."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError("it has no header")
        try:
            entries = json.loads(opened.read(length))
            return {name: tuple(entry["shape"]) for name, entry in entries.items() if name != "__metadata__"}
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"its header holds no shapes ({error})") from None
