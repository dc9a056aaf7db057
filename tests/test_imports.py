"""Imports point one way, workers -> service -> pipelines, and what has no GPU never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "diffusers", "transformers", "datasets", "numpy", "PIL", "pyarrow", "obstore")
PACKAGES = {
    "pipelines": {"service", "workers", "counterpoise"},
    "service": {"workers", "counterpoise"},
    "workers": {"counterpoise"},
}


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide where they point"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_what_stands_above_it(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert any("pipelines" in imported(file) for file in files), "the walk found no imports at all"
    wrong = {str(file.relative_to(ROOT)): imported(file) & PACKAGES[package] for file in files}
    assert {file: found for file, found in wrong.items() if found} == {}


@pytest.mark.parametrize("module", ["pipelines.spec", "pipelines.errors", "pipelines.paths", "service.cli"])
def test_the_light_modules_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_same_check_sees_torch_where_it_is() -> None:
    code = "import sys, pipelines.tensors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_only_one_file_loads_a_diffusers_checkpoint() -> None:
    users = [f for f in (ROOT / "pipelines").rglob("*.py") if "DiffusionPipeline.from_pretrained" in f.read_text()]
    product = [file.relative_to(ROOT).as_posix() for file in users if "train" not in file.parts]
    assert product == ["pipelines/diffusion/model.py"]
