"""A control plane whose builds are made at CodeBuild: what its API says of them, and what a death leaves there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import URL

from reflexdb.api.app import create_app
from reflexdb.build.codebuild import Pace, Project
from reflexdb.control.control import Control
from reflexdb.control.image_places import ImagePlaces, read_image_places
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from reflexdb.model.errors import InvalidRequest
from reflexdb.records import builds, databases, jobs
from tests.api.api import UNHURRIED, Api, sqlite_connection, until
from tests.servers.aws import BUCKET, Machines, machines, needs_moto, service

__all__ = ["machines", "service"]

pytestmark = needs_moto


def opened(data: Path, records: URL | None, machines: Machines) -> Control:
    project = Project("reflexdb-builds", f"s3://{BUCKET}/plane", machines, Pace(ask_s=0.1))
    settings = Settings(base_url="http://127.0.0.1:8400", min_sync_interval_s=1)
    return open_control(data, settings, "127.0.0.1", records, images=ImagePlaces(project=project))


def test_builds_are_shown_with_the_services_id_and_log_and_end_there_when_nobody_waits(
    data: Path, records: URL | None, source: Path, machines: Machines
) -> None:
    control = opened(data, records, machines)
    first = control.accounts.ensure_first()
    assert first is not None
    with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
        api = Api(client, first.key)
        control.start()
        try:
            database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
            api.post(f"/databases/{database}/provision")
            settled = api.settled(database)
            assert settled["status"] == "running", settled["lastError"]
            history = api.get(f"/databases/{database}/builds")
            [listed] = history["builds"]
            [service_id] = machines.known
            assert history["activeBuildId"] == listed["id"]
            assert listed["codebuildId"] == service_id
            assert listed["logsUrl"].startswith("https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#")
            detail = api.get(f"/databases/{database}/builds/{listed['id']}")
            assert (detail["codebuildId"], detail["logsUrl"]) == (service_id, listed["logsUrl"])
            assert detail["smokeTests"]
            assert all(each["passed"] for each in detail["smokeTests"])
            names = [each["name"] for each in detail["phases"]]
            assert {"codebuild", "codebuild provisioning", "codebuild build", "smoke", "deploy"} <= set(names)
            log = api("GET", f"/databases/{database}/builds/{listed['id']}/log", expect=200).text
            assert "codebuild: compile: " in log
            refused = api("POST", f"/databases/{database}/builds/{listed['id']}/verify", expect=409).json()
            assert "makes images elsewhere" in refused["message"]

            machines.program = ["sh", "-c", "exec sleep 600"]
            api("PATCH", f"/databases/{database}", {"buildComputeOverride": "BUILD_GENERAL1_XLARGE"}, expect=200)
            with_change(source)
            build = api.post(f"/databases/{database}/rebuild")["buildId"]
            until(lambda: len(machines.known) == 2, "a second build at the service")
            path = f"/databases/{database}/builds/{build}"
            until(lambda: api.get(path)["codebuildId"], "its id")
            running = machines.known[api.get(path)["codebuildId"]]
            assert running.asked["computeTypeOverride"] == "BUILD_GENERAL1_XLARGE"
            api.post(f"{path}/cancel")
            until(lambda: running.stopped, "the build at the service to be stopped")
            assert api.settled(database)["status"] == "running"
            assert api.get(path)["error"]["code"] == "cancelled"

            api.post(f"/databases/{database}/terminate")
            assert api.settled(database)["status"] == "terminated"
        finally:
            control.stop()
            control.rooms.deployer.stop_all()
    control.rooms.store.close()


def test_what_a_dead_control_plane_began_there_is_stopped_by_the_next(
    data: Path, records: URL | None, source: Path, machines: Machines
) -> None:
    machines.program = ["sh", "-c", "exec sleep 600"]
    control = opened(data, records, machines)
    first = control.accounts.ensure_first()
    assert first is not None
    with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
        api = Api(client, first.key)
        database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
        build = api.post(f"/databases/{database}/provision")["buildId"]
        started = machines.client("codebuild").start_build(
            projectName="reflexdb-builds",
            environmentVariablesOverride=[{"name": "REFLEXDB_TASK", "value": "s3://x/y", "type": "PLAINTEXT"}],
        )["build"]["id"]
        with control.rooms.store.write() as tx:
            now = control.rooms.now() - timedelta(hours=1)
            job = jobs.of_build(tx, build)
            assert job is not None
            databases.change(tx, database, now, status="building")
            builds.change(tx, build, status="in_progress", started_at=now, service_id=started)
            jobs.change(tx, job.id, owner="somebody who is dead", started_at=now)
        control.start()
        try:
            until(lambda: machines.known[started].stopped, "the build that nobody waits for to be stopped")
            second = until(
                lambda: next(
                    (each["id"] for each in api.get(f"/databases/{database}/builds")["builds"] if each["id"] != build),
                    None,
                ),
                "another build in its place",
            )
            until(lambda: len(machines.known) == 2, "the other build at the service")
            api.post(f"/databases/{database}/builds/{second}/cancel")
            api.settled(database)
        finally:
            control.stop()
            control.rooms.deployer.stop_all()
    control.rooms.store.close()


def with_change(source: Path) -> None:
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN email TEXT")
        connection.commit()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"REFLEXDB_CODEBUILD_PROJECT": "x1"}, "REFLEXDB_CODEBUILD_PROJECT and REFLEXDB_CODEBUILD_TASKS go together"),
        (
            {"REFLEXDB_CODEBUILD_PROJECT": "a/b", "REFLEXDB_CODEBUILD_TASKS": "s3://bucket/x"},
            "REFLEXDB_CODEBUILD_TASKS: 'a/b' is no name of a CodeBuild project",
        ),
        (
            {"REFLEXDB_CODEBUILD_PROJECT": "ab", "REFLEXDB_CODEBUILD_TASKS": "https://bucket"},
            "REFLEXDB_CODEBUILD_TASKS: 'https://bucket' is no place in S3",
        ),
        (
            {
                "REFLEXDB_CODEBUILD_PROJECT": "ab",
                "REFLEXDB_CODEBUILD_TASKS": "s3://bucket/x",
                "REFLEXDB_PLATFORMS": "linux/arm64",
            },
            "REFLEXDB_PLATFORMS is for images that are made here",
        ),
    ],
)
def test_a_project_that_can_not_be_meant_is_refused_at_the_start(
    given: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(InvalidRequest, match=told):
        read_image_places(given)


def test_a_region_that_nobody_named_is_missed_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    given = {"REFLEXDB_CODEBUILD_PROJECT": "builds", "REFLEXDB_CODEBUILD_TASKS": "s3://bucket/x"}
    with pytest.raises(InvalidRequest, match="NoRegionError; set AWS_DEFAULT_REGION"):
        read_image_places(given)
