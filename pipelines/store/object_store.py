"""The object store: a thin, typed view of obstore, local folder or s3://."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_random_exponential

from pipelines.errors import StoreError
from pipelines.progress import step

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")
BULK = 1000  # objects in a step of listing or deleting: as many as S3 takes in one request


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a remote store is waited for."""

    connect: timedelta
    attempt: timedelta  # of one request, its data included
    retries: int  # of a request, by the client, while `seconds` are not over
    seconds: float  # after which a call that failed is not tried again


WORK = Patience(timedelta(seconds=5), timedelta(seconds=60), retries=5, seconds=180)


def retried(call: Callable[[], T], seconds: float = WORK.seconds) -> T:
    """Call, with exponential backoff after failures of the store: every write of ours is idempotent.

    Each try is a step, so that whoever has lost the work by then writes nothing.
    """

    def attempt() -> T:
        step()
        return call()

    stop = stop_after_attempt(6) | stop_after_delay(seconds)
    wait = wait_random_exponential(0.1, 5)
    return Retrying(retry=retry_if_exception_type(GenericError), stop=stop, wait=wait, reraise=True)(attempt)


class ObjectReader(io.RawIOBase):
    """An object as a seekable file: only the ranges that are read are fetched."""

    def __init__(self, objects: ObjectStore, key: str, seconds: float = WORK.seconds) -> None:
        self.objects, self.key, self.position, self.seconds = objects, key, 0, seconds
        self.size = int(retried(lambda: obstore.head(objects, key), seconds)["size"])

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
            data = retried(lambda: obstore.get_range(self.objects, self.key, start=start, length=count), self.seconds)
            buffer[:count] = bytes(data)
            self.position += count
        return count


@dataclass(frozen=True, slots=True)
class Store:
    objects: ObjectStore
    patience: Patience = WORK

    @classmethod
    def open(cls, url: str | Path, patience: Patience = WORK) -> "Store":
        """Open a folder (made if missing) or a URL such as s3://bucket/prefix."""
        if "://" in str(url):
            # A client that is given any options takes none from the environment.
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
            options: ClientConfig = {"connect_timeout": patience.connect, "timeout": patience.attempt, "allow_http": plain}
            retry: RetryConfig = {"max_retries": patience.retries, "retry_timeout": timedelta(seconds=patience.seconds)}
            return cls(from_url(str(url), client_options=options, retry_config=retry), patience)
        try:
            Path(url).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{url}: cannot be a folder ({error}); name another") from None
        return cls(LocalStore(Path(url).resolve()), patience)

    def retried(self, call: Callable[[], T]) -> T:
        return retried(call, self.patience.seconds)

    def put(self, key: str, data: bytes) -> None:
        """Write, whatever is there."""
        self.retried(lambda: obstore.put(self.objects, key, data))

    def create(self, key: str, data: bytes) -> None:
        """Put if absent. The same bytes again are fine; other bytes raise StoreError: nothing is ever overwritten."""
        try:
            self.retried(lambda: obstore.put(self.objects, key, data, mode="create"))
        except AlreadyExistsError:
            if self.get(key) != data:
                raise StoreError(
                    f"{key}: already there with other content. A version never changes: "
                    "choose another output, or delete the old version first"
                ) from None

    def put_first(self, key: str, data: bytes) -> bytes:
        """Put if absent, and return what the object holds: the first writer wins, later ones take what is there."""
        try:
            self.retried(lambda: obstore.put(self.objects, key, data, mode="create"))
        except AlreadyExistsError:
            return self.get(key)
        return data

    def get(self, key: str) -> bytes:
        """Raises StoreError when there is no such object."""
        try:
            return self.retried(lambda: bytes(obstore.get(self.objects, key).bytes()))
        except (NotFoundError, FileNotFoundError):
            raise StoreError(f"{key}: no such object") from None

    def file(self, key: str) -> ObjectReader | None:
        """The object as a file; None when there is no such object."""
        try:
            return ObjectReader(self.objects, key, self.patience.seconds)
        except (NotFoundError, FileNotFoundError):
            return None

    def exists(self, key: str) -> bool:
        try:
            self.retried(lambda: obstore.head(self.objects, key))
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def modified(self, key: str) -> datetime:
        """When the object was last written, by the store's clock. Raises StoreError when there is no such object."""
        try:
            return retried(lambda: obstore.head(self.objects, key))["last_modified"]
        except (NotFoundError, FileNotFoundError):
            raise StoreError(f"{key}: no such object") from None

    def delete(self, key: str) -> None:
        """Gone afterwards, whether it was there or not."""
        with contextlib.suppress(NotFoundError, FileNotFoundError):
            self.retried(lambda: obstore.delete(self.objects, key))

    def delete_all(self, keys: Sequence[str]) -> None:
        """Gone afterwards, whether they were there or not. In bulk where the store can."""
        for start in range(0, len(keys), BULK):
            part = list(keys[start : start + BULK])
            try:
                self.retried(lambda part=part: obstore.delete(self.objects, part))  # type: ignore[misc]
            except (NotFoundError, FileNotFoundError):  # a folder stops at the first that is not there
                for key in part:
                    self.delete(key)

    def json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def folders(self, prefix: str) -> list[str]:
        """The names right below a prefix that have keys below them, sorted."""
        listing = self.retried(lambda: obstore.list_with_delimiter(self.objects, prefix))
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in listing["common_prefixes"])

    def scan(self, prefix: str) -> "Iterator[Sequence[ObjectMeta]]":
        """All objects under a prefix with key (`path`), `size` and `last_modified`, BULK at a time: each step is listed when
        it is reached."""
        return iter(obstore.list(self.objects, prefix, chunk_size=BULK))

    def keys(self, prefix: str) -> list[str]:
        """All keys under a prefix, sorted."""
        return sorted(str(meta["path"]) for batch in obstore.list(self.objects, prefix) for meta in batch)
