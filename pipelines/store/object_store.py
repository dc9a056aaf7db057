"""The object store: a thin, typed view of obstore, local folder or s3://."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pipelines.errors import StoreError
from pipelines.progress import step

T = TypeVar("T")


@retry(
    retry=retry_if_exception_type(GenericError),
    stop=stop_after_attempt(6),
    wait=wait_random_exponential(0.1, 5),
    reraise=True,
)
def retried(call: Callable[[], T]) -> T:
    """Call, with exponential backoff after failures of the store: every write of ours is idempotent.

    Each try is a step, so that whoever has lost the work by then writes nothing.
    """
    step()
    return call()


class ObjectReader(io.RawIOBase):
    """An object as a seekable file: only the ranges that are read are fetched."""

    def __init__(self, objects: ObjectStore, key: str) -> None:
        self.objects, self.key, self.position = objects, key, 0
        self.size = int(retried(lambda: obstore.head(objects, key))["size"])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self.size - self.position))
        if count:
            start = self.position
            buffer[:count] = bytes(retried(lambda: obstore.get_range(self.objects, self.key, start=start, length=count)))
            self.position += count
        return count


@dataclass(frozen=True, slots=True)
class Store:
    objects: ObjectStore

    @classmethod
    def open(cls, url: str | Path) -> "Store":
        """Open a folder (made if missing) or a URL such as s3://bucket/prefix."""
        if "://" in str(url):
            return cls(from_url(str(url)))
        try:
            Path(url).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{url}: cannot be a folder ({error}); name another") from None
        return cls(LocalStore(Path(url).resolve()))

    def put(self, key: str, data: bytes) -> None:
        """Write, whatever is there."""
        retried(lambda: obstore.put(self.objects, key, data))

    def create(self, key: str, data: bytes) -> None:
        """Put if absent. The same bytes again are fine; other bytes raise StoreError: nothing is ever overwritten."""
        try:
            retried(lambda: obstore.put(self.objects, key, data, mode="create"))
        except AlreadyExistsError:
            if self.get(key) != data:
                raise StoreError(
                    f"{key}: already there with other content. A version never changes: "
                    "choose another output, or delete the old version first"
                ) from None

    def put_first(self, key: str, data: bytes) -> bytes:
        """Put if absent, and return what the object holds: the first writer wins, later ones take what is there."""
        try:
            retried(lambda: obstore.put(self.objects, key, data, mode="create"))
        except AlreadyExistsError:
            return self.get(key)
        return data

    def get(self, key: str) -> bytes:
        """Raises StoreError when there is no such object."""
        try:
            return retried(lambda: bytes(obstore.get(self.objects, key).bytes()))
        except (NotFoundError, FileNotFoundError):
            raise StoreError(f"{key}: no such object") from None

    def file(self, key: str) -> ObjectReader | None:
        """The object as a file; None when there is no such object."""
        try:
            return ObjectReader(self.objects, key)
        except (NotFoundError, FileNotFoundError):
            return None

    def exists(self, key: str) -> bool:
        try:
            retried(lambda: obstore.head(self.objects, key))
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def delete(self, key: str) -> None:
        """Gone afterwards, whether it was there or not."""
        with contextlib.suppress(NotFoundError, FileNotFoundError):
            retried(lambda: obstore.delete(self.objects, key))

    def json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def folders(self, prefix: str) -> list[str]:
        """The names right below a prefix that have keys below them, sorted."""
        listing = retried(lambda: obstore.list_with_delimiter(self.objects, prefix))
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in listing["common_prefixes"])

    def keys(self, prefix: str) -> list[str]:
        """All keys under a prefix, sorted."""
        return sorted(str(meta["path"]) for batch in obstore.list(self.objects, prefix) for meta in batch)
