"""Devices and dtypes."""

import pytest
import torch

from pipelines.errors import ModelError
from pipelines.tensors import choose_dtype

CPU, CARD = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("precision", "device", "native", "dtype"),
    [
        ("auto", CPU, False, torch.float32),
        ("auto", CARD, True, torch.bfloat16),
        ("auto", CARD, False, torch.float16),
        ("fp16", CARD, True, torch.float16),
        ("bf16", CPU, False, torch.bfloat16),
        ("fp32", CARD, True, torch.float32),
    ],
)
def test_the_dtype_of_a_precision(
    precision: str, device: torch.device, native: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert choose_dtype(precision, device) == dtype


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ModelError, match="precision: 'int8' does not exist; give auto, bf16, fp16, fp32"):
        choose_dtype("int8", CPU)
