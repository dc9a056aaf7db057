"""Uploads: what is understood, what is refused, and that nothing in an archive is trusted."""

import asyncio
import io
import re
import tarfile
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from starlette.requests import ClientDisconnect, Request

from pipelines.errors import SourceError
from pipelines.source.open import open_source
from pipelines.spec import UploadedSource
from service.sources.receiving import receive
from service.state import uploads
from service.state.tables import Unit
from tests.service.calls import (
    SHOES,
    SPEC,
    as_,
    context,
    operated,
    problem,
    read_uploads,
    refused,
    store,
    understood,
)
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
    found = understood(client, packed)
    assert (found["images"], found["classes"], found["refused"]) == (8, {"boot": 4, "sneaker": 4}, [])
    assert client.get("/v1/sources/birds").json() == found
    assert client.get("/v1/sources").json() == ["birds"]
    source = open_source(UploadedSource(type="uploaded", name="birds"), store(client))
    assert source.classes == ("boot", "sneaker")
    assert len({source.read(item).tobytes() for item in source.splits["train"]}) == 8


def test_a_webdataset_is_understood(client: TestClient) -> None:
    found = understood(client, tar(BESIDE, "w:gz"))
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
    found = understood(client, packed)
    assert found["images"] == 8
    reasons = {each["id"]: each["reason"] for each in found["refused"]}
    assert reasons.keys() == BAD.keys()
    for name, (_, said) in BAD.items():
        assert said in reasons[name], name
    assert understood(client, packed, allow_synthetic=True)["images"] == 9


def test_names_and_tables_of_any_bytes_are_survived(client: TestClient) -> None:
    odd = tar(
        {**GOOD, "train/boot/\udcff\udcfe.png": picture(90), "train/boot/\udcff.txt": b"x", "train/\x01/a.png": picture(91)}
    )
    found = understood(client, odd)
    assert (found["images"], len(found["refused"])) == (9, 2)
    short = {**GOOD, "train/metadata.csv": b"group,file_name\ngrass\n\n,,,,\n"}
    assert understood(client, tar(short))["images"] == 8
    assert "needs the columns" in refused(client, tar({**GOOD, "train/metadata.csv": b"a,b\n1,2\n"}))
    assert "cannot be read" in refused(client, tar({**GOOD, "train/metadata.csv": b"\xff\xfe\x00"}))
    long = f"file_name,group\nboot/0.png,{'x' * 200}\n".encode()
    assert "is longer than 100 characters" in refused(client, tar({**GOOD, "train/metadata.csv": long}))


def test_long_names_are_refused_and_not_kept(client: TestClient) -> None:
    found = understood(client, tar({**GOOD, f"train/boot/{'x' * 2000}.png": picture(90), f"train/{'y' * 200}/1.png": b""}))
    assert [len(image["id"]) < 300 for image in found["refused"]] == [True, True]
    assert len(refused(client, parquet([{"image": picture(1), "label": "x" * 9000}]))) < 400
    assert "its group has 9000 characters" in refused(client, parquet([{"image": b"", "label": "a", "group": "x" * 9000}]))


@pytest.mark.parametrize("label", [-1, 7, None, "boot/../..", ["a"], 1.5, "\x00"])
@pytest.mark.parametrize("image", ["text", {"bytes": None, "path": "/etc/passwd"}, None, {"bytes": b"x", "path": None}])
def test_parquet_of_any_types_is_survived(client: TestClient, label: object, image: object) -> None:
    packed = parquet([{"image": image, "label": label}])
    assert re.search("no usable image|column '(image|label)' is of type .*, and cannot be the", refused(client, packed))


def test_links_are_not_followed(client: TestClient) -> None:
    data = io.BytesIO(tar(GOOD))
    with tarfile.open(fileobj=data, mode="a") as archive:
        link = tarfile.TarInfo("train/boot/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = understood(client, data.getvalue())
    assert [each["id"] for each in found["refused"]] == ["train/boot/link.png"]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 broken", b"PAR1 broken", b"\x00" * 2000, b"nonsense" * 100, tar(GOOD)[:300]],
    ids=["empty", "zip", "parquet", "zeros", "text", "cut"],
)
def test_what_is_no_archive_changes_nothing(client: TestClient, content: bytes) -> None:
    before = understood(client, tar(GOOD))
    error = refused(client, content)
    assert error.startswith("source: ")
    assert "\n" not in error
    assert client.get("/v1/sources/birds").json() == before


def test_uploads_are_bounded(client: TestClient) -> None:
    zeros = {f"train/boot/{n}.png": bytes(3_000_000) for n in range(20)}
    operated(client, max_upload_bytes=100_000)
    assert len(zipped(zeros)) < 100_000  # so it is the unpacked size that is refused
    assert "bytes unpacked" in refused(client, zipped(zeros))
    problem(client.put("/v1/sources/birds", content=tar(zeros)), 413)
    operated(client, max_upload_images=5)
    assert "more than 5 files" in refused(client, tar(GOOD))
    problem(client.get("/v1/sources/birds"), 404)


def test_a_version_keeps_the_state_that_it_was_asked_for_with(client: TestClient) -> None:
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds"}}
    assert "no such upload of 'birds'" in problem(client.post(SHOES, json=spec), 422)["detail"]
    first = understood(client, tar(GOOD))["digest"]
    assert client.post(SHOES, json=spec).json()["spec"]["source"]["digest"] == first
    fewer = dict(list(GOOD.items())[1:])
    second = understood(client, tar(fewer))["digest"]
    assert second != first
    once = {"Idempotency-Key": "k"}
    later = client.post(SHOES, json=spec, headers=once).json()
    assert later["spec"]["source"]["digest"] == second
    assert client.get(f"{SHOES}/1").json()["spec"]["source"]["digest"] == first
    understood(client, tar(GOOD))
    assert client.post(SHOES, json=spec, headers=once).json()["number"] == later["number"]


