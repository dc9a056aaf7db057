"""Every random choice derives from a seed and names alone, not from the process, the order or the time."""

import hashlib


def derive(seed: int, *parts: object) -> int:
    """A seed of 63 bits from a version's seed and whatever names the choice: ("image", index, attempt)."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
