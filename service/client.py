"""The service from Python.

from service.client import Client

with Client("http://127.0.0.1:8000", key) as client:
    version = client.submit(spec)
    for event in client.events(version.dataset, version.number): ...
"""

import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from pipelines.spec import FolderSource, UploadedSource, VersionSpec
from pipelines.spec.sources import RealSource, remote
from pipelines.version.verdicts import HumanVerdict
from service.catalogue.schemas import CheckedSpec
from service.datasets.schemas import DatasetPage, DatasetView
from service.previews.schemas import PreviewView
from service.schedules.schemas import ScheduleView
from service.sending import Report, send, wait
from service.sources.schemas import SourceView
from service.transport import ServiceError, Transport
from service.versions.schemas import VersionEvent, VersionPage, VersionView

PREVIEW_WAIT = 10  # seconds that the service holds an answer back until a preview is done


def uploaded_source(spec: VersionSpec) -> UploadedSource | None:
    """The source under the dataset's name that a folder on this machine becomes; None for other sources."""
    source = spec.source
    if not isinstance(source, FolderSource) or remote(source.path):
        return None
    kept = {name: getattr(source, name) for name in RealSource.model_fields}
    return UploadedSource(type="uploaded", name=spec.name, **kept)


class Client(Transport):
    """What can be asked of a service."""

    def submit(self, spec: VersionSpec, key: str | None = None) -> VersionView:
        """Create a version; a folder of images is uploaded first. `key` is its idempotency key: sent twice, it is one."""
        spec, _ = self.upload_folder(spec)
        options = {"json": spec.model_dump(mode="json"), "headers": {"Idempotency-Key": key or str(uuid.uuid4())}}
        return VersionView.model_validate(self.call("POST", f"/v1/datasets/{spec.name}/versions", **options))

    def upload(
        self, name: str, folder: Path, *, allow_synthetic: bool = False, report: Report = lambda upload: None
    ) -> SourceView:
        """Send the images of a folder as source `name`, and wait until they are read. Raises ServiceError if none can be."""
        upload = wait(self.call, send(self.call, name, folder, allow_synthetic=allow_synthetic), report)
        if upload.result is None:
            raise ServiceError(upload.error or f"upload {upload.id} is {upload.state}")
        return upload.result

    def validate(self, spec: VersionSpec) -> CheckedSpec:
        """The spec with all defaults, its checkpoints and warnings; of a folder to be sent, no image is read. Raises
        ServiceError for one that the service would refuse."""
        uploaded = uploaded_source(spec)
        valid = spec if uploaded is None else spec.model_copy(update={"source": uploaded})
        return CheckedSpec.model_validate(self.call("POST", "/v1/specs:validate", json=valid.model_dump(mode="json")))

    def upload_folder(
        self, spec: VersionSpec, report: Report = lambda upload: None
    ) -> tuple[VersionSpec, SourceView | None]:
        """Upload the images of the spec's folder under the dataset's name; return the spec of the uploaded source.

        Raises ServiceError for a spec that the service would refuse, before an image is sent.
        """
        source, uploaded = spec.source, uploaded_source(spec)
        if not isinstance(source, FolderSource) or uploaded is None:
            return spec, None
        self.validate(spec)
        view = self.upload(spec.name, Path(source.path), allow_synthetic=source.allow_synthetic, report=report)
        return spec.model_copy(update={"source": uploaded.model_copy(update={"digest": view.digest})}), view

    def source(self, name: str) -> SourceView:
        return SourceView.model_validate(self.call("GET", f"/v1/sources/{name}"))

    def version(self, dataset: str, number: int) -> VersionView:
        return VersionView.model_validate(self.call("GET", f"/v1/datasets/{dataset}/versions/{number}"))

    def summary(self, dataset: str, number: int) -> dict[str, Any]:
        """Accuracies, counts and times of a version that is published and evaluated."""
        summary: dict[str, Any] = self.call("GET", f"/v1/datasets/{dataset}/versions/{number}/files/report/summary.json")
        return summary

    def versions(self, **filters: Any) -> Iterator[VersionView]:
        """All versions, the newest first; of a `dataset`, or in a `state`."""
        cursor: str | None = None
        while True:
            params = filters | ({"cursor": cursor} if cursor else {})
            page = VersionPage.model_validate(self.call("GET", "/v1/versions", params=params))
            yield from page.items
            if (cursor := page.next) is None:
                return

    def cancel(self, dataset: str, number: int) -> VersionView:
        return VersionView.model_validate(self.call("POST", f"/v1/datasets/{dataset}/versions/{number}/cancel"))

    def retry(self, dataset: str, number: int) -> VersionView:
        return VersionView.model_validate(self.call("POST", f"/v1/datasets/{dataset}/versions/{number}/retry"))

    def datasets(self) -> Iterator[DatasetView]:
        """All datasets, by name: the latest version of each, its versions and its schedule."""
        cursor: str | None = None
        while True:
            page = DatasetPage.model_validate(self.call("GET", "/v1/datasets", params={"cursor": cursor} if cursor else {}))
            yield from page.items
            if (cursor := page.next) is None:
                return

    def dataset(self, name: str) -> DatasetView:
        return DatasetView.model_validate(self.call("GET", f"/v1/datasets/{name}"))

    def refresh(self, name: str, spec: VersionSpec | None = None, key: str | None = None) -> VersionView:
        """Create a version of what has changed since the newest; a folder of images is uploaded first.

        Without a spec it is the schedule's, or else the newest version's. Sent twice with the same `key`, it is one.
        """
        body = {"spec": None if spec is None else self.upload_folder(spec)[0].model_dump(mode="json")}
        options = {"json": body, "headers": {"Idempotency-Key": key or str(uuid.uuid4())}}
        return VersionView.model_validate(self.call("POST", f"/v1/datasets/{name}:refresh", **options))

    def preview(self, spec: VersionSpec, count: int = 8, *, forecast: bool = False) -> PreviewView:
        """Up to 16 images of a spec, and a forecast of its worth; a folder of images is uploaded first. Raises ServiceError
        when there are none."""
        document = self.upload_folder(spec)[0].model_dump(mode="json")
        body = {"spec": document, "count": count, "forecast": forecast}
        view = PreviewView.model_validate(self.call("POST", "/v1/previews", json=body))
        while view.state == "pending":
            view = PreviewView.model_validate(self.call("GET", f"/v1/previews/{view.id}", params={"wait": PREVIEW_WAIT}))
        if view.problem is not None:
            raise ServiceError(f"{view.problem.status}: {view.problem.detail}", view.problem.status)
        return view

    def promote(self, dataset: str, number: int) -> DatasetView:
        """Make a version the latest: one that was held, or an older one again."""
        return DatasetView.model_validate(self.call("POST", f"/v1/datasets/{dataset}/versions/{number}/promote"))

    def schedule(self, spec: VersionSpec, cron: str, **options: Any) -> ScheduleView:
        """Refresh a dataset by the clock; a folder of images is uploaded first. Options: `time_zone`, `enabled`, `busy`."""
        body = {"cron": cron, "spec": self.upload_folder(spec)[0].model_dump(mode="json"), **options}
        return ScheduleView.model_validate(self.call("PUT", f"/v1/datasets/{spec.name}/schedule", json=body))

    def unschedule(self, dataset: str) -> None:
        """Refresh a dataset by the clock no more."""
        self.call("DELETE", f"/v1/datasets/{dataset}/schedule")

    def delete(self, dataset: str, number: int) -> VersionView:
        """Remove a version that has ended, with its files: it is `deleting`, and then not there."""
        return VersionView.model_validate(self.call("DELETE", f"/v1/datasets/{dataset}/versions/{number}"))

    def delete_dataset(self, name: str) -> DatasetView:
        """Remove a dataset with its schedule and all versions: they are `deleting`, and then not there."""
        return DatasetView.model_validate(self.call("DELETE", f"/v1/datasets/{name}"))

    def pull(self, dataset: str, number: int, folder: Path, only: tuple[str, ...] = ("",)) -> Iterator[Path]:
        """Download a published version, or `only` the files whose paths begin so; yield each file as it is there. What is
        there already, and right, is left alone.

        Raises ServiceError when there is nothing yet, when a file arrives other than it was published, or cannot be written.
        """
        files = self.call("GET", f"/v1/datasets/{dataset}/versions/{number}/files")
        if not files:
            state = self.version(dataset, number).state
            remedy = "retry it first" if state in ("failed", "cancelled") else "wait for 'completed'"
            raise ServiceError(f"version {number} of {dataset!r} is {state}, and not published; {remedy}")
        for file in (file for file in files if file["path"].startswith(only)):
            target = folder / file["path"]
            if not (target.is_file() and file["sha256"] and sha256(target.read_bytes()).hexdigest() == file["sha256"]):
                path = f"/v1/datasets/{dataset}/versions/{number}/files/{quote(file['path'])}"
                data = self.retrying(self.download, file["url"], path)
                if file["sha256"] and sha256(data).hexdigest() != file["sha256"]:
                    raise ServiceError(f"{file['path']}: arrived damaged; pull again")
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
                except OSError as error:
                    raise ServiceError(f"{target}: cannot be written ({error.strerror}); pull into another folder") from None
            yield target

    def verdicts(self, dataset: str, number: int) -> list[HumanVerdict]:
        """What people decided about the samples of a version: who, and when."""
        rows = self.call("GET", f"/v1/datasets/{dataset}/versions/{number}/verdicts")
        return [HumanVerdict.model_validate(row) for row in rows]

    def events(self, dataset: str, number: int, after: int = 0) -> Iterator[VersionEvent]:
        """The events of a version until it ends; a connection that broke is resumed by Last-Event-ID."""
        while True:
            try:
                for event in self.stream(dataset, number, after):
                    after = event.id
                    yield event
            except httpx.TransportError:
                pass
            if self.version(dataset, number).ended:
                yield from self.stream(dataset, number, after)
                return
