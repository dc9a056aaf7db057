"""The manifests: valid for real schemas, and as strict as they say."""

import re
from typing import Any

import kubernetes_validate
import pytest
from cloudcoil.models.keda import v1alpha1 as keda
from typer.testing import CliRunner

from service.cli import app
from service.settings import Settings
from tests.k8s.manifests import FOLDERS, ROOT, built, found, named, pods, template

KUBERNETES = ("1.34", "1.37")  # the oldest and the newest that the manifests are for
MODELS = {"ScaledObject": keda.ScaledObject, "TriggerAuthentication": keda.TriggerAuthentication}
PODS = dict(pods())
OURS = {name: each for name, each in PODS.items() if "counterpoise" in template(each)["spec"]["containers"][0]["image"]}
FOREIGN = re.compile(r"AWS_|HF_|POSTGRES_|PGDATA$|VERSION$")  # variables of others, that we have no settings for
CLIENT = {"COUNTERPOISE_URL", "COUNTERPOISE_KEY"}


def check(manifest: dict[str, Any], version: str) -> None:
    """Raises on a wrong type, a missing field and a field that does not exist."""
    if manifest["apiVersion"].startswith("keda.sh/"):
        read = MODELS[manifest["kind"]].model_validate(manifest)
        assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == manifest, "a field that KEDA does not know"
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_manifest_is_valid(folder: str, version: str) -> None:
    for manifest in built(folder):
        check(manifest, version)


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "ScaledObject", "HorizontalPodAutoscaler"])
def test_a_field_that_does_not_exist_is_found(kind: str) -> None:
    manifest = found("overlays/prod", kind)[0]
    wrong = {**manifest, "spec": {**manifest["spec"], "replica": 2}}
    with pytest.raises((kubernetes_validate.ValidationError, AssertionError)):
        check(wrong, KUBERNETES[-1])


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    spec = template(manifest)["spec"]
    return [*spec["containers"], *spec.get("initContainers", [])]


@pytest.mark.parametrize("manifest", PODS.values(), ids=PODS)
def test_a_pod_has_no_rights_and_no_token(manifest: dict[str, Any]) -> None:
    """What Pod Security calls restricted, and a read-only root besides."""
    spec = template(manifest)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(spec)
    assert all("hostPath" not in volume for volume in spec["volumes"])
    for container in containers(manifest):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("manifest", PODS.values(), ids=PODS)
