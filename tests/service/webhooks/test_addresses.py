"""Addresses of webhooks: kept out of private networks, and refused when they are none."""

import random
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.webhooks.addresses import public, resolve
from tests.service.calls import problem

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "3fff::1", "5f00::1", "100::1", "4000::1", "64:ff9b:1::8.8.8.8", "2001:2::1", "2001:20::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "198.17.255.255",
    "223.255.255.255", "2606:2800:220:1:248:1893:25c8:1946", "2001:4860:4860::8888", "2a00:1450::1", "2620:fe::fe",
]  # fmt: skip


def embedding(address: str) -> list[IPv6Address]:
    """All forms in which an IPv6 address holds an IPv4 one."""
    number = int(IPv4Address(address))
    teredo = (0x20010000 << 96) | (int(IPv4Address("8.8.8.8")) << 64)
    return [
        *(IPv6Address(int(IPv6Address(prefix)) | number) for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::")),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
        IPv6Address(teredo | (number ^ 0xFFFFFFFF)),  # the client's, turned
        IPv6Address((0x20010000 << 96) | (number << 64) | (int(IPv4Address("8.8.8.8")) ^ 0xFFFFFFFF)),  # the server's
    ]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_not_everybody_reaches_is_not_public(address: str) -> None:
    assert not public(ip_address(address))
    if "." in address and ":" not in address:
        assert not any(map(public, embedding(address)))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is(address: str) -> None:
    assert public(ip_address(address))
    if ":" not in address:
        assert all(map(public, embedding(address)))


def test_nothing_is_public_that_python_calls_private() -> None:
    rng = random.Random(0)
    near = [int(ip_address(address)) for address in PRIVATE + PUBLIC]
    for _ in range(20_000):
        four = IPv4Address(rng.getrandbits(32))
        six = IPv6Address((rng.choice(near) << rng.choice((0, 0, 96)) ^ rng.getrandbits(rng.choice((16, 64, 120)))) % 2**128)
        assert not public(four) or four.is_global
        # Its table has no embedded address but the mapped ones, and it takes Teredo for private whatever is in it.
        assert not public(six) or six.is_global or six.teredo


def test_addresses_stay_in_the_order_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    order = ["93.184.216.34", "2606:2800::1", "8.8.8.8", "93.184.216.34"]

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in order]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolve("http://example.com/", allow_private=False) == ["93.184.216.34", "2606:2800::1", "8.8.8.8"]
    order.append("64:ff9b::10.0.0.1")  # one that is private spoils them all
    problem_text = "'example.com' is 64:ff9b::10.0.0.1, which is no public address"
    with pytest.raises(Exception, match=problem_text):
        resolve("http://example.com/", allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost:8000/", "http://10.1.2.3/", "http://192.168.0.1/", "http://169.254.169.254/latest",
        "http://[::1]/", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f.1/",
        "http://[64:ff9b::169.254.169.254]/", "http://[2002:7f00:1::1]/", "http://100.64.0.1/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(client: TestClient, url: str) -> None:
    assert "no public address" in problem(client.post("/v1/webhooks", json={"url": url}), 422)["detail"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com/", "no plain http or https"),
        ("http://user:word@93.184.216.34/", "no plain http or https"),
        ("http://93.184.216.34:99999/", "no valid port"),
        ("http://93.184.216.34:0/", "no valid port"),
        ("http://a\x00b/", "no plain http or https"),
        ("nonsense", "no plain http or https"),
        ("http://no.such.name.invalid/", "has no address"),
        ("http://" + "a" * 300 + ".com/", "has no address"),
    ],
)
def test_addresses_that_are_none_are_refused(client: TestClient, url: str, said: str) -> None:
    assert said in problem(client.post("/v1/webhooks", json={"url": url}), 422)["detail"]
