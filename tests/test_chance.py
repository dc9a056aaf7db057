"""Seeds: the same for the same names, another for any other, and never out of range."""

import hashlib

from pipelines.chance import derive


def test_a_seed_depends_on_every_name_and_its_place() -> None:
    seeds = [derive(s, "image", i, a) for s in range(5) for i in range(20) for a in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert derive(0, "image", 1, 2) != derive(0, "image", 2, 1) != derive(0, "token", 2, 1)


def test_a_seed_fits_into_a_signed_64_bit_number() -> None:
    assert all(0 <= derive(n) < 2**63 for n in range(200))
    assert max(derive(n) for n in range(200)) > 2**62


def test_a_seed_never_changes_between_versions_of_the_code() -> None:
    assert derive(7, "image", 3, 0) == int(hashlib.sha256(b"7/image/3/0").hexdigest()[:16], 16) // 2
