"""The manifests as `kubectl apply -k` would send them."""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("base", "overlays/dev", "overlays/prod", "jobs")
KUBECTL = Path(sys.executable).parent / "kubectl"


@cache
def built(folder: str) -> list[dict[str, Any]]:
    command = [str(KUBECTL), "kustomize", str(ROOT / "k8s" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "", "kustomize warns of what it will drop"
    return list(yaml.safe_load_all(done.stdout))


def found(folder: str, *kinds: str) -> list[dict[str, Any]]:
    return [each for each in built(folder) if each["kind"] in kinds]


def named(folder: str, kind: str, name: str) -> dict[str, Any]:
    (one,) = (each for each in found(folder, kind) if each["metadata"]["name"] == name)
    return one


def template(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pods that it makes."""
    spec = manifest["spec"]["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else manifest["spec"]
    return dict(spec["template"])


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that makes pods, with a name for people."""
    for folder in FOLDERS:
        for each in found(folder, "Deployment", "Job", "CronJob"):
            yield f"{folder}: {each['kind']} {each['metadata']['name']}", each
