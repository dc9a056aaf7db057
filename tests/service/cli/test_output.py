"""What commands print."""

from pipelines.spec import Arm
from service.cli.output import ARMS


def test_every_arm_has_a_name_in_the_table() -> None:
    assert set(ARMS) == set(Arm.__args__)  # type: ignore[attr-defined]
