"""The commands on API keys."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from service.cli import output
from service.settings import Settings
from service.state import api_keys
from service.state.database import Database
from tests.service.cli.commands import call


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("COUNTERPOISE_STATE_DIR", str(tmp_path))
    return Database.open(Settings().database)


def test_a_key_expires_has_limits_and_is_rotated(state: Database) -> None:
    limits = ("--limit", "running_units=4", "--limit", "requests_per_second=0.5")
    secret = call("keys", "create", "ci", "--tenant", "shop", "--expires", "90d", *limits).stdout.strip()
    caller = api_keys.authenticate(state, secret)
    assert caller == api_keys.Caller("shop", ("read", "submit"), 1, {"running_units": 4, "requests_per_second": 0.5})
    rotated = call("keys", "rotate", 1, "--grace", "0m")
    assert "key 2 expires on 20" in rotated.stderr
    assert api_keys.authenticate(state, rotated.stdout.strip()) == replace(caller, key=2)
    with pytest.raises(api_keys.KeyExpired):
        api_keys.authenticate(state, secret)
    (first, second) = api_keys.list_all(state)
    assert second.expires == pytest.approx(second.created + 90 * 86_400, abs=60)
    listed = call("keys", "list").stdout
    assert all(word in listed for word in ("expires", "last used", "running_units=4"))
    assert "revoked" not in listed
    assert call("keys", "revoke", first.id).exit_code == 0
    assert ", revoked 20" in call("keys", "list").stdout
    assert "is over at once" in call("keys", "create", "dead", "--expires", "0d").output
    assert "there is no key 1, or it was revoked" in call("keys", "rotate", 1).stderr


@pytest.mark.parametrize("terminal", [True, False])
def test_ids_names_and_times_are_whole_in_80_columns_and_in_a_pipe(
    state: Database, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    for name in ("laptop", "continuous-integration"):
        call("keys", "create", name, "--scopes", "read,submit,admin", "--expires", "90d", "--limit", "running_units=4")
    written = io.StringIO()
    monkeypatch.setattr(output, "console", Console(file=written, force_terminal=terminal, width=80, color_system=None))
    assert call("keys", "list").exit_code == 0
    lines = written.getvalue().splitlines()
    (second,) = (line for line in lines if line.startswith("2  "))
    assert second.split()[:4] == ["2", "continuous-integration", "default", "read,submit,admin"]
    if terminal:
        assert max(map(len, lines)) <= 80
    else:
        assert len(lines) == 3
        assert re.search(r"created 20\d\d-\d\d-\d\d \d\d:\d\d, expires 20\d\d-\d\d-\d\d \d\d:\d\d, running_units=4$", second)
    assert " ".join("".join(lines).split()).count("running_units=4") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--expires", "90"), "'90' is no duration"),
        (("--expires", "-1d"), "is no duration"),
        (("--limit", "running_units"), "is no limit"),
        (("--limit", "gpus=2"), "one of versions_in_flight, running_units"),
        (("--limit", "streams=1.5"), "is no limit"),
        (("--scopes", "root"), "a key has scopes of read, submit, admin"),
        (("--tenant", "../shop"), "is no name of a tenant"),
    ],
)
def test_what_cannot_be_meant_is_refused(state: Database, arguments: tuple[str, ...], message: str) -> None:
    done = call("keys", "create", "x", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