def test_a_pod_says_what_it_needs_and_which_image(manifest: dict[str, Any]) -> None:
    for container in containers(manifest):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        assert "memory" in resources["limits"]
        assert re.search(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"]), container["image"]


@pytest.mark.parametrize("manifest", PODS.values(), ids=PODS)
def test_what_runs_for_long_is_probed_and_what_ends_is_bounded(manifest: dict[str, Any]) -> None:
    if manifest["kind"] == "Deployment":
        assert all("livenessProbe" in container for container in containers(manifest))
    else:
        job = manifest["spec"]["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else manifest["spec"]
        assert {"backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} <= job.keys()


@pytest.mark.parametrize("manifest", OURS.values(), ids=OURS)
def test_every_setting_and_every_command_exists(manifest: dict[str, Any]) -> None:
    known = {f"COUNTERPOISE_{name.upper()}" for name in Settings.model_fields} | CLIENT
    for container in containers(manifest):
        names = {each["name"] for each in container.get("env", [])}
        assert {name for name in names if not FOREIGN.match(name)} <= known
        if "command" not in container:
            command, *options = container["args"]
            told = CliRunner().invoke(app, [command, "--help"])
            assert told.exit_code == 0, command
            assert all(option in told.output for option in options if option.startswith("--"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_setting_of_a_config_map_or_secret_exists(folder: str) -> None:
    known = {f"COUNTERPOISE_{name.upper()}" for name in Settings.model_fields}
    for each in found(folder, "ConfigMap", "Secret"):
        if each["metadata"]["name"].startswith(("settings", "counterpoise")):
            assert {name for name in each["data"] if not FOREIGN.match(name)} <= known


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_account_has_a_token_and_every_pod_has_one_of_them(folder: str) -> None:
    accounts = found(folder, "ServiceAccount")
    assert all(each["automountServiceAccountToken"] is False for each in accounts)
    used = {template(each)["spec"].get("serviceAccountName") for name, each in OURS.items() if name.startswith(folder)}
    assert used - {None} <= {each["metadata"]["name"] for each in accounts}


@pytest.mark.parametrize("folder", ["base", "overlays/prod", "jobs"])
def test_no_secret_lies_in_a_file(folder: str) -> None:
    assert found(folder, "Secret") == []


def chosen(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/prod"])
def test_the_network_is_closed_but_for_what_is_said(folder: str) -> None:
    policies = found(folder, "NetworkPolicy")
    everything = [each["spec"] for each in policies if each["spec"]["podSelector"] == {} and "egress" not in each["spec"]]
    assert everything == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    selectors = [each["spec"]["podSelector"] for each in policies if each["spec"]["podSelector"]]
    made = [*found(folder, "Deployment", "Job"), *found("jobs", "Job", "CronJob")]
    every = [template(each)["metadata"]["labels"] for each in made]
    assert all(any(chosen(selector, labels) for labels in every) for selector in selectors), "a policy for no pod"


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/prod"])
def test_every_selector_finds_its_pods(folder: str) -> None:
    every = {each["metadata"]["name"]: template(each)["metadata"]["labels"] for each in found(folder, "Deployment")}
    for each in found(folder, "Deployment"):
        assert chosen(each["spec"]["selector"], every[each["metadata"]["name"]])
    for each in found(folder, "Service"):
        assert [name for name, labels in every.items() if each["spec"]["selector"].items() <= labels.items()] == [
            each["metadata"]["name"]
        ]
    for each in found(folder, "HorizontalPodAutoscaler", "ScaledObject"):
        scaled = named(folder, "Deployment", each["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in scaled["spec"], "each apply would undo the scaling"


def test_each_gpu_worker_has_one_gpu_and_time_to_give_its_unit_back() -> None:
    worker = template(named("overlays/prod", "Deployment", "gpu-worker"))["spec"]
    (container,) = worker["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in worker["tolerations"]
    assert worker["terminationGracePeriodSeconds"] >= 300
    assert "REMAP_SIGTERM" not in str(worker), "a cold shutdown kills the process that would give the unit back"
    assert {"name": "models", "mountPath": "/models"} in container["volumeMounts"]


def test_the_small_cluster_needs_neither_gpu_nor_keda() -> None:
    assert "nvidia.com/gpu" not in str(built("overlays/dev"))
    assert all(not each["apiVersion"].startswith("keda.sh") for each in built("overlays/dev"))
    worker = template(named("overlays/dev", "Deployment", "cpu-worker"))["spec"]["containers"][0]
    assert worker["args"] == ["worker", "--queues", "cpu,gpu"]


@pytest.mark.parametrize("name", ["scheduler", "cpu-worker", "gpu-worker"])
def test_who_answers_nothing_else_is_probed_where_its_image_makes_it_listen(name: str) -> None:
    (container,) = template(named("base", "Deployment", name))["spec"]["containers"]
    image = "service" if name == "scheduler" else "worker"
    (port,) = re.findall(r"COUNTERPOISE_METRICS_PORT=(\d+)", (ROOT / f"docker/{image}.Dockerfile").read_text())
    assert container["ports"] == [{"name": "metrics", "containerPort": int(port)}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert any({"port": int(port), "protocol": "TCP"} in rule["ports"] for rule in ingress("metrics"))


def test_the_api_s_metrics_are_where_clients_are_not_let_in() -> None:
    (container,) = template(named("base", "Deployment", "api"))["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": 8000, "metrics": 9464}
    assert "api" in named("base", "NetworkPolicy", "metrics")["spec"]["podSelector"]["matchExpressions"][0]["values"]
    assert [rule["ports"] for rule in ingress("from-clients")] == [[{"port": 8000, "protocol": "TCP"}]]


def ingress(policy: str) -> list[dict[str, Any]]:
    return list(named("base", "NetworkPolicy", policy)["spec"]["ingress"])
