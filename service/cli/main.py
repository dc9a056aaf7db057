"""The `counterpoise` command: one table of its subcommands. What one of them needs is imported when it is given."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command

from pipelines.errors import CounterpoiseError

COMMANDS = {  # by name: module of this package, and what is called there
    "example": "specs:example",
    "init": "init:init",
    "inspect": "inspect:inspect",
    "discover": "discover:discover",
    "run": "local:run",
    "ablate": "local:ablate",
    "validate": "specs:validate",
    "forecast": "forecast:forecast",
    "schema": "specs:schema",
    "families": "families:families",
    "convert": "convert:convert",
    "demo": "demo:demo",
    "up": "supervisor:up",
    "api": "operate:api",
    "worker": "operate:worker",
    "scheduler": "operate:scheduler",
    "migrate": "operate:migrate",
    "keys": "api_keys:keys_app",
    "bench": "local:bench_app",
    "submit": "remote:submit",
    "preview": "remote:preview",
    "refresh": "remote:refresh",
    "promote": "remote:promote",
    "schedule": "remote:schedule",
    "unschedule": "remote:unschedule",
    "status": "remote:status",
    "pull": "pull:pull",
    "export": "export:export",
    "samples": "browse:samples",
    "files": "browse:files",
    "list": "remote:list_versions",
    "datasets": "remote:list_datasets",
    "cancel": "remote:cancel",
    "retry": "remote:retry",
    "delete": "remote:delete",
}


class Imported(Mapping[str, Any]):
    """The commands by name. The module of one is imported when it is looked up: no command waits for what others need."""

    def __getitem__(self, name: str) -> Any:
        module, attribute = COMMANDS[name].split(":")
        group = getattr(import_module(f"service.cli.{module}"), attribute)
        if not isinstance(group, typer.Typer):
            function, group = group, typer.Typer(add_completion=False)
            group.command()(function)
        command = get_command(group)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """Every error that a user can correct ends a command with one red line and exit code 2."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": Imported()})

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CounterpoiseError as error:
            raise exit_with(str(error)) from None
        except ValueError as error:  # pydantic's, of the settings
            if type(error).__name__ not in ("SettingsError", "ValidationError"):
                raise
            raise exit_with(f"settings (COUNTERPOISE_*): {error}") from None


def exit_with(message: str) -> typer.Exit:
    Console(stderr=True, highlight=False).print(message, style="red", markup=False, soft_wrap=True)
    return typer.Exit(2)


app = typer.Typer(no_args_is_help=True, add_completion=False, cls=Commands)


@app.callback()
def root() -> None:
    """Makes the training images a dataset lacks."""
