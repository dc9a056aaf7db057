"""Whatever is sent, within and without the OpenAPI document, is answered as the document says; nothing gets a 500."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of

from tests.fuzz import BOTH, CHECKS, application, document_of, fuzzing
from tests.service.calls import SHOES, SPEC, context, key

APP = application(Path(mkdtemp()))
KEY = {"Authorization": f"Bearer {key(TestClient(APP))}"}
OPERATIONS = [found.ok() for found in document_of(APP, KEY).get_all_operations()]


@pytest.fixture(scope="module")
def headers() -> Iterator[dict[str, str]]:
    with TestClient(APP) as client:
        client.post(SHOES, json=SPEC, headers=KEY)
        client.post(f"{SHOES}/1/cancel", headers=KEY)
        yield KEY
        context(client).database.engine.dispose()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method.upper()} {operation.path}")
def test_every_answer_is_as_described(operation: schemathesis.schemas.APIOperation, headers: dict[str, str]) -> None:
    modes = [operation.as_strategy(generation_mode=mode) for mode in BOTH]

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(one_of(modes))
    def answered(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers)

    answered()


def test_sequences_that_use_earlier_answers_are_answered_as_described(tmp_path: Path) -> None:
    with fuzzing(tmp_path) as fuzz:
        fuzz.sequences(0)
    assert fuzz.wrong == {}
    assert {200, 202, 204, 404, 409, 422} <= set(fuzz.statuses)
