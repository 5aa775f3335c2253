"""What an operator sees of the control plane: lines that can't be forged, numbers with few labels, spans that join."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from reflexdb.api import logs
from reflexdb.api.app import create_app
from reflexdb.api.logs import logging_to
from reflexdb.api.metrics import MetricsAccess
from reflexdb.api.telemetry import Telemetry
from reflexdb.control.control import Control
from reflexdb.model.observing import LogForm, LogLevel
from tests.api.api import Api, sqlite_connection, until
from tests.api.operator import let_operate
from tests.api.plane import Plane
from tests.servers.collector import Collector

METRICS_TOKEN = "a-long-enough-token-of-metrics"
FORGED = 'x\n{"action":"forged"}\r\x1b[2K\x00\u2028\x9b'


@pytest.mark.parametrize("form", list(LogForm))
def test_no_value_can_begin_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: LogForm
) -> None:
    with logging_to(tmp_path / "log", LogLevel.INFO, form):
        structlog.get_logger().info(FORGED, database=FORGED, listed=[FORGED])
        logging.getLogger("uvicorn.error").warning(FORGED)
        try:
            raise ValueError(FORGED)
        except ValueError:
            structlog.get_logger().exception("failed")

    for text in ((tmp_path / "log").read_text("utf-8"), capsys.readouterr().err):
        assert len(text.splitlines()) == text.count("\n") == 3
        assert all(character.isprintable() for character in text.replace("\n", ""))


def test_what_looks_like_a_credential_is_not_written(tmp_path: Path) -> None:
    secrets = ["rmk_0123.S3CRETS3CRET", "sk_live_S3CRETS3CRET", "Bearer S3CRETS3CRET", "mysql://u:S3CRETS3CRET@host/db"]
    with logging_to(tmp_path / "log"):
        for secret in secrets:
            structlog.get_logger().info("said", words=f"it was {secret}, or so", inside={"a": [secret]})

    text = (tmp_path / "log").read_text()
    assert "S3CRETS3CRET" not in text
    assert text.count("[hidden]") == 2 * len(secrets)


def test_the_level_is_the_least_that_is_told(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log", LogLevel.WARNING):
        structlog.get_logger().info("quiet")
        structlog.get_logger().warning("loud")
        logging.getLogger("some.library").info("quiet")

    assert [json.loads(line)["action"] for line in (tmp_path / "log").read_text().splitlines()] == ["loud"]


def test_a_full_log_makes_room_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 1000)
    with logging_to(tmp_path / "log"):
        for number in range(100):
            structlog.get_logger().info("said", number=number)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", *(f"log.{each + 1}" for each in range(logs.KEPT_FILES))]
    kept = [json.loads(line)["number"] for file in reversed(files[1:]) for line in file.read_text().splitlines()]
    last = [json.loads(line)["number"] for line in files[0].read_text().splitlines()]
    assert kept + last == list(range(100 - len(kept + last), 100))
    assert all(file.stat().st_size < 1200 for file in files)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    with logging_to(tmp_path / "log"):
        yield tmp_path / "log"


def requests_in(log: Path) -> list[dict[str, object]]:
    return [line for line in map(json.loads, log.read_text().splitlines()) if line["action"] == "request"]


def test_every_request_is_one_line_by_its_route_and_never_by_what_was_sent(log: Path, api: Api, database: str) -> None:
    before = len(requests_in(log))
    api("GET", f"/databases/{database}", headers={"X-Request-Id": "mine", "X-Token": "S3CRET"})
    api("GET", f"/databases/{database}?token=S3CRET")
    api("GET", "/databases/S3CRET")
    api("POST", "/connections/test-connection", {"backend": "sqlite", "password": "S3CRET"})
    api.client.get("/S3CRET")
    api.client.request("S3CRET", "/v1/databases")

    known, unknown, foreign, tested, nowhere, odd = requests_in(log)[before:]
    assert (known["method"], known["route"], known["status"]) == ("GET", "/v1/databases/{id}", 200)
    assert (known["request_id"], known["database"]) == ("mine", database)
    assert (known["key_id"], len(str(known["account"]))) == (api.key[4:].partition(".")[0], 36)
    assert (unknown["status"], "database" in unknown) == (400, False)
    assert "database" not in foreign
    assert (tested["route"], tested["status"]) == ("/v1/connections/test-connection", 400)
    assert (nowhere["route"], nowhere["status"], "account" in nowhere) == ("(none)", 404, False)
    assert odd["method"] == "OTHER"
    assert "S3CRET" not in log.read_text()


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


@pytest.fixture
def near(control: Control) -> Iterator[TestClient]:
    """Asks from this machine, with the token for metrics."""
    telemetry = Telemetry(MetricsAccess(token=METRICS_TOKEN))
    app = create_app(control, telemetry=telemetry)
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    with TestClient(app, client=("127.0.0.1", 50000), raise_server_exceptions=False, headers=headers) as client:
        yield client


def test_metrics_count_by_route_and_say_what_there_is(near: TestClient, control: Control, source: Path) -> None:
    first = control.accounts.ensure_first()
    assert first is not None
    api = Api(near, first.key)
    database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    for path in (f"/databases/{database}", "/databases/S3CRET", f"/databases/{'0' * 36}"):
        api("GET", path)
    near.get("/v1/S3CRET")
    api.post(f"/databases/{database}/provision")

    text = near.get("/metrics").text
    found = samples(text)
    counted = {tuple(labels.values()): value for labels, value in found["reflexdb_http_requests_total"]}
    assert counted[("GET", "/v1/databases/{id}", "200")] == 1
    assert counted[("GET", "/v1/databases/{id}", "404")] == 2
    assert {labels["status"]: value for labels, value in found["reflexdb_databases"]}["testing_connection"] == 1
    assert {labels["state"]: value for labels, value in found["reflexdb_jobs"]} == {"running": 0, "queued": 1}
    assert found["reflexdb_reconcile_lag_seconds"][0][1] > 0
    assert found["reflexdb_records_transaction_seconds_count"]
    assert found["process_resident_memory_bytes"][0][1] > 1 << 20
    assert database not in text
    assert "S3CRET" not in text


def test_metrics_are_for_operators_wherever_they_are(
    control: Control, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Authorization": f"Bearer {api.key}"}
    with TestClient(create_app(control), client=("127.0.0.1", 50000)) as here:  # as through a plain proxy
        assert here.get("/metrics").status_code == 401
        assert here.get("/metrics", headers=key).status_code == 403
        let_operate(control, api.key, monkeypatch)
        assert here.get("/metrics", headers=key).status_code == 200
        assert here.get("/metrics", headers=key | {"X-Forwarded-For": "203.0.113.7"}).status_code == 200


def test_a_metrics_token_is_asked_of_everyone(control: Control) -> None:
    telemetry = Telemetry(MetricsAccess(token="a-long-enough-token"))
    with TestClient(create_app(control, telemetry=telemetry), client=("127.0.0.1", 50000)) as client:
        statuses = [
            client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code
            for token in ("a-long-enough-tokem", "", "a-long-enough-token")
        ]

    assert statuses == [401, 401, 200]


def test_nothing_of_opentelemetry_is_loaded_where_no_collector_is_named() -> None:
    code = (
        "import sys, reflexdb.api.serve\n"
        "from reflexdb.api.telemetry import Telemetry\n"
        "Telemetry(environ={'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://x', 'OTEL_SDK_DISABLED': 'true'}).close()\n"
        "sys.exit(any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_trace_leads_from_a_request_to_its_job_and_its_phases(
    plane: Plane, source: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    api = plane.start(ephemeral=True)
    database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    api("POST", f"/databases/{database}/provision", headers={"traceparent": theirs}, expect=202)
    assert api.settled(database)["status"] == "running"
    operator = {"Authorization": f"Bearer {(plane.data / 'operator.key').read_text().strip()}"}
    found = samples(httpx.get(f"{api.client.base_url}/metrics", headers=operator, trust_env=False).text)
    plane.end()

    spans = {span.name: span for span in collector.spans}
    asked = spans["POST /v1/databases/{id}/provision"]
    assert (asked.trace_id.hex(), asked.parent_span_id.hex()) == (theirs[3:35], theirs[36:52])
    job, step = spans["job provision"], spans["step deploy"]
    assert [(link.trace_id, link.span_id) for link in job.links] == [(asked.trace_id, asked.span_id)]
    assert {each.key: each.value.string_value for each in job.attributes}["reflexdb.database"] == database
    for name in ("phase introspect", "phase compile", "deployment handover"):
        assert spans[name].trace_id in {span.trace_id for span in collector.spans if span.name == "job provision"}
    assert spans["deployment handover"].parent_span_id in {step.span_id, spans["phase deploy"].span_id}
    ended = {(labels["action"], labels["outcome"]) for labels, _ in found["reflexdb_action_seconds_count"]}
    assert ended == {("provision", "succeeded")}
    assert {"introspect", "compile", "deploy"} <= {
        labels["phase"] for labels, _ in found["reflexdb_build_phase_seconds_count"]
    }
    assert {labels["health"]: value for labels, value in found["reflexdb_instances"]}["ok"] == 1
    lines = [json.loads(line) for line in (plane.data / "logs" / "control.log").read_text().splitlines()]
    request = next(line for line in lines if line.get("route", "").endswith("/provision"))
    told = [line for line in lines if line["action"] in ("step", "deployment") and line.get("database") == database]
    assert {line["request_id"] for line in told} == {request["request_id"]}
    assert all(re.fullmatch(r"[0-9a-f-]{36}", line["job"]) for line in told)


def test_metrics_may_have_an_address_of_their_own(tmp_path: Path) -> None:
    from reflexdb.api.telemetry import opened
    from reflexdb.model.errors import InvalidRequest
    from reflexdb.model.observing import Observing

    with opened(Observing(metrics_listen="127.0.0.1:0"), {}) as telemetry:
        assert telemetry.access.elsewhere
    for wrong in ("9100", "127.0.0.1:x", "127.0.0.1:70000", "203.0.113.1:80"):
        with pytest.raises(InvalidRequest), opened(Observing(metrics_listen=wrong), {}):
            pass
    (tmp_path / "token").write_text("short")
    with pytest.raises(InvalidRequest, match="shorter"), opened(Observing(metrics_token_file=tmp_path / "token"), {}):
        pass


def test_the_log_follows_the_control_plane_from_start_to_end(plane: Plane) -> None:
    api = plane.start()
    until(lambda: api.get("/databases") == [], "an answer")
    plane.end()
    text = (plane.data / "logs" / "control.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]

    assert any(line["action"] == "library" and line["logger"] == "uvicorn.error" for line in lines)
    assert all({"ts", "level", "action"} <= line.keys() for line in lines)


def test_every_metric_is_in_the_reference(near: TestClient) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "observing.md").read_text()
    told = {line.split()[2] for line in near.get("/metrics").text.splitlines() if line.startswith("# HELP reflexdb_")}

    assert told == set(re.findall(r"^\| `(reflexdb_\w+)`", page, re.MULTILINE))
