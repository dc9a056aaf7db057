"""Commands on API keys: create, list, rotate, revoke."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.operate import open_migrated_database
from service.cli.output import print_list

if TYPE_CHECKING:
    from service.state.tables import ApiKey

keys_app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True, add_completion=False)
UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
Lifetime = Annotated[str | None, typer.Option("--expires", help="How long it is valid: 90d, 12h, 30m; none: for ever.")]


def seconds(duration: str) -> float:
    """Of a duration: 90d, 24h, 30m."""
    parts = re.fullmatch(r"(\d{1,5})([mhd])", duration)
    if not parts:
        raise typer.BadParameter(f"{duration!r} is no duration; give days, hours or minutes: 90d, 24h, 30m")
    return int(parts[1]) * UNITS[parts[2]]


def limit(setting: str) -> tuple[str, float]:
    """A limit and its value: running_units=4."""
    from service.state.api_keys import LIMITS

    name, _, value = setting.partition("=")
    if name not in LIMITS or not re.fullmatch(r"\d+(\.\d+)?" if name == "requests_per_second" else r"\d+", value):
        raise typer.BadParameter(f"{setting!r} is no limit; give NAME=NUMBER, with one of {', '.join(LIMITS)}")
    return name, float(value) if "." in value else int(value)


def day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def since(key: "ApiKey") -> str:
    """When a key was made and used, until when it is valid, and its limits."""
    times = {"created": key.created, "last used": key.last_used, "expires": key.expires, "revoked": key.revoked}
    parts = [f"{name} {day(time)}" for name, time in times.items() if time is not None]
    return ", ".join([*parts, *(f"{name}={value}" for name, value in key.limits.items())])


def write_admin_key(state_dir: Path) -> Path:
    """A file with a key that may do everything, made when there is none; its owner alone can read it."""
    from service.state import api_keys

    file = state_dir / "admin.key"
    if not file.exists():
        database = open_migrated_database(state_dir)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            stream.write(api_keys.create(database, "admin", "default", api_keys.SCOPES) + "\n")
        database.engine.dispose()
    return file


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    tenant: Annotated[str, typer.Option(help="Whose datasets it opens.")] = "default",
    scopes: Annotated[str, typer.Option(help="Of read, submit, admin; comma-separated.")] = "read,submit",
    expires: Lifetime = None,
    limits: Annotated[
        list[str], typer.Option("--limit", help="In place of the service's: running_units=4. May be repeated.")
    ] = [],  # noqa: B006  (typer's way)
) -> None:
    """Make a key and print it. It is not stored, and cannot be shown again."""
    from service.state import api_keys

    valid = [scope for scope in api_keys.SCOPES if scope in scopes.split(",")]
    if len(valid) != len(scopes.split(",")):
        raise typer.BadParameter(f"{scopes!r}: a key has scopes of {', '.join(api_keys.SCOPES)}")
    lifetime, own = seconds(expires) if expires else None, dict(map(limit, limits))
    if lifetime == 0:
        raise typer.BadParameter(f"--expires: {expires} is over at once; give a longer one, or leave it out")
    typer.echo(api_keys.issue(open_migrated_database(), name, tenant, valid, lifetime, own)[1])


@keys_app.command("list")
def list_keys() -> None:
    """All keys, those revoked and expired included. Times are UTC."""
    from service.state import api_keys

    keys = api_keys.list_all(open_migrated_database())
    rows = [(str(key.id), key.name, key.tenant, ",".join(key.scopes), since(key)) for key in keys]
    print_list(("id", "name", "tenant", "scopes", "times and limits"), rows)


@keys_app.command("rotate")
def rotate_key(
    key_id: Annotated[int, typer.Argument(help="As `keys list` shows it.")],
    grace: Annotated[str, typer.Option(help="How long the old key is valid still.")] = "24h",
    expires: Lifetime = None,
) -> None:
    """Make a key with the tenant, scopes and limits of another, and print it; the other one expires after the grace.

    The new key is valid for as long as the old one was, unless --expires says otherwise.
    """
    from service.state import api_keys

    lifetime = seconds(expires) if expires else None
    rotated = api_keys.rotate(open_migrated_database(), key_id, seconds(grace), lifetime)
    if rotated is None:
        raise typer.BadParameter(f"there is no key {key_id}, or it was revoked; make one by `keys create`")
    new, key = rotated
    typer.echo(f"key {new.id} {validity(new)}; key {key_id} is valid for {grace} at most", err=True)
    typer.echo(key)


def validity(key: "ApiKey") -> str:
    return f"expires on {day(key.expires)} UTC" if key.expires else "does not expire"


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[int, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Put a key out of force."""
    from service.state import api_keys

    if not api_keys.revoke(open_migrated_database(), key_id):
        raise typer.BadParameter(f"no key {key_id} is in force")
    typer.echo(f"key {key_id} is revoked")
