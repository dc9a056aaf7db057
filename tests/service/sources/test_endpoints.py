"""Uploads: what is understood, what is refused, and that nothing in an archive is trusted."""

import io
import tarfile

import pytest
from fastapi.testclient import TestClient

from pipelines.errors import SourceError
from pipelines.source.open import open_source
from pipelines.spec import UploadedSource
from tests.service.calls import SHOES, SPEC, as_, operated, problem, store
from tests.source.packed import bomb, parquet, picture, tar, zipped

GOOD = {f"train/{label}/{n}.png": picture(10 * k + n) for k, label in enumerate(("boot", "sneaker")) for n in range(4)}


def rows(files: dict[str, bytes]) -> list[dict[str, object]]:
    return [
        {"image": {"bytes": content, "path": name}, "label": name.split("/")[1], "group": "grass", "split": "train"}
        for name, content in files.items()
    ]


# As WebDataset has it: a class beside each image.
BESIDE = {
    f"train/{n:04d}.{kind}": content
    for n, (name, image) in enumerate(GOOD.items())
    for kind, content in (("png", image), ("cls", name.split("/")[1].encode()))
}


@pytest.mark.parametrize(
    "packed",
    [tar(GOOD), tar(GOOD, "w:gz"), zipped(GOOD), parquet(rows(GOOD))],
    ids=["tar", "tgz", "zip", "parquet"],
)
def test_what_was_sent_is_understood_and_can_be_used(client: TestClient, packed: bytes) -> None:
    answer = client.put("/v1/sources/birds", content=packed)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["images"], found["classes"], found["refused"]) == (8, {"boot": 4, "sneaker": 4}, [])
    assert client.get("/v1/sources/birds").json() == found
    assert client.get("/v1/sources").json() == ["birds"]
    source = open_source(UploadedSource(type="uploaded", name="birds"), store(client))
    assert source.classes == ("boot", "sneaker")
    assert len({source.read(item).tobytes() for item in source.splits["train"]}) == 8


def test_a_webdataset_is_understood(client: TestClient) -> None:
    found = client.put("/v1/sources/birds", content=tar(BESIDE, "w:gz")).json()
    assert (found["images"], found["classes"], found["refused"]) == (8, {"boot": 4, "sneaker": 4}, [])


BAD = {
    "train/boot/twin.png": (GOOD["train/boot/0.png"], "repeats train/boot/0.png"),
    "train/sneaker/other.png": (GOOD["train/boot/1.png"], "is also in class 'boot'"),
    "train/boot/cut.png": (GOOD["train/boot/2.png"][:60], "damaged image"),
    "train/boot/text.png": (b"no image at all", "not a readable"),
    "train/boot/notes.txt": (b"hello", "suffix"),
    "train/boot/model.pkl": (b"\x80\x04cos\nsystem\n", "suffix"),
    "../../etc/cron/boot/x.png": (picture(77), "leaves the archive"),
    "/etc/boot/x.png": (picture(78), "leaves the archive"),
    "alone.png": (picture(79), "no class's folder"),
    "train/boot/made.png": (picture(80, synthetic=True), "marked as generated"),
    "train/boot/bomb.png": (bomb(), "pixels"),
}


def test_each_bad_image_is_refused_with_its_reason(client: TestClient) -> None:
    packed = tar({**GOOD, **{name: data for name, (data, _) in BAD.items()}})
    found = client.put("/v1/sources/birds", content=packed).json()
    assert found["images"] == 8
    reasons = {each["id"]: each["reason"] for each in found["refused"]}
    assert reasons.keys() == BAD.keys()
    for name, (_, said) in BAD.items():
        assert said in reasons[name], name
    assert client.put("/v1/sources/birds?allow_synthetic=true", content=packed).json()["images"] == 9


def test_names_and_tables_of_any_bytes_are_survived(client: TestClient) -> None:
    odd = tar(
        {**GOOD, "train/boot/\udcff\udcfe.png": picture(90), "train/boot/\udcff.txt": b"x", "train/\x01/a.png": picture(91)}
    )
    found = client.put("/v1/sources/birds", content=odd).json()
    assert (found["images"], len(found["refused"])) == (9, 2)
    short = {**GOOD, "train/metadata.csv": b"group,file_name\ngrass\n\n,,,,\n"}
    assert client.put("/v1/sources/birds", content=tar(short)).json()["images"] == 8
    problem(client.put("/v1/sources/birds", content=tar({**GOOD, "train/metadata.csv": b"a,b\n1,2\n"})), 422)
    problem(client.put("/v1/sources/birds", content=tar({**GOOD, "train/metadata.csv": b"\xff\xfe\x00"})), 422)


