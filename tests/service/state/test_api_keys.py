"""Rotation of API keys, on both databases."""

import pytest

from service.state import api_keys
from service.state.database import Database, clock


def test_a_rotated_key_is_valid_for_the_grace_still(database: Database) -> None:
    old, key = api_keys.issue(database, "me", "team", ["read"], limits={"streams": 3})
    rotated = api_keys.rotate(database, old.id, grace=3600.0)
    assert rotated is not None
    new, new_key = rotated
    for one in (key, new_key):
        caller = api_keys.authenticate(database, one)
        assert caller is not None
        assert (caller.tenant, caller.scopes, caller.limits) == ("team", ("read",), {"streams": 3})
    with database.read() as session:
        left = {one.id: one.expires and one.expires - clock(session) for one in api_keys.list_all(database)}
    assert left == {old.id: pytest.approx(3600, abs=30), new.id: None}
    api_keys.rotate(database, old.id, grace=7200.0)  # the grace grows no more
    assert api_keys.list_all(database)[0].expires == pytest.approx(old.created + 3600, abs=30)


def test_an_expired_key_can_be_rotated_and_a_revoked_one_not(database: Database) -> None:
    old, key = api_keys.issue(database, "me", "team", ["read"], lifetime=0.0)
    with pytest.raises(api_keys.KeyExpired):
        api_keys.authenticate(database, key)
    rotated = api_keys.rotate(database, old.id, grace=3600.0, lifetime=60.0)
    assert rotated is not None
    assert api_keys.authenticate(database, rotated[1]) is not None
    with pytest.raises(api_keys.KeyExpired):
        api_keys.authenticate(database, key)
    assert api_keys.revoke(database, old.id)
    assert api_keys.rotate(database, old.id, grace=0.0) is None
