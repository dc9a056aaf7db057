"""An application that really listens, in a thread of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.servers import free_port


@dataclass
class Served:
    """The application, as a test may call it, and its address."""

    client: TestClient
    url: str


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    app, port = create_app(settings), free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)
        yield Served(TestClient(app), f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join(30)
        app.state.context.database.engine.dispose()
