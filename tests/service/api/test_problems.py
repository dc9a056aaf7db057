"""Errors as problems: what is no JSON, and how the OpenAPI document describes them."""

import pytest
from fastapi.testclient import TestClient

from tests.service.calls import SHOES, problem


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name": 1e999}', b"[" * 100_000])
def test_what_is_no_spec_is_refused_politely(client: TestClient, body: bytes) -> None:
    response = client.post(SHOES, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


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
