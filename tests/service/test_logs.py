"""What is said where nobody watches, and in a terminal; and a service that should be traced and cannot be."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAID = """
import logging, warnings, structlog
from service import logs
logs.configure("info")
with structlog.contextvars.bound_contextvars(request_id="monday-7"):
    structlog.get_logger("service.some").info("done", unit=3)
    structlog.get_logger("service.some").debug("unheard")
    logging.getLogger("uvicorn").info("unheard")
    logging.getLogger("uvicorn").warning("a port is %s", "taken")
    warnings.warn("old")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("workers.unit").exception("failed")
"""


def test_where_nobody_watches_each_line_is_json() -> None:
    done = subprocess.run([sys.executable, "-c", SAID], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    first, second, third, fourth = (json.loads(line) for line in done.stderr.splitlines())
    assert (first["event"], first["unit"], first["level"], first["request_id"]) == ("done", 3, "info", "monday-7")
    assert (second["event"], second["logger"], second["request_id"]) == ("a port is taken", "uvicorn", "monday-7")
    assert "UserWarning: old" in third["event"]
    assert "ZeroDivisionError" in fourth["exception"]


def test_in_a_terminal_it_can_be_read() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", SAID], cwd=ROOT, stderr=theirs, check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        said = terminal.read(10_000).decode()
    assert "done" in said
    assert "monday-7" in said
    assert not said.startswith("{")


def test_traces_that_cannot_be_sent_are_refused_in_one_line(tmp_path: Path) -> None:
    """Without the extra: its library cannot be found."""
    block = "import sys\nsys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(block)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    for command in (["worker"], ["api", "--port", "1"]):
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: is set, and")
        assert "install counterpoise[tracing], or unset it" in done.stderr
