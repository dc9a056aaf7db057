"""The object store: a thin, typed view of obstore, local folder or s3://."""

import contextlib
import hashlib
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

T = TypeVar("T")


@retry(
    retry=retry_if_exception_type(GenericError),
    stop=stop_after_attempt(6),
    wait=wait_random_exponential(0.1, 5),
    reraise=True,
)
def again(call: Callable[[], T]) -> T:
    """Do it, and again when the store has failed: every write of ours may be done twice."""
    return call()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no freedom: the same value is always the same bytes."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest(value: Any) -> str:
    """First 16 hex digits of the sha256 of a JSON value: the address of a concept."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


class Reader(io.RawIOBase):
    """An object as a file that can be read in parts: only what is asked for is fetched."""

    def __init__(self, objects: ObjectStore, key: str) -> None:
        self.objects, self.key, self.place = objects, key, 0
        self.size = int(again(lambda: obstore.head(objects, key))["size"])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        return self.place

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self.size - self.place))
        if count:
            start = self.place
            buffer[:count] = bytes(again(lambda: obstore.get_range(self.objects, self.key, start=start, length=count)))
            self.place += count
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
        again(lambda: obstore.put(self.objects, key, data))

    def create(self, key: str, data: bytes) -> None:
        """Put if absent. The same bytes again are fine; other bytes raise StoreError: nothing is ever overwritten."""
        try:
            again(lambda: obstore.put(self.objects, key, data, mode="create"))
        except AlreadyExistsError:
            if self.get(key) != data:
                raise StoreError(
                    f"{key}: already there with other content. A version never changes: "
                    "choose another output, or delete the old version first"
                ) from None

    def get(self, key: str) -> bytes:
        """Raises StoreError when there is no such object."""
        try:
            return again(lambda: bytes(obstore.get(self.objects, key).bytes()))
        except (NotFoundError, FileNotFoundError):
            raise StoreError(f"{key}: no such object") from None

    def file(self, key: str) -> Reader | None:
        """The object as a file; None when there is no such object."""
        try:
            return Reader(self.objects, key)
        except (NotFoundError, FileNotFoundError):
            return None

    def exists(self, key: str) -> bool:
        try:
            again(lambda: obstore.head(self.objects, key))
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def delete(self, key: str) -> None:
        """Gone afterwards, whether it was there or not."""
        with contextlib.suppress(NotFoundError, FileNotFoundError):
            again(lambda: obstore.delete(self.objects, key))

    def json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def folders(self, prefix: str) -> list[str]:
        """The names right below a prefix that have keys below them, sorted."""
        found = again(lambda: obstore.list_with_delimiter(self.objects, prefix))
        return sorted(str(each).rstrip("/").rsplit("/", 1)[-1] for each in found["common_prefixes"])

    def keys(self, prefix: str) -> list[str]:
        """All keys under a prefix, sorted."""
        return sorted(str(meta["path"]) for batch in obstore.list(self.objects, prefix) for meta in batch)