@pytest.mark.parametrize("label", [-1, 7, None, "boot/../..", ["a"], 1.5, "\x00"])
@pytest.mark.parametrize("image", ["text", {"bytes": None, "path": "/etc/passwd"}, None, {"bytes": b"x", "path": None}])
def test_parquet_of_any_types_is_survived(client: TestClient, label: object, image: object) -> None:
    packed = parquet([{"image": image, "label": label}])
    assert "no usable image" in problem(client.put("/v1/sources/birds", content=packed), 422)["detail"]


def test_links_are_not_followed(client: TestClient) -> None:
    data = io.BytesIO(tar(GOOD))
    with tarfile.open(fileobj=data, mode="a") as archive:
        link = tarfile.TarInfo("train/boot/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = client.put("/v1/sources/birds", content=data.getvalue()).json()
    assert [each["id"] for each in found["refused"]] == ["train/boot/link.png"]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 broken", b"PAR1 broken", b"\x00" * 2000, b"nonsense" * 100, tar(GOOD)[:300]],
    ids=["empty", "zip", "parquet", "zeros", "text", "cut"],
)
def test_what_is_no_archive_changes_nothing(client: TestClient, content: bytes) -> None:
    before = client.put("/v1/sources/birds", content=tar(GOOD)).json()
    said = problem(client.put("/v1/sources/birds", content=content), 422)
    assert said["detail"].startswith("source: ")
    assert "\n" not in said["detail"]
    assert said["errors"][0]["field"] == "source"
    assert client.get("/v1/sources/birds").json() == before


def test_uploads_are_bounded(client: TestClient) -> None:
    zeros = {f"train/boot/{n}.png": bytes(3_000_000) for n in range(20)}
    operated(client, max_upload_bytes=100_000)
    assert len(zipped(zeros)) < 100_000  # so it is the unpacked size that is refused
    assert "bytes unpacked" in problem(client.put("/v1/sources/birds", content=zipped(zeros)), 422)["detail"]
    problem(client.put("/v1/sources/birds", content=tar(zeros)), 413)
    operated(client, max_upload_images=5)
    assert "more than 5 files" in problem(client.put("/v1/sources/birds", content=tar(GOOD)), 422)["detail"]
    problem(client.get("/v1/sources/birds"), 404)


def test_a_version_keeps_the_state_that_it_was_asked_for_with(client: TestClient) -> None:
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds"}}
    assert "no such upload of 'birds'" in problem(client.post(SHOES, json=spec), 422)["detail"]
    first = client.put("/v1/sources/birds", content=tar(GOOD)).json()["digest"]
    assert client.post(SHOES, json=spec).json()["spec"]["source"]["digest"] == first
    fewer = dict(list(GOOD.items())[1:])
    second = client.put("/v1/sources/birds", content=tar(fewer)).json()["digest"]
    assert second != first
    once = {"Idempotency-Key": "k"}
    later = client.post(SHOES, json=spec, headers=once).json()
    assert later["spec"]["source"]["digest"] == second
    assert client.get(f"{SHOES}/1").json()["spec"]["source"]["digest"] == first
    client.put("/v1/sources/birds", content=tar(GOOD))
    assert client.post(SHOES, json=spec, headers=once).json()["number"] == later["number"]


def test_groups_come_from_metadata(client: TestClient) -> None:
    lines = "file_name,group\n" + "".join(f"{name.removeprefix('train/')},grass\n" for name in GOOD)
    files = {**GOOD, "train/metadata.csv": lines.encode()}
    found = client.put("/v1/sources/birds", content=tar(files)).json()
    assert found["groups"] == {"grass": 8}
    dotted = tar({f"./{name}": data for name, data in files.items()})  # as `tar c .` packs them
    assert client.put("/v1/sources/birds", content=dotted).json() == found


def test_sources_are_the_tenants_own(client: TestClient) -> None:
    client.put("/v1/sources/birds", content=tar(GOOD))
    other = as_(client, "others")
    assert client.get("/v1/sources", headers=other).json() == []
    problem(client.get("/v1/sources/birds", headers=other), 404)
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds"}}
    problem(client.post(SHOES, json=spec, headers=other), 422)
    problem(client.put("/v1/sources/birds", content=tar(GOOD), headers=as_(client, "team", "read")), 403)


def test_too_many_refused_images_fail_the_source(client: TestClient) -> None:
    client.put("/v1/sources/birds", content=tar({**GOOD, **{f"train/boot/{n}.txt": b"x" for n in range(5)}}))
    with pytest.raises(SourceError, match="5 of 13 files cannot be used, more than max_problems = 10%"):
        open_source(UploadedSource(type="uploaded", name="birds"), store(client))
