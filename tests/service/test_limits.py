"""What an operator allows of a version's size, and what is said beyond."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SpecError
from service.api.app import create_app
from service.limits import check, check_roots
from service.settings import Settings
from tests.builders import spec


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"amount": {"total": 10**8}},
            r"^amount: 1000.* more than the 10000000 .*MAX_IMAGES\); ask for fewer",
        ),
        ({"amount": {"per_class": 10_000_001}}, r"^amount: 10000001 images"),
        ({"amount": {"total": 100_001}, "shard_size": 1}, r"^shard_size: .* more than the 100000 shards .*make them larger"),
        ({"models": {"clip": "/etc"}}, r"^models.clip: '/etc' is not allowed here"),
        ({"models": {"adapter": "h94/IP-Adapter/models/a.safetensors"}}, r"^models.adapter: .* is not allowed here"),
        (
            {"models": {"further": [{"text_to_image": "org/name@v1", "share": 0.5}]}},
            r"^models.further.0.text_to_image: 'org/name@v1' is not allowed here",
        ),
        ({"models": {"config": "/etc"}}, r"^models.config: '/etc' is not allowed here"),
        ({"models": {"loras": [{"path": "/etc/a.safetensors"}]}}, r"^models.loras.0.path: .* is not allowed here"),
        (
            {"models": {"embeddings": [{"path": "org/name", "token": "x"}]}},
            r"^models.embeddings.0.path: 'org/name' is not allowed here",
        ),
        ({"models": {"adapter": "/etc/a.safetensors"}}, r"^models.adapter: .* is not allowed here"),
    ],
)
def test_what_is_too_large_or_elsewhere_is_refused_before_anything_is_made(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=said):
        check(spec(**changes), Settings(state_dir=tmp_path))


def test_a_file_in_an_allowed_organisations_repository_may_be_an_adapter(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, hub_organisations=["h94"])
    check(spec(models={"adapter": "h94/IP-Adapter/models/ip-adapter_sd15.safetensors"}), settings)
    check(spec(models={"adapter": "h94/IP-Adapter/models/ip-adapter_sd15.safetensors@v1"}), settings)
    for wrong in ("h94/IP-Adapter", "h94/../../etc/a.safetensors", "h94/IP-Adapter/a.safetensors@../../etc"):
        with pytest.raises(SpecError, match=r"^models.adapter: .* is not allowed here"):
            check(spec(models={"adapter": wrong}), settings)


def test_loras_and_embeddings_may_be_files_of_an_allowed_organisation_or_lie_in_a_root(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, hub_organisations=["org"], model_roots=[tmp_path / "models"])
    loras = [{"path": path} for path in ("org/name", "org/name/a.safetensors@v1", str(tmp_path / "models/a.safetensors"))]
    check(spec(models={"loras": loras, "embeddings": [{"path": "org/name/b.safetensors", "token": "x"}]}), settings)


def test_a_revision_of_an_allowed_repository_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path, hub_organisations=["openai"], model_roots=[tmp_path / "models"])
    check(spec(models={"clip": "openai/clip@refs/pr/4"}), settings)
    (tmp_path / "openai/clip@v1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)  # a folder of that name would be read, and is not allowed
    for wrong in ("openai/clip@v1", "openai/clip@../../x", "other/clip@v1", "~/models/clip"):
        with pytest.raises(SpecError, match=r"^models.clip: .* is not allowed here"):
            check(spec(models={"clip": wrong}), settings)


def test_the_bundled_checkpoints_are_allowed_everywhere(tmp_path: Path) -> None:
    check(spec(models={"text_to_image": "builtin", "inpainting": "builtin-inpainting"}), Settings(state_dir=tmp_path))


def test_the_operator_draws_the_line(tmp_path: Path) -> None:
    asked = spec(amount={"total": 50})
    check(asked, Settings(state_dir=tmp_path, max_images=50))
    with pytest.raises(SpecError, match=r"^amount: 50 images are more than the 49"):
        check(asked, Settings(state_dir=tmp_path, max_images=49))


PLACES = {
    "store_url": "/data/store",
    "state_dir": "/data/state",
    "database_url": "sqlite:////data/db/state.db",
}


@pytest.mark.parametrize(
    "root",
    [
        "/",
        "/data",
        "/data/store",
        "/data/store/team",
        "/data/state",
        "/data/db",
        "/data/x/../store",
    ],
)
def test_a_root_that_covers_what_is_the_services_own_is_refused(root: str) -> None:
    with pytest.raises(SpecError, match=r"^COUNTERPOISE_SOURCE_ROOTS: .* \(COUNTERPOISE_(STORE|STATE|DATABASE)_.*beside it"):
        check_roots(Settings(**PLACES, source_roots=["/photos", root]))
    with pytest.raises(SpecError, match=r"^COUNTERPOISE_MODEL_ROOTS: "):
        check_roots(Settings(**PLACES, model_roots=[root]))


def test_roots_beside_it_are_allowed() -> None:
    check_roots(Settings(**PLACES, source_roots=["/data/stores", "s3://bucket/data"], model_roots=["/data/state/models"]))


@pytest.mark.parametrize("root", ["s3://bucket", "s3://bucket/", "s3://bucket/versions", "s3://bucket/versions/team/"])
def test_a_root_on_s3_that_covers_the_store_is_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^COUNTERPOISE_SOURCE_ROOTS: .*COUNTERPOISE_STORE_URL"):
        check_roots(Settings(state_dir=tmp_path, store_url="s3://bucket/versions/", source_roots=[root]))
    check_roots(
        Settings(state_dir=tmp_path, store_url="s3://bucket/versions", source_roots=["s3://bucket/version", "s3://b"])
    )


def test_links_are_followed_and_the_application_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "state/store").mkdir(parents=True)
    (tmp_path / "photos").symlink_to(tmp_path / "state/store")
    with pytest.raises(SpecError, match=r"^COUNTERPOISE_SOURCE_ROOTS: .*photos"):
        create_app(Settings(state_dir=tmp_path / "state", source_roots=[str(tmp_path / "photos")]))


def test_nothing_of_the_store_is_a_source_whatever_the_roots(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", source_roots=[str(tmp_path)], model_roots=[tmp_path])
    (tmp_path / "link").symlink_to(tmp_path / "state")
    for path in ("state/store/others", "state", "link/store", "."):
        with pytest.raises(SpecError, match=r"^source.path: .* is not allowed here"):
            check(spec(source={"type": "folder", "path": f"{tmp_path}/{path}"}), settings)
    with pytest.raises(SpecError, match=r"^models.clip: .* is not allowed here"):
        check(spec(models={"clip": f"{tmp_path}/state/store/others/clip"}), settings)
    check(spec(source={"type": "folder", "path": f"{tmp_path}/birds"}), settings)
