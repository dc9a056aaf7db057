"""Whatever is sent, within and without the OpenAPI document, is answered as the document says; nothing gets a 500."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.app import create_app
from service.settings import Settings
from tests.service.calls import SHOES, SPEC, context, key

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# No broker: versions must be accepted all the same. Previews and /readyz would truly be unavailable.
APP = create_app(Settings(state_dir=Path(mkdtemp()), broker_url="redis://127.0.0.1:1/0"))
KEY = {"Authorization": f"Bearer {key(TestClient(APP))}"}
DOCUMENT = schemathesis.openapi.from_asgi("/openapi.json", APP, headers=KEY)
LEFT_OUT = ("/v1/previews", "/v1/previews/{preview_id}", "/readyz")
OPERATIONS = [found.ok() for found in DOCUMENT.get_all_operations() if found.ok().path not in LEFT_OUT]


@schemathesis.serializer("application/x-tar", "application/zip", "application/vnd.apache.parquet")
def archive(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def headers() -> Iterator[dict[str, str]]:
    with TestClient(APP) as client:
        client.post(SHOES, json=SPEC, headers=KEY)
        client.post(f"{SHOES}/1/cancel", headers=KEY)
        yield KEY
        context(client).database.engine.dispose()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method.upper()} {operation.path}")
def test_every_answer_is_as_described(operation: schemathesis.schemas.APIOperation, headers: dict[str, str]) -> None:
    modes = [operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(one_of(modes))
    def answered(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers)

    answered()
