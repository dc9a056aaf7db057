"""Commands on API keys: create, list, revoke."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.cli.operate import open_migrated_database
from service.cli.output import console

keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


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
) -> None:
    """Make a key and print it. It is not stored, and cannot be shown again."""
    from service.state import api_keys

    valid = [scope for scope in api_keys.SCOPES if scope in scopes.split(",")]
    if len(valid) != len(scopes.split(",")):
        raise typer.BadParameter(f"{scopes!r}: a key has scopes of {', '.join(api_keys.SCOPES)}")
    typer.echo(api_keys.create(open_migrated_database(), name, tenant, valid))


@keys_app.command("list")
def list_keys() -> None:
    """All keys, those revoked included."""
    from service.state import api_keys

    table = Table("id", "name", "tenant", "scopes", "in force")
    for key in api_keys.list_all(open_migrated_database()):
        table.add_row(str(key.id), key.name, key.tenant, ", ".join(key.scopes), "yes" if key.revoked is None else "revoked")
    console.print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[int, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Put a key out of force."""
    from service.state import api_keys

    if not api_keys.revoke(open_migrated_database(), key_id):
        raise typer.BadParameter(f"no key {key_id} is in force")
    typer.echo(f"key {key_id} is revoked")
