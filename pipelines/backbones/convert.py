"""Weights that are kept as pickles, made safetensors: what is read is tensors alone, so that no code in a file is run."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.backbones.files import PICKLES, configuration
from pipelines.errors import ModelError
from pipelines.store.canonical import canonical

WEIGHTS_INDEX = ".index.json"  # of weights in several files: which of them lies where


def converted_name(name: str) -> str:
    """What diffusers and transformers look for: model.fp16.safetensors in place of pytorch_model.fp16.bin."""
    stem, dot, _ = name.rpartition(".")
    return re.sub(r"^pytorch_model\b", "model", stem) + dot + "safetensors"


def tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a pickle, by name. Raises ModelError for one that holds anything else: nothing in it is run."""
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:200]
        raise ModelError(
            f"{file}: holds more than tensors, or is no file of PyTorch's ({reason}); it was not run. Take a safetensors "
            "file, or the files of a source that you trust and convert them there"
        ) from None
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    named = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not named:
        raise ModelError(f"{file}: holds no weights by name; give a file of a checkpoint, a LoRA or an embedding")
    return named


def convert_file(file: Path, target: Path) -> None:
    """Raises ModelError."""
    # What two names share is written twice: safetensors has no sharing.
    named = {name: value.clone().contiguous() for name, value in tensors(file).items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    save_file(named, part, {"format": "pt"})
    part.rename(target)


def convert(source: Path, target: Path) -> Iterator[Path]:
    """Write a file, or a folder with all that is in it, without pickles; yield each file once it is there.

    What is there already as safetensors is copied, and so is every other file. Raises ModelError.
    """
    if source.is_file():
        convert_file(source, target)
        yield target
        return
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in PICKLES:
            copy = copy.with_name(converted_name(file.name))
            if not copy.exists() and not (file.parent / copy.name).exists():
                convert_file(file, copy)
                yield copy
        elif file.name.endswith(f".bin{WEIGHTS_INDEX}"):
            index = configuration(file)
            index["weight_map"] = {name: converted_name(part) for name, part in index["weight_map"].items()}
            copy = copy.with_name(converted_name(file.name.removesuffix(WEIGHTS_INDEX)) + WEIGHTS_INDEX)
            copy.write_bytes(canonical(index))
        else:
            shutil.copyfile(file, copy)
