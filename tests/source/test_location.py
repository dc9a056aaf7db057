"""Listing files: the same in a bucket as in a folder."""

from pathlib import Path

from obstore.store import MemoryStore

from pipelines.source.location import Bucket, Folder
from pipelines.store.object_store import Store
from tests.source.forms import put

FILES = {"train/boot/0.png": b"x", "train/.hidden/0.png": b"x", "train/Thumbs.db": b"x", "a.tar": b"x", "_b.tar": b"x"}


def test_a_bucket_is_listed_as_a_folder_is_and_marks_of_folders_are_no_files(tmp_path: Path) -> None:
    bucket, folder = Bucket("s3://b", Store(MemoryStore())), Folder(put(tmp_path, FILES))
    for name, content in FILES.items():
        bucket.store.put(name, content)
    for marker in ("train", "train/boot"):  # as the console of S3 makes them
        bucket.store.put(marker, b"")
    assert bucket.files() == folder.files() == ["_b.tar", "a.tar", "train/boot/0.png"]
    assert Bucket("s3://b", bucket.store).files(deep=False) == folder.files(deep=False) == ["_b.tar", "a.tar"]
