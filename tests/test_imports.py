"""Imports point one way, workers -> service -> pipelines, and what has no GPU never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import build, build_3, build_flux, build_pixart, build_xl
from tests.single_files import single_file

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


# The rooms of pipelines/, from the ground up: none imports from a floor above its own, or from a neighbour on it.
FLOORS: list[set[str]] = [
    {"errors", "chance"},
    {"records", "progress", "prompts"},
    {"regions", "tensors", "spec", "store", "parallel"},
    {"builtin"},
    {"source"},
    {"backbones"},
    {"engine"},
    {"vision"},
    {"training"},
    {"learning"},
    {"methods", "filters"},
    {"report"},
    {"inspection", "discovery"},
    {"version"},
    {"evaluation", "quality"},
    {"job"},
    {"run"},
    {"experiments"},
]


def room(file: Path) -> str:
    return file.relative_to(ROOT / "pipelines").parts[0].removesuffix(".py")


def rooms(file: Path) -> set[str]:
    """The rooms of pipelines/ that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipelines":
            parts = str(node.module).split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pipelines.")}
    return found


def test_no_room_of_the_domain_imports_from_above() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    files = [
        file
        for file in sorted((ROOT / "pipelines").rglob("*.py"))
        if file.parent != ROOT / "pipelines" or file.stem != "__init__"
    ]
    files = [file for file in files if "train" not in file.parts]  # scripts, which use everything
    assert {room(file) for file in files} == set(floor)
    wrong = [
        f"{file.relative_to(ROOT)} imports {other}"
        for file in files
        for other in rooms(file) - {room(file)}
        if floor[other] >= floor[room(file)]
    ]
    assert wrong == []


def test_the_top_of_the_domain_stays_small() -> None:
    assert len(list((ROOT / "pipelines").glob("*.py"))) <= 11


LIGHT = [
    "pipelines.spec", "pipelines.errors", "pipelines.store.keys", "service.cli", "pipelines.backbones.capabilities",
    "pipelines.backbones.description", "pipelines.backbones.families",
]  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_the_light_modules_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


VALIDATED = """
import sys, tempfile, time
from pathlib import Path
from fastapi.testclient import TestClient
from service.api.app import create_app
from service.settings import Settings

root, config, *paths = sys.argv[1:]
app = create_app(Settings(state_dir=Path(tempfile.mkdtemp()), auth=False, model_roots=[Path(root)]))
spec = {"name": "a", "source": {"type": "spurious"}, "method": {"type": "text_to_image"}, "amount": {"total": 1}}
with TestClient(app, base_url="http://localhost") as client:
    for path in paths:
        start, models = time.perf_counter(), {"text_to_image": path, "config": config, "resolution": 32}
        answer = client.post("/v1/specs:validate", json={**spec, "models": models}).json()
        print(answer["checkpoints"][0]["pipeline"], time.perf_counter() - start)
print(*[name for name in ("torch", "diffusers", "transformers", "safetensors") if name in sys.modules])
"""


def test_the_api_inspects_checkpoints_without_torch_and_quickly(tmp_path: Path) -> None:
    """Hundredths of a second each, where to import torch alone takes seconds. Costs eight seconds, with what is built."""
    paths = [str(made(tmp_path / made.__name__)) for made in (build, build_xl, build_3, build_flux, build_pixart)]
    paths.append(str(single_file(tmp_path / "build_xl", tmp_path / "xl.safetensors")))
    command = [sys.executable, "-c", VALIDATED, str(tmp_path), paths[1], *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *inspected, heavy = [line for line in done.stdout.splitlines() if " request " not in line]
    expected = ["StableDiffusion", "StableDiffusionXL", "StableDiffusion3", "Flux", "PixArtSigma", "StableDiffusionXL"]
    assert [line.split()[0].removesuffix("Pipeline") for line in inspected] == expected
    assert all(float(line.split()[1]) < 0.5 for line in inspected), inspected
    assert heavy == ""


def test_the_same_check_sees_torch_where_it_is() -> None:
    code = "import sys, pipelines.tensors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("module", ["service.api.app", "workers.ingest"])
def test_what_takes_in_uploads_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_one_file_loads_a_diffusers_checkpoint() -> None:
    users = [f for f in (ROOT / "pipelines").rglob("*.py") if "DiffusionPipeline.from_pretrained" in f.read_text()]
    product = [file.relative_to(ROOT).as_posix() for file in users if "train" not in file.parts]
    assert product == ["pipelines/backbones/loading.py"]
