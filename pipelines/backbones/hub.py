"""Repositories of the Hugging Face hub, and its cache on this machine. The one file that asks the hub."""

from contextlib import suppress
from pathlib import Path

from huggingface_hub import hf_hub_download, is_offline_mode, model_info, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from pipelines.backbones.files import TEXTS, files_read
from pipelines.spec.models import WEIGHTS_SUFFIX


def snapshot(identity: str, revision: str | None, config: str, *, weights: bool, ask: bool) -> Path:
    """The snapshot of a repository in the cache, which has the file `config`; with `ask`, what it lacks is downloaded first:
    configurations and tokenizers, and `weights`. Raises OSError or ValueError."""
    if ask:
        download(identity, revision, weights)
    return Path(hf_hub_download(identity, config, revision=revision, local_files_only=not ask)).parent


def file_of(identity: str, name: str, revision: str | None, beside: str, *, ask: bool) -> Path:
    """A file of a repository in the cache, and the folder `beside` it that belongs to it. Raises OSError or ValueError."""
    folder = "/".join([*name.split("/")[:-1], beside])
    if beside and ask:
        patterns = [f"{folder}/*{suffix}" for suffix in (*TEXTS, WEIGHTS_SUFFIX)]
        snapshot_download(identity, revision=revision, allow_patterns=patterns)
    return Path(hf_hub_download(identity, name, revision=revision, local_files_only=not ask))


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


__all__ = ["file_of", "is_offline_mode", "snapshot"]
