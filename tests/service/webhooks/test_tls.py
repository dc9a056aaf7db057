"""Where a delivery connects to, and by which name: over TLS, with a certificate made here. About two seconds."""

import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.state import deliveries, webhooks
from service.state.database import Database
from service.webhooks import delivery
from service.webhooks.sender import deliver
from tests.servers import webhook_request


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of hook.example alone; in one file with its key."""
    file = tmp_path / "hook.pem"
    name = ["-subj", "/CN=hook.example", "-addext", "subjectAltName=DNS:hook.example"]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([*new, *name, "-keyout", file, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return file


def test_it_connects_to_the_address_that_was_checked_by_the_name(
    database: Database, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means another address at each look is looked up once; host, SNI and certificate are the name's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(delivery, "DEADLINE", 60.0)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    requests: list[bytes] = []

    def answer() -> None:
        with suppress(OSError), server.accept()[0] as plain, tls.wrap_socket(plain, server_side=True) as connection:
            requests.append(webhook_request(connection))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        thread = threading.Thread(target=answer)
        thread.start()
        port, lookups = server.getsockname()[1], 0
        plain = socket.getaddrinfo

        def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal lookups
            if host != b"hook.example":
                return plain(host, *arguments, **options)
            lookups += 1
            address = "127.0.0.1" if lookups == 1 else "127.0.0.2"
            refused = "127.0.0.3"  # nobody listens there: the next address is tried
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in (refused, address)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        webhook = webhooks.create(database, "team", f"https://hook.example:{port}/a?b=c", "whsec_" + "A" * 32).id
        deliveries.enqueue_test(database, webhook)
        assert deliver(database, True) == 1
        thread.join(20)
    assert [(row.state, row.error) for row in deliveries.list_deliveries(database, webhook)] == [("delivered", None)]
    assert (lookups, names) == (1, ["hook.example"])
    head = requests[0].split(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"post /a?b=c http/1.1\r\n")
    assert b"\r\nhost: hook.example:%d" % port in head
