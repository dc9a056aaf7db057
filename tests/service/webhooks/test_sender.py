"""Deliveries side by side: a receiver that is slow, drips or lies holds up nobody else.

About twenty seconds over both databases.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from service.state import deliveries, webhooks
from service.state.database import Database
from service.state.deliveries import Answer
from service.webhooks import delivery, sender
from service.webhooks.sender import deliver
from tests.servers import receiving, webhook_request

SECRET = "whsec_" + "A" * 32
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that says what it likes to whoever connects; yields its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            webhook_request(connection)
            speak(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def hook(database: Database, url: str) -> int:
    return webhooks.create(database, "team", url, SECRET).id


def log(database: Database, webhook: int) -> list[tuple[str, int, str | None]]:
    return [(row.state, row.attempts, row.error) for row in deliveries.list_deliveries(database, webhook)]


def test_a_slow_receiver_holds_up_nobody(database: Database) -> None:
    release = threading.Event()

    def slow(connection: socket.socket) -> None:
        release.wait(30)
        connection.sendall(OK)

    with speaking(slow) as slow_port, receiving() as quick:
        late, _ = hook(database, f"http://127.0.0.1:{slow_port}/"), hook(database, f"http://127.0.0.1:{quick.port}/")
        for kind in ("a", "b"):
            with database.write() as session:
                deliveries.enqueue(session, "team", kind, {})
        thread = threading.Thread(target=deliver, args=(database, True))
        thread.start()
        end = time.monotonic() + 14
        while len(quick.got) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        assert [b'"type":"%b"' % kind in body for kind, (_, body) in zip((b"a", b"b"), quick.got, strict=True)] == [True] * 2
        assert [state for state, *_ in log(database, late)].count("sending") == 1  # one at a time
        release.set()
        thread.join(30)
    assert log(database, late) == [("delivered", 1, None)] * 2


def test_a_receiver_that_drips_has_a_deadline(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "DEADLINE", 1.0)

    def drip(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    with speaking(drip) as port:
        webhook = hook(database, f"http://127.0.0.1:{port}/")
        deliveries.enqueue_test(database, webhook)
        start = time.monotonic()
        assert deliver(database, True) == 1
        assert time.monotonic() - start < 20  # of the 100 seconds that the answer takes
    assert log(database, webhook) == [("pending", 1, "no answer within 1 s")]


def test_a_name_whose_address_is_long_in_coming_has_the_same_deadline(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DEADLINE", 0.3)

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        time.sleep(5)
        return []

    webhook = hook(database, "http://slow.example/")
    deliveries.enqueue_test(database, webhook)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    start = time.monotonic()
    assert deliver(database, True) == 1
    assert time.monotonic() - start < 4.5
    assert log(database, webhook)[0][0] == "pending"


def test_a_body_without_end_is_not_read(database: Database) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while sent < 50_000_000:
            sent += connection.send(b"z" * 65_536)

    with speaking(flood) as port:
        webhook = hook(database, f"http://127.0.0.1:{port}/")
        deliveries.enqueue_test(database, webhook)
        deliver(database, True)
        time.sleep(0.2)
    assert log(database, webhook) == [("delivered", 1, None)]
    assert sent < 50_000_000


@pytest.mark.parametrize("nonsense", [b"", b"220 smtp.example.com\r\n", b"HTTP/1.1 999999 no\r\n\r\n", b"\0" * 200_000])
def test_what_is_no_http_is_a_failure(database: Database, nonsense: bytes) -> None:
    with speaking(lambda connection: connection.sendall(nonsense)) as port:
        webhook = hook(database, f"http://127.0.0.1:{port}/")
        deliveries.enqueue_test(database, webhook)
        assert deliver(database, True) == 1
    ((state, _, error),) = log(database, webhook)
    assert (state, bool(error)) == ("pending", True)


def test_who_has_too_much_to_do_gets_nothing_else_meanwhile(database: Database) -> None:
    with receiving() as busy, receiving() as free:
        busy.statuses[:] = [503]
        busy.headers["retry-after"] = "30"
        throttled = hook(database, f"http://127.0.0.1:{busy.port}/")
        hook(database, f"http://127.0.0.1:{free.port}/")
        for kind in ("a", "b"):
            with database.write() as session:
                deliveries.enqueue(session, "team", kind, {})
        assert deliver(database, True) == 3
        assert (len(busy.got), len(free.got)) == (1, 2)
    assert [state for state, *_ in log(database, throttled)] == ["pending", "pending"]


def test_a_claim_is_one_senders_and_one_of_its_webhook(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = hook(database, "http://a.example/"), hook(database, "http://b.example/")
    for webhook in (first, first, second):
        deliveries.enqueue_test(database, webhook)
    claimed: list[deliveries.ClaimedDelivery] = []

    def claim() -> None:
        for _ in range(3):
            if (one := deliveries.claim(database)) is not None:
                claimed.append(one)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted((one.id, one.webhook) for one in claimed) == [(1, first), (3, second)]
    assert deliveries.claim(database) is None
    by_id = {one.id: one for one in claimed}
    assert deliveries.record_attempt(database, by_id[1], Answer(204)) == "delivered"
    following = deliveries.claim(database, excluded=[second])
    assert following is not None
    assert (following.id, following.webhook) == (2, first)


def test_a_claim_of_a_dead_sender_expires(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = hook(database, "http://a.example/")
    deliveries.enqueue_test(database, webhook)
    monkeypatch.setattr(deliveries, "CLAIM", 0.2)
    lost = deliveries.claim(database)
    assert lost is not None
    assert deliveries.claim(database) is None
    time.sleep(0.3)
    again = deliveries.claim(database)
    assert again is not None
    assert (again.id, again.attempts) == (lost.id, 2)
    deliveries.record_attempt(database, lost, Answer(204))  # too late: it is another's
    assert log(database, webhook) == [("sending", 2, None)]


def test_no_more_than_so_many_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PARALLEL", 2)
    lock, there, most = threading.Lock(), 0, 0

    def count(connection: socket.socket) -> None:
        nonlocal there, most
        with lock:
            there += 1
            most = max(most, there)
        time.sleep(0.2)
        with lock:
            there -= 1
        connection.sendall(OK)

    with speaking(count) as port:
        for _ in range(5):
            deliveries.enqueue_test(database, hook(database, f"http://127.0.0.1:{port}/"))
        assert deliver(database, True) == 5
    assert most == 2
