"""Where a checkpoint lies, of whatever field: a folder, a file, or a repository of the Hugging Face hub in its cache."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download, is_offline_mode, model_info, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from pipelines.backbones.files import CONFIG, INDEX, TEXTS, files_read
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
LORA = Kind("a LoRA", "pytorch_lora_weights.safetensors", file=True)
EMBEDDING = Kind("an embedding", "learned_embeds.safetensors", file=True)
IP_ADAPTER = Kind(
    "an IP-Adapter, FOLDER/FILE.safetensors with its encoder in FOLDER/image_encoder", file=True, beside="image_encoder"
)


def locate(field: str, value: str, kind: Kind, *, weights: bool = False) -> Path:
    """The folder of a checkpoint, or its file: a path that exists; else ORGANISATION/NAME of the hub, or a file in it, and
    @REVISION if need be. Of a repository, what the cache lacks is downloaded: configurations, and `weights`.

    Raises ModelError that names the field, the value and the remedy.
    """
    path, name = Path(os.path.expanduser(value)), split_revision(value)[0]
    if not os.path.exists(path):
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
        if path.suffix != WEIGHTS_SUFFIX and (kind.file or path.suffix in (".ckpt", ".bin", ".pt", ".pth")):
            raise ModelError(
                f"{field}: {value!r} is no safetensors file, and pickles can run code when they are read; convert it, or "
                f"give {kind.noun} as safetensors"
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
    try:
        if inner:
            return file_of(identity, "/".join(inner), revision, kind.beside)
        if not is_offline_mode():
            download(identity, revision, weights)
        return Path(hf_hub_download(identity, kind.config, revision=revision)).parent
    except (OSError, ValueError) as error:
        if is_offline_mode():
            command = f"HF_HUB_OFFLINE=0 hf download {identity}" + (f" --revision {revision}" if revision else "")
            raise ModelError(
                f"{field}: {value!r} is neither here nor in the hub's cache, and HF_HUB_OFFLINE=1 forbids a download; run "
                f"{command}, or give the path of {kind.noun}"
            ) from None
        raise ModelError(
            f"{field}: the hub does not give {value!r} ({reason(error)}); give another id, or the path of {kind.noun}"
        ) from None


def file_of(identity: str, name: str, revision: str | None, beside: str) -> Path:
    """A file of a repository in the cache, and the folder beside it that belongs to it."""
    folder = "/".join([*name.split("/")[:-1], beside])
    if beside and not is_offline_mode():
        patterns = [f"{folder}/*{suffix}" for suffix in (*TEXTS, WEIGHTS_SUFFIX)]
        snapshot_download(identity, revision=revision, allow_patterns=patterns)
    return Path(hf_hub_download(identity, name, revision=revision))


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def download(identity: str, revision: str | None, weights: bool) -> None:
    """Put configurations and tokenizers of a repository into the cache, and with `weights` all else that is read of it."""
    with suppress(LocalEntryNotFoundError):  # no connection: what the cache holds will do
        folder = Path(snapshot_download(identity, revision=revision, allow_patterns=[f"*{suffix}" for suffix in TEXTS]))
        if weights:
            snapshot_download(identity, revision=revision, allow_patterns=files_read(folder, listing(identity, revision)))


def listing(identity: str, revision: str | None) -> list[str]:
    """All files of a repository. Raises LocalEntryNotFoundError where it cannot be reached."""
    try:
        return [file.rfilename for file in model_info(identity, revision=revision).siblings or []]
    except OSError:
        raise
    except Exception as error:  # of whichever HTTP library the client is built on
        raise LocalEntryNotFoundError(str(error)) from None
