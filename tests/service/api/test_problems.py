"""Errors as problems: what is no JSON, and how the OpenAPI document describes them."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.service.calls import SHOES, SPEC, problem


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name": 1e999}', b"[" * 100_000])
def test_what_is_no_spec_is_refused_politely(client: TestClient, body: bytes) -> None:
    response = client.post(SHOES, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": ' + b"[" * 100_000, "nested too deep"),
        (b'{"name": ' + b"9" * 10_000 + b"}", "too many digits"),
        (b'{"name": "\xff"}', "not UTF-8"),
    ],
    ids=["deep", "huge", "latin"],
)
def test_json_that_no_parser_takes_is_refused_with_its_reason(client: TestClient, body: bytes, reason: str) -> None:
    answer = client.post(SHOES, content=body, headers={"Content-Type": "application/json"})
    assert reason in problem(answer, 422)["detail"]


@pytest.mark.parametrize("depth", [50, 500, 900])
@pytest.mark.parametrize("value", ["[" * 900, '{"a":' * 900], ids=["lists", "objects"])
def test_what_is_nested_is_refused_at_any_depth(client: TestClient, value: str, depth: int) -> None:
    opened = value[: depth * (len(value) // 900)]
    inner = opened + "1" + "".join("]" if c == "[" else "}" for c in reversed(opened) if c in "[{")
    for field in ("name", "odd", "source", "names", "filters"):
        body = json.dumps(SPEC)[:-1] + f', "{field}": {inner}}}'
        answer = client.post(SHOES, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "9" * 4000, "1e-400", '"\\ud800"'])
def test_numbers_of_any_size_are_refused_or_taken(client: TestClient, number: str) -> None:
    for field in ("seed", "shard_size", "name", "odd", "amount"):
        body = json.dumps(SPEC)[:-1] + f', "{field}": {number}}}'
        answer = client.post(SHOES, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (202, 422), (field, answer.text)


def test_broken_json_says_where(client: TestClient) -> None:
    answer = client.post(SHOES, content=b'{"name": }', headers={"Content-Type": "application/json"})
    assert problem(answer, 422)["detail"] == "body: not valid JSON at character 9: Expecting value"


def test_the_description_has_every_error_and_an_example(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["schemas"]["Problem"]["properties"]["errors"]["items"] == {
        "$ref": "#/components/schemas/FieldError"
    }
    post = schema["paths"]["/v1/datasets/{name}/versions"]["post"]
    assert set(post["responses"]) >= {"202", "401", "403", "409", "422"}
    example = post["requestBody"]["content"]["application/json"]["examples"]["spurious"]["value"]
    assert client.post(SHOES, json=example).status_code == 202
