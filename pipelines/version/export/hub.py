"""Pushing a version into a dataset repository of the Hugging Face Hub: Parquet, card and all the rest, as it is."""

from pathlib import Path
from typing import Any

from pipelines.errors import ExportError
from pipelines.store.object_store import Store

# Not in the manifest, since they are written after it.
REPORT = ("summary.json", "report.html", "card.md", "samples.png", "quality_report.json", "map.parquet")
LATER = ("evaluation.json", "diff.json", *(f"report/{name}" for name in REPORT))
OWN = ("data/", "rejected/", "reports/", "figures/", *LATER)  # what begins so is of a version, and goes with it


def version_files(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """The paths of what a version's folder holds. Raises ExportError where something is missing."""
    paths = ["manifest.json", *(file["path"] for file in manifest["files"])]
    if missing := [path for path in paths if not (folder / path).is_file()]:
        raise ExportError(f"version: {folder} lacks {missing[0]}, which its manifest names; pull it again")
    return [*paths, *(path for path in LATER if (folder / path).is_file())]


def push(folder: Path, repository: str, *, private: bool = True) -> str:
    """Commit a version's folder to a repository, which is made if it is not there; return the commit's address.

    Samples of an earlier push are removed by the same commit: the repository's history holds those. The token is the one
    that huggingface_hub finds. Raises ExportError, and then nothing is committed.
    """
    manifest = Store.open(folder).json("manifest.json")
    paths = version_files(folder, manifest)
    try:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    except ImportError:
        raise ExportError("--push: needs huggingface_hub; pip install huggingface_hub") from None
    api = HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        old = set(api.list_repo_files(repository, repo_type="dataset")) - set(paths)
        changes: list[Any] = [CommitOperationAdd(path, folder / path) for path in paths]
        changes += [CommitOperationDelete(path) for path in sorted(old) if path.startswith(OWN)]
        title = f"{manifest['name']}, version {manifest['version']}"
        commit = api.create_commit(repository, changes, commit_message=title, repo_type="dataset")
    except Exception as error:  # the client's own errors, its HTTP library's, and the system's
        raise ExportError(f"--push: {repository!r} could not be written: {error}") from None
    return str(commit.commit_url)