def test_groups_come_from_metadata(client: TestClient) -> None:
    lines = "file_name,group\n" + "".join(f"{name.removeprefix('train/')},grass\n" for name in GOOD)
    files = {**GOOD, "train/metadata.csv": lines.encode()}
    found = understood(client, tar(files))
    assert found["groups"] == {"grass": 8}
    dotted = tar({f"./{name}": data for name, data in files.items()})  # as `tar c .` packs them
    assert understood(client, dotted) == found


def test_sources_are_the_tenants_own(client: TestClient) -> None:
    understood(client, tar(GOOD))
    other = as_(client, "others")
    assert client.get("/v1/sources", headers=other).json() == []
    problem(client.get("/v1/sources/birds", headers=other), 404)
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds"}}
    problem(client.post(SHOES, json=spec, headers=other), 422)
    problem(client.put("/v1/sources/birds", content=tar(GOOD), headers=as_(client, "team", "read")), 403)


def test_too_many_refused_images_fail_the_source(client: TestClient) -> None:
    understood(client, tar({**GOOD, **{f"train/boot/{n}.txt": b"x" for n in range(5)}}))
    with pytest.raises(SourceError, match="5 of 13 files cannot be used, more than max_problems = 10%"):
        open_source(UploadedSource(type="uploaded", name="birds"), store(client))


def broken_off(pieces: int) -> Request:
    """A request whose connection breaks after so many pieces of its body."""
    messages: Iterator[dict[str, Any]] = chain(
        repeat({"type": "http.request", "body": bytes(2**16), "more_body": True}, pieces),
        repeat({"type": "http.disconnect"}),
    )

    async def next_message() -> dict[str, Any]:
        return next(messages)

    return Request({"type": "http", "headers": []}, next_message)


def archives(client: TestClient) -> list[str]:
    return store(client).keys("uploads")


def test_an_upload_waits_is_read_and_leaves_no_archive(client: TestClient) -> None:
    answer = client.put("/v1/sources/birds", content=tar(GOOD))
    sent = answer.json()
    assert answer.headers["Location"] == f"/v1/sources/birds/uploads/{sent['id']}"
    assert (sent["state"], sent["source"], sent["size"], sent["result"]) == ("waiting", "birds", len(tar(GOOD)), None)
    assert len(archives(client)) == 1
    assert store(client).get(archives(client)[0]) == tar(GOOD)
    problem(client.get("/v1/sources/birds"), 404)
    read_uploads(client)
    ended = client.get(answer.headers["Location"]).json()
    assert (ended["state"], ended["digest"]) == ("done", ended["result"]["digest"])
    assert client.get("/v1/sources/birds").json() == ended["result"]
    assert archives(client) == []
    problem(client.get(answer.headers["Location"], headers=as_(client, "others")), 404)
    problem(client.get(f"/v1/sources/shoes/uploads/{sent['id']}"), 404)


def test_of_two_uploads_the_later_one_is_the_newest_state_whichever_is_read_first(client: TestClient) -> None:
    first, second = (
        client.put("/v1/sources/birds", content=tar(files)).headers["Location"]
        for files in (GOOD, dict(list(GOOD.items())[1:]))
    )
    with context(client).database.write() as session:  # the later one has been available longer
        session.execute(update(Unit).values(not_before=Unit.not_before - Unit.id))
    read_uploads(client)
    states = [client.get(address).json() for address in (first, second)]
    assert [state["state"] for state in states] == ["done", "done"]
    assert client.get("/v1/sources/birds").json()["digest"] == states[1]["digest"]


def test_what_is_too_large_or_breaks_off_leaves_nothing(client: TestClient) -> None:
    operated(client, max_upload_bytes=20_000_000)

    def pieces() -> Iterator[bytes]:
        for _ in range(400):
            yield bytes(2**16)

    problem(client.put("/v1/sources/birds", content=pieces()), 413)  # without a Content-Length
    problem(client.put("/v1/sources/birds", content=b"x", headers={"Content-Length": "20000001"}), 413)
    with pytest.raises(ClientDisconnect):
        asyncio.run(receive(broken_off(100), store(client), 20_000_000))
    assert archives(client) == []
    assert not list(context(client).settings.state_dir.rglob("store/team/uploads/*"))  # nor a part of it
    assert uploads.unread(context(client).database, "team", "birds") is None


def test_a_spec_waits_for_the_upload_that_it_names(client: TestClient) -> None:
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds"}}
    before = understood(client, tar(GOOD))
    number = client.put("/v1/sources/birds", content=tar(GOOD)).json()["id"]
    requests = (
        ("POST", SHOES, spec),
        ("POST", "/v1/datasets/shoes:refresh", {"spec": spec}),
        ("PUT", "/v1/datasets/shoes/schedule", {"cron": "0 3 * * 1", "spec": spec}),
    )
    for method, path, body in requests:
        error = problem(client.request(method, path, json=body), 422)
        assert error["errors"][0]["field"] == "source.name"
        assert f"try again when upload {number} is done" in error["detail"]
    pinned = {**spec, "source": {**spec["source"], "digest": before["digest"]}}
    assert client.post(SHOES, json=pinned).status_code == 202
    read_uploads(client)
    assert client.post(SHOES, json=spec).status_code == 202
