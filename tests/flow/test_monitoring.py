"""What real processes say of themselves: metrics, log lines, traces; and that dashboard and alerts ask for nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.spec import parse
from service.client import Client
from service.transport import ServiceError
from tests.parts import PROMTOOL
from tests.servers import Receiver, free_port, receiving
from tests.test_run import SPEC

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
ADDED = {"instance", "job"}  # labels that Prometheus adds
NUMBERS = {"plan": 1, "learn": 1, "generate": 2, "finalize": 1, "evaluate": 5, "report": 1}  # an arm a unit, and the probe
UNITS = [(stage, number) for stage, count in NUMBERS.items() for number in range(count)]


@dataclass
class Span:
    process: str
    name: str
    trace: str
    id: str
    parent: str
    about: dict[str, Any]
    failed: bool


@dataclass
class Seen:
    """What was there to be seen of a service that made a version."""

    metrics: dict[str, dict[tuple[tuple[str, str], ...], float]]  # name -> labels -> value, all processes
    after: str  # of the worker, when its process was killed and another has taken its place
    lines: list[dict[str, Any]]
    other: list[str]  # lines of the log that are no JSON
    spans: list[Span]


def exported(collector: Receiver) -> list[Span]:
    found = []
    for _, body in collector.got:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (process,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                about = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                found.append(Span(process, span.name, *ids, about, span.status.code == 2))
    return found


def until(there: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.2)


def children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder, port, at = tmp_path_factory.mktemp("seen"), free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    urls = {name: f"http://127.0.0.1:{at + number}" for number, name in enumerate(("worker", "scheduler", "api"))}
    with receiving() as collector, receiving() as hook, (folder / "log").open("w") as log:
        environment = {
            **os.environ,
            "COUNTERPOISE_METRICS_PORT": str(at),
            "COUNTERPOISE_PRIVATE_WEBHOOKS": "true",
            "COUNTERPOISE_SWEEP_SECONDS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        }
        command = [sys.executable, "-m", "service.cli", "up", "--port", str(port), "--state-dir", str(folder)]
        up = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        try:
            until(lambda: all(answers(f"{served}/healthz") for served in (url, *urls.values())))
            hook.statuses.append(500)
            with Client(url, (folder / "admin.key").read_text().strip()) as client:
                use(client, hook)
            pages = [httpx.get(f"{served}/metrics").text for served in urls.values()]
            until(lambda: any(span.name == "report" for span in exported(collector)))  # spans are sent every few seconds
            (pool,) = (inner for outer in children(up.pid) for inner in children(outer))
            os.kill(pool, signal.SIGKILL)
            until(lambda: not answers(f"{urls['worker']}/healthz"))
            until(lambda: answers(f"{urls['worker']}/healthz"), 120)
            after = httpx.get(f"{urls['worker']}/metrics").text
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)
        metrics: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
        for sample in (s for page in pages for family in text_string_to_metric_families(page) for s in family.samples):
            metrics[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        lines = (folder / "log").read_text().splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{")]
        yield Seen(metrics, after, said, [line for line in lines if not line.startswith("{")], exported(collector))


def use(client: Client, hook: Receiver) -> None:
    """A webhook that fails at first, a request that is refused, a preview, a version that fails and one that does not."""
    client.call("POST", "/v1/webhooks", json={"url": f"http://127.0.0.1:{hook.port}/"})
    with pytest.raises(ServiceError, match="404"):
        client.call("GET", "/v1/datasets/shoes/versions/9", headers={"X-Request-ID": "refused-1"})
    few = {"spec": {**SPEC, "evaluation": None}, "count": 1}
    glance = client.call("POST", "/v1/previews", json=few, headers={"X-Request-ID": "glance-1"})
    until(lambda: client.call("GET", f"/v1/previews/{glance['id']}", params={"wait": 10})["state"] == "done")
    wrong = {**SPEC, "name": "wrong", "method": {**SPEC["method"], "superclass": "dress"}}
    for name, document in (("wrong", wrong), ("shoes", SPEC)):
        document = parse(document).model_dump(mode="json")
        client.call("POST", f"/v1/datasets/{name}/versions", json=document, headers={"X-Request-ID": f"{name}-1"})
        for _ in client.events(name, 1):
            pass
    assert client.version("wrong", 1).state == "failed"
    assert client.version("shoes", 1).state == "completed"
    until(lambda: len(hook.got) >= 3)


def value(seen: Seen, name: str, **labels: str) -> float:
    return seen.metrics[name][tuple(sorted(labels.items()))]


def test_a_worker_counts_what_it_did(seen: Seen) -> None:
    for stage in ("learn", "generate", "finalize", "evaluate", "report"):
        assert value(seen, "counterpoise_worker_units_total", stage=stage, outcome="done") == NUMBERS[stage]
    assert value(seen, "counterpoise_worker_units_total", stage="preview", outcome="done") == 1
    assert sum(v for k, v in seen.metrics["counterpoise_worker_units_total"].items() if ("outcome", "failed") in k) == 1
    assert value(seen, "counterpoise_worker_unit_seconds_count", stage="generate") == 2
    assert value(seen, "counterpoise_worker_unit_seconds_sum", stage="evaluate") > 0
    assert value(seen, "counterpoise_worker_models") >= 2
    assert {k[0][1]: v for k, v in seen.metrics["counterpoise_worker_busy"].items()} == {"cpu": 0, "gpu": 0}
    assert time.time() - value(seen, "counterpoise_worker_step_timestamp_seconds") < 120


def test_the_scheduler_counts_what_it_did(seen: Seen) -> None:
    assert value(seen, "counterpoise_scheduler_sweeps_total", outcome="done") >= 3
    assert time.time() - value(seen, "counterpoise_scheduler_swept_timestamp_seconds") < 120
    assert value(seen, "counterpoise_webhook_attempts_total", outcome="failed") == 1
    assert value(seen, "counterpoise_webhook_attempts_total", outcome="delivered") == 2


def test_the_successor_of_a_killed_process_counts_anew_at_the_same_port(seen: Seen) -> None:
    assert 'counterpoise_worker_units_total{outcome="done",stage="learn"} 0.0' in seen.after


def asked(kind: str) -> dict[str, str]:
    """Expressions by what they are for."""
    if kind == "alerts":
        rules = [
            rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
        ]
        return {rule["alert"]: rule["expr"] for rule in rules}
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return {f"{p['title']} {t['refId']}": t["expr"] for p in panels for t in p.get("targets", [])}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ("alerts", "dashboard") for name in asked(kind)])
def test_every_metric_and_label_that_is_asked_for_exists(seen: Seen, kind: str, name: str) -> None:
    selected: list[Any] = []
    spoken: set[str] = set()  # labels by which is grouped or joined

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            selected.append(node)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            spoken.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            spoken.update(node.modifier.matching.labels)

    promql_parser.walk(promql_parser.parse(asked(kind)[name]), visit)
    known: set[str] = set(ADDED)
    for selector in selected:
        assert selector.name in seen.metrics, selector.name
        labels = [dict(found) for found in seen.metrics[selector.name]]
        known |= {label for found in labels for label in found}
        for matcher in selector.matchers.matchers:
            assert any(matcher.name in found for found in labels), f"{selector.name} has no label {matcher.name}"
            if matcher.op == promql_parser.MatchOp.Equal:
                assert any(found.get(matcher.name) == matcher.value for found in labels), f"{selector.name}{{{matcher}}}"
    assert selected
    assert spoken <= known


@pytest.mark.parametrize("command", [["check", "config", "prometheus.yaml"], ["test", "rules", "alerts_test.yaml"]])
def test_the_alerts_do_what_they_say(command: list[str]) -> None:
    done = subprocess.run([str(PROMTOOL.path()), *command], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_when_it_must_speak() -> None:
    tried = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
    speaking = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert speaking == set(asked("alerts"))


def test_nothing_is_logged_but_json(seen: Seen) -> None:
    assert seen.other == []
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in seen.lines)
    assert [line for line in seen.lines if line["level"] == "warning"] == []


def test_each_request_is_one_line(seen: Seen) -> None:
    (line,) = (line for line in seen.lines if line.get("request_id") == "refused-1")
    assert (line["event"], line["method"], line["status"]) == ("request", "GET", 404)
    assert line["path"] == "/v1/datasets/shoes/versions/9"
    assert 0 < line["seconds"] < 5
    assert not any(line.get("path") in ("/healthz", "/metrics") for line in seen.lines)


def test_the_workers_lines_name_version_unit_and_request(seen: Seen) -> None:
    lines = [line for line in seen.lines if line.get("request_id") == "shoes-1" and line["logger"].startswith("workers.")]
    done = [line for line in lines if line["event"] == "done"]
    assert Counter((line["stage"], line["unit"]) for line in done) == Counter(UNITS)
    assert {(line["tenant"], line["dataset"], line["version"], line["attempt"]) for line in done} == {
        ("default", "shoes", 1, 1)
    }
    failed, killed = (line for line in seen.lines if line["level"] == "error")
    assert "signal 9" in killed["event"]
    assert (failed["event"], failed["request_id"], failed["dataset"]) == ("failed", "wrong-1", "wrong")
    assert "dress" in failed["error"]


def test_a_trace_leads_from_the_request_to_every_unit(seen: Seen) -> None:
    (post,) = (
        span
        for span in seen.spans
        if span.name == "POST /v1/datasets/{name}/versions" and span.trace in traces(seen, "shoes-1")
    )
    assert (post.process, post.parent) == ("counterpoise-api", "")
    units = [span for span in seen.spans if span.trace == post.trace and span is not post]
    assert Counter((span.name, span.about["counterpoise.unit"]) for span in units) == Counter(UNITS)
    assert {(span.process, span.parent) for span in units} == {("counterpoise-worker", post.id)}
    lines = [line for line in seen.lines if line.get("request_id") == "shoes-1"]
    assert {line["trace_id"] for line in lines} == {post.trace}


def traces(seen: Seen, request: str) -> set[str]:
    return {span.trace for span in seen.spans if span.about.get("counterpoise.request_id") == request}


def test_a_preview_and_a_failure_are_traced_too(seen: Seen) -> None:
    (trace,) = traces(seen, "glance-1")
    assert {span.name for span in seen.spans if span.trace == trace} == {"POST /v1/previews", "preview"}
    (trace,) = traces(seen, "wrong-1")
    assert [span.failed for span in seen.spans if span.trace == trace and span.process == "counterpoise-worker"][-1]


def test_probes_are_not_traced(seen: Seen) -> None:
    assert not any("healthz" in span.name or "metrics" in span.name for span in seen.spans)
