"""Commands that run one process of the service: API, worker, scheduler; and the migration of its database."""

import errno
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import SpecError

if TYPE_CHECKING:
    from service.settings import Settings
    from service.state.database import Database


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_port(port: int, host: str = "127.0.0.1") -> None:
    """Raises SpecError where nothing can listen on a port: another process does, say."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((str(address[0]), port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SpecError(f"--port: {port} is taken by another process; stop that, or give another --port") from None
        raise SpecError(f"--port: {port} of {host} cannot be listened on ({error.strerror}); give another") from None


def open_database(state_dir: Path | None = None) -> "Database":
    """The database as it is. Raises SpecError when there is none, and no folder for one."""
    from service.settings import Settings
    from service.state.database import Database

    settings = Settings(state_dir=state_dir) if state_dir else Settings()
    if not settings.database_url and not settings.state_dir.is_dir():
        raise SpecError(
            f"COUNTERPOISE_STATE_DIR: there is no folder {settings.state_dir}; name the one the service was started with, "
            "or give COUNTERPOISE_DATABASE_URL"
        )
    return Database.open(settings.database)


def open_migrated_database(state_dir: Path | None = None) -> "Database":
    """The database, brought up to date. Raises SpecError as `open_database` does."""
    database = open_database(state_dir)
    database.create()
    return database


def checked_settings() -> "Settings":
    """What the operator has set. Raises SpecError for roots that would open up what is the service's own."""
    from service.limits import check_roots
    from service.settings import Settings

    settings = Settings()
    check_roots(settings)
    return settings


def migrate(
    to: Annotated[str, typer.Option(help="Revision to go to, up or down; 'base' removes everything.")] = "head",
) -> None:
    """Bring the database up to date, or back to an older revision. Every process does the first when it starts."""
    from service.state import migrations

    typer.echo(f"the database is at revision {migrations.migrate(open_database().engine, to)}")


def api(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Answer HTTP requests. Settings: COUNTERPOISE_DATABASE_URL, COUNTERPOISE_BROKER_URL, COUNTERPOISE_STORE_URL."""
    import uvicorn

    from service import logs

    settings = checked_settings()
    if not settings.auth and not is_loopback(host):
        raise SpecError(
            f"--host: {host} can be reached from elsewhere, and COUNTERPOISE_AUTH is off; turn it on, or use 127.0.0.1"
        )
    check_port(port, host)
    logs.configure(settings.log_level)
    uvicorn.run("service.api.app:create_app", factory=True, host=host, port=port, log_config=None, access_log=False)


def worker(
    queues: Annotated[
        str, typer.Option(help="Kinds of work to do: cpu, gpu, or both; gpu makes previews, too.")
    ] = "cpu,gpu",
) -> None:
    """Do the work. Run one on each GPU."""
    from service import tracing
    from service.broker import PREVIEWS

    tracing.enabled()  # what is wrong with it fails here, in a line
    checked_settings()
    open_migrated_database().engine.dispose()
    if "gpu" in queues.split(","):  # in a queue of their own, so that no row of units stands before them
        queues = f"{queues},{PREVIEWS}"
    command = [sys.executable, "-m", "celery", "-q", "-A", "workers.app", "worker", "-Q", queues]
    os.execv(sys.executable, command)


def scheduler() -> None:
    """Fire schedules, and wake workers for units that are due. One is enough; several do no harm."""
    from service import logs
    from service.scheduler import run_scheduler

    settings = checked_settings()
    logs.configure(settings.log_level)
    run_scheduler(settings, open_migrated_database())
