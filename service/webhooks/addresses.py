"""The address of a webhook: a plain http or https URL, and no private network unless that is allowed."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from pipelines.errors import SpecError

# The IANA registries of special-purpose addresses (RFC 6890), whole blocks even where a few of their addresses are public.
NOT_PUBLIC_V4 = [
    ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's own services, as each of its machines sees them
    )
]  # fmt: skip
UNICAST_V6 = ip_network("2000::/3")
NOT_PUBLIC_V6 = [ip_network(block) for block in ("2001::/23", "2001:db8::/32", "3fff::/20")]
# Prefixes whose last 32 bits are an IPv4 address: compatible, mapped, translated (RFC 2765), NAT64 (RFC 6052).
LAST_32 = [ip_network(block) for block in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")]


def embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses in an IPv6 address, to which a gateway, a tunnel or the kernel may send what is sent to it."""
    if address.teredo:
        return address.teredo
    if address.sixtofour:
        return (address.sixtofour,)
    return (IPv4Address(address.packed[12:]),) if any(address in block for block in LAST_32) else ()


def public(address: IPv4Address | IPv6Address) -> bool:
    """Whether everybody can reach an address; one that embeds IPv4 addresses is as public as those."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in NOT_PUBLIC_V4)
    if inner := embedded(address):
        return all(map(public, inner))
    return address in UNICAST_V6 and not any(address in block for block in NOT_PUBLIC_V6)


def parse(url: str) -> httpx.URL:
    """A plain http(s) URL. Raises SpecError for any other."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        parts = httpx.URL("")
    if parts.scheme not in ("https", "http") or not parts.host or parts.userinfo:
        raise SpecError(f"url: {url!r} is no plain http or https address; give one such as https://example.com/hook")
    if parts.port is not None and not 0 < parts.port < 2**16:
        raise SpecError(f"url: {url!r} has no valid port; give one below 65536")
    return parts


def resolve(url: str, allow_private: bool) -> list[str]:
    """The IP addresses of a URL's host, in the order in which the system would try them (RFC 6724).

    Raises SpecError for a URL that is not plain http(s), and when one of them is not public.
    """
    parts = parse(url)
    try:
        results = socket.getaddrinfo(parts.raw_host, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SpecError(f"url: {parts.host!r} has no address; correct the name") from None
    addresses = list(dict.fromkeys(str(result[4][0]) for result in results))
    for address in addresses:
        if not (allow_private or public(ip_address(address.split("%")[0]))):
            raise SpecError(
                f"url: {parts.host!r} is {address}, which is no public address; use a public one "
                "(the operator may allow private ones by COUNTERPOISE_PRIVATE_WEBHOOKS)"
            )
    return addresses
