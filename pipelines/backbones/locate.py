"""Where a checkpoint lies, of whatever field: a folder, a file, or a repository of the Hugging Face hub in its cache."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from pipelines.backbones.files import CONFIG, INDEX, PICKLES
from pipelines.errors import ModelError
from pipelines.spec.models import WEIGHTS_SUFFIX, split_revision


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field of a spec may name."""

    noun: str  # in errors
    config: str = ""  # the file that a folder of it holds; "": it is no folder
    model_type: str = ""  # what its config.json says; "": anything
    file: bool = False  # whether a single file of weights will do
    beside: str = ""  # a folder beside the file, with a model that belongs to it


DIFFUSERS = Kind("a diffusers checkpoint", INDEX, file=True)
CONFIGURATION = Kind("a diffusers checkpoint", INDEX)  # of which no weights are read
CLIP = Kind("a CLIP checkpoint", CONFIG, "clip")
CLIPSEG = Kind("a CLIPSeg checkpoint", CONFIG, "clipseg")
DETECTOR = Kind("a GroundingDINO checkpoint", CONFIG)
SAM = Kind("a SAM checkpoint", CONFIG, "sam")
CLASSIFIER = Kind("an image classifier", CONFIG)
LANGUAGE_MODEL = Kind("a causal language model of transformers", CONFIG)
LORA = Kind("a LoRA", "pytorch_lora_weights.safetensors", file=True)
EMBEDDING = Kind("an embedding", "learned_embeds.safetensors", file=True)
IP_ADAPTER = Kind(
    "an IP-Adapter, FOLDER/FILE.safetensors with its encoder in FOLDER/image_encoder", file=True, beside="image_encoder"
)


class NotReadError(ModelError):
    """A checkpoint lies where this process does not look: on the hub, or on a disk of the workers."""


# Folders that are on the workers' disks alone, where only what lies here is to be read; None: the hub is asked, too.
ELSEWHERE: ContextVar[Sequence[Path] | None] = ContextVar("elsewhere", default=None)


@contextmanager
def only_here(elsewhere: Sequence[Path] = ()) -> Iterator[None]:
    """Inside the block nothing is downloaded: `locate` raises NotReadError for what the hub's cache lacks, and for what lies
    in folders that are `elsewhere`."""
    token = ELSEWHERE.set(elsewhere)
    try:
        yield
    finally:
        ELSEWHERE.reset(token)


def locate(field: str, value: str, kind: Kind, *, weights: bool = False) -> Path:
    """The folder of a checkpoint, or its file: a path that exists; else ORGANISATION/NAME of the hub, or a file in it, and
    @REVISION if need be. Of a repository, what the cache lacks is downloaded: configurations, and `weights`.

    Raises ModelError that names the field, the value and the remedy.
    """
    path, name = Path(os.path.expanduser(value)), split_revision(value)[0]
    if not os.path.exists(path):
        if any(path.is_relative_to(folder) for folder in ELSEWHERE.get() or ()):
            raise not_read(field, value, "lies on a disk that only workers have")
        if is_path(name):
            place = "file" if name.endswith(WEIGHTS_SUFFIX) else "folder"
            raise ModelError(f"{field}: there is no {place} {value!r}; give that of {kind.noun}, or a hub id")
        path = cached(field, value, kind, weights)
    check(field, value, kind, path)
    return path


def is_path(name: str) -> bool:
    """Whether a name can be no repository of the hub, and no file in one."""
    slashes = name.count("/")
    return name.startswith(("/", ".", "~")) or not (slashes == 1 or (slashes > 1 and name.endswith(WEIGHTS_SUFFIX)))


def check(field: str, value: str, kind: Kind, path: Path) -> None:
    """Raises ModelError for a folder or a file of another kind."""
    if path.is_file():
        if path.suffix != WEIGHTS_SUFFIX and (kind.file or path.suffix in PICKLES):
            raise ModelError(
                f"{field}: {value!r} is no safetensors file, and pickles can run code when they are read; convert it by "
                f"`counterpoise convert {value} --out FILE.safetensors`, or give {kind.noun} as safetensors"
            )
        if not kind.file:
            raise ModelError(f"{field}: {value!r} is a single file; give the folder of {kind.noun}, or a hub id")
        if kind.beside and not (path.parent / kind.beside / CONFIG).is_file():
            raise ModelError(f"{field}: {value!r} has no {kind.beside}/{CONFIG} beside it; give {kind.noun}")
    elif not kind.config:
        raise ModelError(f"{field}: {value!r} is a folder; give the file of {kind.noun}")
    elif not (path / kind.config).is_file():
        raise ModelError(f"{field}: {value!r} has no {kind.config}; give the folder of {kind.noun}, or a hub id")
    elif kind.model_type and (given := model_type(path / kind.config)) != kind.model_type:
        raise ModelError(f"{field}: {value!r} is a model of the type {given!r}; give {kind.noun}")


def model_type(config: Path) -> str:
    """What a transformers configuration says of its model; "" where it says nothing."""
    try:
        return str(json.loads(config.read_text(encoding="utf-8")).get("model_type", ""))
    except (ValueError, AttributeError):
        return ""


def cached(field: str, value: str, kind: Kind, weights: bool) -> Path:
    """The snapshot of a repository in the hub's cache, or a file in it. Raises ModelError."""
    name, revision = split_revision(value)
    organisation, repository, *inner = name.split("/")
    identity = f"{organisation}/{repository}"
    try:  # where no library of it is, there is no cache of it either: in the image of the API
        from pipelines.backbones import hub
    except ModuleNotFoundError:
        raise not_read(field, value, "is of the hub, whose library is not installed here") from None
    here = ELSEWHERE.get() is not None
    ask = not (here or hub.is_offline_mode())
    try:
        if inner:
            return hub.file_of(identity, "/".join(inner), revision, kind.beside, ask=ask)
        return hub.snapshot(identity, revision, kind.config, weights=weights, ask=ask)
    except (OSError, ValueError) as error:
        if here:
            raise not_read(field, value, "is of the hub, and not in its cache here") from None
        if not ask:
            command = f"HF_HUB_OFFLINE=0 hf download {identity}" + (f" --revision {revision}" if revision else "")
            raise ModelError(
                f"{field}: {value!r} is neither here nor in the hub's cache, and HF_HUB_OFFLINE=1 forbids a download; run "
                f"{command}, or give the path of {kind.noun}"
            ) from None
        raise ModelError(
            f"{field}: the hub does not give {value!r} ({reason(error)}); give another id, or the path of {kind.noun}"
        ) from None


def not_read(field: str, value: str, why: str) -> NotReadError:
    return NotReadError(f"{field}: {value!r} {why}; it was not looked at, and a worker does")


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
