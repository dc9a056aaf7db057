"""Sending a folder of images to a service, and waiting until one of its workers has read them."""

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from pipelines.source.pack import pack
from service.sources.schemas import UploadView

Call = Callable[..., Any]  # `Client.call`
Report = Callable[[UploadView], None]

CHUNK = 2**20  # bytes of an upload that are sent at a time
SHORT_PAUSES = (0.1, 0.2, 0.5, 1.0)  # seconds between the first looks at an upload that is being read
LONG_PAUSE = 2.0  # and between all others


def send(call: Call, name: str, folder: Path, *, allow_synthetic: bool) -> UploadView:
    """Send the images of a folder as source `name`."""
    with tempfile.TemporaryFile() as file:
        pack(folder, file)
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(file.tell())}

        def chunks() -> Iterator[bytes]:
            file.seek(0)
            while chunk := file.read(CHUNK):
                yield chunk

        # A generator is used up by an attempt: `call` is given a fresh one each time.
        options = {"content": chunks, "headers": headers, "params": {"allow_synthetic": allow_synthetic}, "timeout": 600}
        return UploadView.model_validate(call("PUT", f"/v1/sources/{name}", **options))


def wait(call: Call, upload: UploadView, report: Report) -> UploadView:
    """Wait until an upload is done or has failed; `report` is given it in each of its states."""
    report(upload)
    for pause in chain(SHORT_PAUSES, repeat(LONG_PAUSE)):
        if upload.ended:
            break
        time.sleep(pause)
        before = upload.state
        upload = UploadView.model_validate(call("GET", f"/v1/sources/{upload.source}/uploads/{upload.id}"))
        if upload.state != before:
            report(upload)
    return upload
