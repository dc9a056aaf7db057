"""A tenant's name is a part of a path: none may lead into another's."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

from pipelines.errors import SpecError
from service.settings import Settings
from service.state import api_keys
from service.state.tables import ApiKey
from service.tenants import check_tenant, open_store
from tests.service.calls import SHOES, SPEC, context, problem

WRONG = [
    "",
    ".",
    "..",
    "a/b",
    "../team",
    "team/../others",
    "/etc",
    "a\\b",
    "a.b",
    "Team",
    "-a",
    "_a",
    "a b",
    "a\n",
    "a\0",
    "é",
    "a" * 64,
]


@pytest.mark.parametrize("tenant", ["default", "team", "others", "shop-2", "a_b", "0", "a" * 63])
def test_what_a_tenant_may_be_called(tenant: str, tmp_path: Path) -> None:
    assert check_tenant(tenant) == tenant
    open_store(Settings(state_dir=tmp_path), tenant).put("a", b"own")
    assert (tmp_path / "store" / tenant / "a").read_bytes() == b"own"


@pytest.mark.parametrize("tenant", WRONG)
def test_other_names_get_no_key_and_no_store(tenant: str, client: TestClient, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^tenant: .* is no name of a tenant; one has up to 63 of a-z"):
        api_keys.create(context(client).database, "test", tenant, ["read"])
    with pytest.raises(SpecError, match=r"^tenant: "):
        open_store(Settings(state_dir=tmp_path), tenant)


def test_a_key_of_an_older_database_with_another_name_says_so(client: TestClient) -> None:
    with context(client).database.write() as session:
        values = {"name": "old", "tenant": "../team", "scopes": ["read", "submit"], "created": 0.0}
        session.execute(insert(ApiKey).values(hash=api_keys.digest("cp_old"), **values))
    answer = client.post(SHOES, json=SPEC, headers={"Authorization": "Bearer cp_old"})
    assert "'../team' is no name of a tenant" in problem(answer, 422)["detail"]
