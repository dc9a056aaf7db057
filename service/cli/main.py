"""The `counterpoise` command: one table of its subcommands. What needs torch is imported when it is run, not before."""

import sys
from typing import Any

import structlog
import typer
from rich.console import Console
from typer.core import TyperGroup

from pipelines.errors import CounterpoiseError
from service.cli import browse, local, operate, remote, specs
from service.cli.api_keys import keys_app
from service.cli.convert import convert
from service.cli.demo import demo
from service.cli.discover import discover
from service.cli.export import export
from service.cli.families import families
from service.cli.forecast import forecast
from service.cli.init import init
from service.cli.inspect import inspect
from service.cli.pull import pull
from service.cli.supervisor import up


class Commands(TyperGroup):
    """Every error that a user can correct ends a command with one red line and exit code 2."""

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


structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for what commands print
app = typer.Typer(
    help="Makes the training images a dataset lacks.", no_args_is_help=True, add_completion=False, cls=Commands
)
app.command()(specs.example)
app.command()(init)
app.command()(inspect)
app.command()(discover)
app.command()(local.run)
app.command()(local.ablate)
app.command()(specs.validate)
app.command()(forecast)
app.command()(specs.schema)
app.command()(families)
app.command()(convert)
app.command()(demo)
app.command()(up)
app.command()(operate.api)
app.command()(operate.worker)
app.command()(operate.scheduler)
app.command()(operate.migrate)
app.add_typer(keys_app, name="keys")
app.add_typer(local.bench_app, name="bench")
app.command()(remote.submit)
app.command()(remote.preview)
app.command()(remote.refresh)
app.command()(remote.promote)
app.command()(remote.schedule)
app.command()(remote.unschedule)
app.command()(remote.status)
app.command()(pull)
app.command()(export)
app.command()(browse.samples)
app.command()(browse.files)
app.command("list")(remote.list_versions)
app.command("datasets")(remote.list_datasets)
app.command()(remote.cancel)
app.command()(remote.retry)
app.command()(remote.delete)
