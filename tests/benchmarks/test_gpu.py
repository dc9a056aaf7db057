"""The GPU's script runs to its end at tiny size on a CPU. Costs 20 seconds."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.benchmarks import gpu


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--check", "--only", "(tiny|LoRA), (bf16|fp32)"], 11),
        (["--check", "--only", "tiny, fp16"], 10),
        (["--methods", "--only", "^(text_to_image|lora_of_images|subpopulation|curriculum) "], 4),
        (["--speed"], 24),
        (["--photographs"], 3),
    ],
    ids=["bf16", "fp16", "methods", "speed", "photographs"],
)
def test_every_case_runs(options: list[str], count: int, tmp_path: Path) -> None:
    app = gpu.typer.Typer()
    app.command()(gpu.main)
    result = CliRunner().invoke(app, [str(tmp_path), "--tiny", "--device", "cpu", *options])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "figures.json").read_text())
    assert len(record["cases"]) == count, list(record["cases"])


def test_a_failed_case_is_reported_and_the_others_run(tmp_path: Path) -> None:
    def fail() -> dict[str, object]:
        raise RuntimeError("out of memory")

    cases = [gpu.gpu_check.Case("broken", fail), gpu.gpu_check.Case("whole", lambda: {"GiB": 1})]
    results = dict(gpu.carry_out(cases))
    assert results["broken"]["failed"] == "RuntimeError: out of memory"
    assert results["whole"]["GiB"] == 1
