"""Sources on S3, over a real server: the same as from a folder, and nothing outside their prefix."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import S3Store

from pipelines.errors import SourceError, SpecError, UnreachableError
from pipelines.source.open import open_source
from pipelines.spec import FolderSource, ParquetSource, SourceSpec, WebDatasetSource
from pipelines.store.object_store import Store
from service.limits import check
from service.settings import Settings
from tests.builders import spec
from tests.servers import credentials, free_port, s3
from tests.source.packed import BAD, parquet, picture, tar

PICTURES = {f"train/{label}/{n}.png": picture(100 * k + n) for k, label in enumerate(("boot", "sneaker")) for n in range(20)}
FILES = {
    **{f"data/shoes/{name}": content for name, content in PICTURES.items()},
    "data/shoes/train/metadata.csv": b"file_name,group\nboot/0.png,grass\n",
    "data/shoes/test/boot/x.png": picture(900),
    "data/shoes/train/boot/cut.png": BAD["cut"][0],
    "data/shoes/train/boot/notes.txt": b"hello",
    "data/rows/train-0.parquet": parquet([{"image": d, "label": n.split("/")[1]} for n, d in PICTURES.items()]),
    "data/tars/a.tar": tar({n.removeprefix("train/"): d for n, d in PICTURES.items()}),
    "database/boot/secret.png": picture(901),
}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3(tmp_path_factory.mktemp("s3")) as port, pytest.MonkeyPatch.context() as patch:
        for name, value in credentials(port).items():
            patch.setenv(name, value)
        store = Store(S3Store("bucket"))
        for name, content in FILES.items():
            store.put(name, content)
        yield store


def test_a_folder_is_the_same_on_s3_as_here(bucket: Store, tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    there = open_source(FolderSource(type="folder", path="s3://bucket/data/shoes"))
    here = open_source(FolderSource(type="folder", path=str(tmp_path / "data/shoes")))
    assert there.fingerprint == here.fingerprint
    assert there.problems == here.problems
    assert [p.id for p in there.problems] == ["train/boot/notes.txt", "train/boot/cut.png"]
    assert there.splits["train"][0].group == "grass"
    for item in there.splits["train"] + there.splits["test"]:
        assert there.read(item).tobytes() == here.read(item).tobytes()


@pytest.mark.parametrize(
    "source",
    [
        ParquetSource(type="parquet", path="s3://bucket/data/rows"),
        ParquetSource(type="parquet", path="s3://bucket/data/rows/train-*.parquet"),
        WebDatasetSource(type="webdataset", path="s3://bucket/data/tars/"),
        WebDatasetSource(type="webdataset", path="s3://bucket/data/tars/a.tar"),
    ],
    ids=["rows", "pattern", "tars", "tar"],
)
def test_parquet_and_webdataset_are_read_from_s3(bucket: Store, source: SourceSpec) -> None:
    found = open_source(source)
    items = [item for items in found.splits.values() for item in items]
    assert {item.label for item in items} == {"boot", "sneaker"}
    assert len({found.read(item).tobytes() for item in items}) == len(PICTURES)


def test_a_prefix_is_a_whole_name(bucket: Store) -> None:
    with pytest.raises(SourceError, match="has 0"):
        open_source(FolderSource(type="folder", path="s3://bucket/dat"))


def test_what_a_url_would_mean_is_only_a_name(bucket: Store) -> None:
    """As a URL s3://bucket/data/%2e%2e/database would be s3://bucket/database."""
    with pytest.raises(SourceError, match="has 0"):
        open_source(FolderSource(type="folder", path="s3://bucket/data/%2e%2e/database"))


@pytest.mark.parametrize(
    ("roots", "path", "allowed"),
    [
        (["s3://bucket/data"], "s3://bucket/data", True),
        (["s3://bucket/data"], "s3://bucket/data/shoes", True),
        (["s3://bucket/data/"], "s3://bucket/data/shoes/*.parquet", True),
        (["s3://bucket"], "s3://bucket/anything", True),
        (["s3://bucket/data"], "s3://bucket/database", False),
        (["s3://bucket/data"], "s3://bucket", False),
        (["s3://bucket/data"], "s3://bucket2/data", False),
        (["s3://bucket/data"], "s3://bucket/%64ata", False),
        (["s3://bucket/data"], "/bucket/data", False),
        (["/"], "s3://bucket/data", False),
        ([], "s3://bucket/data", False),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "parquet", "webdataset"])
def test_the_operator_allows_buckets_by_prefix(kind: str, roots: list[str], path: str, allowed: bool) -> None:
    asked, settings = spec(source={"type": kind, "path": path}), Settings(source_roots=roots)
    if allowed:
        check(asked, settings)
    else:
        with pytest.raises(SpecError, match=rf"^source\.path: '{path.replace('*', '.')}' is not allowed here.*SOURCE_ROOTS"):
            check(asked, settings)


@pytest.mark.parametrize("path", ["s3://nothing/data", "s3://bucket/data"], ids=["no bucket", "no key"])
def test_a_store_that_refuses_is_an_error_that_may_pass(bucket: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == "s3://bucket/data":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(
        UnreachableError, match=rf"^source\.path: {path} cannot be read \(.*check its address and the AWS_\*"
    ):
        open_source(FolderSource(type="folder", path=path))
    assert UnreachableError.retry


def test_a_store_that_is_away_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials(free_port()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnreachableError, match="cannot be read"):
        open_source(ParquetSource(type="parquet", path="s3://bucket/data"))


ODD = [
    "train/boot [1]/a b.png",
    "train/boot {x}/0~1.png",
    "train/boot%20/#1.png",
    "train/café/ü+&.png",
    "train/it's/a=b@c.png",
]


def test_signs_in_keys_are_what_they_are(bucket: Store, tmp_path: Path) -> None:
    odd = {name: picture(500 + n) for n, name in enumerate(ODD)}
    names = list(odd)
    for name, content in odd.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        bucket.put(f"odd/{name}", content)
    here, there = (open_source(FolderSource(type="folder", path=path)) for path in (str(tmp_path), "s3://bucket/odd"))
    assert there.problems == []
    assert [item.id for item in here.splits["train"]] == [item.id for item in there.splits["train"]] == sorted(names)
    for item in there.splits["train"]:
        assert there.read(item).tobytes() == here.read(item).tobytes()


def profile(folder: Path, monkeypatch: pytest.MonkeyPatch, port: int, **secrets: str) -> None:
    """~/.aws with a profile that knows the server, and nothing in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (folder / ".aws").mkdir()
    keys = "\n".join(f"{name} = {value}" for name, value in secrets.items())
    (folder / ".aws/credentials").write_text(f"[team]\n{keys}\n")
    (folder / ".aws/config").write_text(f"[profile team]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{port}\n")
    monkeypatch.setenv("AWS_PROFILE", "team")


def test_credentials_and_endpoint_of_a_profile(bucket: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    spec = FolderSource(type="folder", path="s3://bucket/data/shoes")
    before = open_source(spec)
    profile(tmp_path, monkeypatch, port, aws_access_key_id="key", aws_secret_access_key="secret")
    assert open_source(spec).fingerprint == before.fingerprint
    (tmp_path / ".aws/credentials").write_text("[team]\naws_access_key_id = key\naws_secret_access_key = wrong\n")
    with pytest.raises(UnreachableError, match=r"or the profile in ~/\.aws"):
        open_source(spec)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SourceError, match=r"no credentials of S3 \(.*nobody.*\); check AWS_PROFILE and ~/\.aws"):
        open_source(spec)


def test_a_profile_without_boto3_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.source.buckets.find_spec", lambda name: None)
    profile(tmp_path, monkeypatch, 1)
    with pytest.raises(SourceError, match=r"boto3 reads, .*pip install 'counterpoise\[aws\]', or set AWS_ACCESS_KEY_ID"):
        open_source(FolderSource(type="folder", path="s3://bucket/data"))


def test_an_endpoint_of_http_is_addressed_by_path(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert open_source(FolderSource(type="folder", path="s3://bucket/data/shoes/")).classes == ("boot", "sneaker")
