"""The commands on a database that runs, against a real instance: what they lead to, print and refuse."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reflexdb.cli.exits import Exit
from reflexdb.client import ReflexClient
from tests.cli.conftest import Cli, Plane


@pytest.fixture
def running(cli: Cli, database: str) -> str:
    outcome = cli("provision", database)
    assert outcome.code == 0, outcome.err
    return database


def status(cli: Cli, database: str) -> Any:
    return cli("status", database, "--json").json()


@pytest.mark.both_records
def test_a_database_is_paused_and_resumed_and_every_wait_ends_where_it_should(cli: Cli, running: str) -> None:
    before = status(cli, running)["instance"]["endpointUrl"]

    paused = cli("pause", running)
    assert (paused.code, paused.out) == (0, f"{running}: paused\n")
    assert "pause: pausing" in paused.err or paused.err == ""
    resumed = cli("resume", running, "--json")

    assert resumed.code == 0, resumed.err
    assert resumed.err == ""
    document: Any = resumed.json()
    assert (document["database"]["status"], document["instance"]["endpointUrl"]) == ("running", before)
    assert cli("terminate", running, "--yes").code == 0


def test_a_resize_waits_for_the_new_instance_and_a_paused_database_keeps_the_size(cli: Cli, running: str) -> None:
    resized = cli("resize", running, "small")

    assert resized.code == 0, resized.err
    assert status(cli, running)["deployedInstanceConfig"]["instanceSize"] == "small"
    assert cli("pause", running).code == 0
    waiting = cli("resize", running, "nano")
    assert (waiting.code, waiting.out) == (0, f"{running}: paused\n")
    assert status(cli, running)["database"]["instanceSize"] == "nano"
    assert cli("resume", running).code == 0
    assert status(cli, running)["deployedInstanceConfig"]["instanceSize"] == "nano"
    assert cli("terminate", running, "--yes").code == 0


def test_a_reload_ends_when_the_snapshot_was_swapped_and_a_frozen_one_is_reloaded_too(
    cli: Cli, running: str, source: Path
) -> None:
    frozen = cli("pause-replication", running)
    assert (frozen.code, frozen.out) == (0, f"{running}: replication paused\n")
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("INSERT INTO users VALUES (2, 'Zoë')")

    reloaded = cli("reload", running, "--json")

    assert reloaded.code == 0, reloaded.err
    document: Any = reloaded.json()
    assert document["instance"]["rowCounts"] == {"users": 2}
    assert cli("resume-replication", running, "--json").json() == {"replication_paused": False}
    assert cli("terminate", running, "--yes").code == 0


def test_a_reconfigure_takes_pending_settings_in(cli: Cli, running: str, plane: Plane) -> None:
    with ReflexClient(plane.url, plane.key) as client:
        client.update_database(status(cli, running)["database"]["id"], logLevel="debug")
    assert status(cli, running)["hasPendingChanges"] is True

    outcome = cli("reconfigure", running)

    assert outcome.code == 0, outcome.err
    assert status(cli, running)["deployedInstanceConfig"]["logLevel"] == "debug"
    assert status(cli, running)["hasPendingChanges"] is False
    assert cli("terminate", running, "--yes").code == 0


def test_without_waiting_the_acceptance_is_printed(cli: Cli, running: str) -> None:
    reloading = cli("reload", running, "--no-wait", "--json")
    paused = cli("pause", running, "--no-wait")

    assert reloading.json() == {"status": "running"}
    assert (paused.code, paused.out) == (0, f"{running}: pausing\n")
    assert cli("pause", running).code in (0, Exit.CONFLICT)  # whichever was quicker
    assert cli("terminate", running, "--yes").code == 0


@pytest.mark.parametrize(
    "arguments",
    [("pause",), ("resume",), ("reload",), ("reconfigure",), ("pause-replication",), ("resume-replication",)],
)
def test_what_is_not_possible_yet_ends_with_the_reason(cli: Cli, database: str, arguments: tuple[str, ...]) -> None:
    outcome = cli(*arguments, database)

    assert outcome.code == Exit.CONFLICT
    assert outcome.out == ""
    assert "never been provisioned" in outcome.err


def test_a_size_that_there_is_not_is_a_usage_error(cli: Cli, database: str) -> None:
    assert cli("resize", database, "gigantic").code == Exit.USAGE
    assert cli("resize", database, "small").out == f"{database}: registered\n"


@pytest.mark.both_records
def test_what_went_on_is_told(cli: Cli, running: str) -> None:
    shown = cli("build", "show", running)
    numbered: Any = cli("build", "show", running, "#1", "--json").json()
    listed = cli("deployments", running)
    records: Any = cli("deployments", running, "--limit", "1", "--json").json()

    assert shown.code == 0, shown.err
    for words in ("#1 ", "first key", "reuse ", "users (1 rows, ", "sha256:"):
        assert words in shown.out
    assert (numbered["number"], numbered["status"]) == (1, "succeeded")
    for command, pinned in (("pin", True), ("unpin", False)):
        told = cli("build", command, running, "#1", "--json")
        assert told.json() == {"buildId": numbered["id"], "pinned": pinned}, told.err
    assert "provision" in listed.out
    assert [each["toBuildId"] for each in records["deployments"]] == [numbered["id"]]
    assert cli("builds", running, "--status", "succeeded", "--deployable").out.count("succeeded") == 1
    assert cli("builds", running, "--status", "failed", "--json").json() == {
        "builds": [], "activeBuildId": numbered["id"],
    }  # fmt: skip
    assert cli("builds", running, "--since", "yesterday").code == Exit.USAGE
    assert cli("build", "cancel", running).code == Exit.CONFLICT
    assert cli("terminate", running, "--yes").code == 0


def test_a_build_is_tried_out_verified_and_weighed(cli: Cli, database: str, source: Path, name: str) -> None:
    # A schema, and so an image, that no test had before.
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute(f'CREATE TABLE "{name}" (id INTEGER PRIMARY KEY)')
    assert cli("provision", database).code == 0
    tried: Any = cli("build", "smoke", database, "--json").json()
    verified = cli("build", "verify", database)
    disk: Any = cli("disk", database, "--json").json()
    build: Any = cli("build", "show", database, "#1", "--json").json()

    assert all(each["passed"] for each in tried)
    assert "users count" in cli("build", "smoke", database, "#1").out
    assert verified.code == 0, verified.err
    assert "the same, byte for byte" in verified.out
    assert [(each["digest"], each["builds"]) for each in disk["images"]] == [(build["image"]["digest"], [1])]
    assert disk["bytes"] == disk["images"][0]["bytes"] > 100_000
    shown = cli("disk", database)
    assert build["image"]["digest"] in shown.out
    assert f"{disk['bytes']:,} bytes in 1 images" in shown.err
    assert "no earlier build" in cli("build", "diff", database).err
    assert cli("terminate", database, "--yes").code == 0


def test_a_database_without_builds_has_none_to_show(cli: Cli, database: str) -> None:
    assert cli("build", "show", database).code == Exit.NOT_FOUND
    assert cli("build", "show", database, "#1").code == Exit.NOT_FOUND
    assert cli("build", "cancel", database).code == Exit.NOT_FOUND
    assert cli("deployments", database, "--json").json() == {"deployments": [], "nextCursor": None}


def test_the_audit_tells_who_changed_what(cli: Cli, database: str) -> None:
    assert cli("resize", database, "small").code == 0
    target: Any = cli("database", "show", database, "--json").json()

    told = cli("audit", "--target", target["id"], "--action", "database.resize")
    document: Any = cli("audit", "--target", target["id"], "--limit", "1", "--json").json()

    assert told.code == 0, told.err
    assert "first key" in told.out
    assert "instance_size: nano -> small" in told.out
    assert [entry["action"] for entry in document["entries"]] == ["database.resize"]
    assert cli("audit", "--since", "yesterday").code == Exit.USAGE


def test_a_database_that_is_told_to_rebuilds_by_itself_and_says_how_fresh_it_is(cli: Cli, database: str) -> None:
    before: Any = cli("freshness", database, "--json").json()
    turned_on = cli("auto-rebuild", database, "on")
    shown = cli("freshness", database)
    turned_off: Any = cli("auto-rebuild", database, "off", "--json").json()

    assert (before["autoRebuild"], before["mode"], before["lagMs"]) == (False, None, None)
    assert (turned_on.code, turned_on.out) == (0, f"{database}: auto-rebuild on\n")
    assert "auto-rebuild" in shown.out
    assert turned_off == before
    assert cli("auto-rebuild", database, "perhaps").code == Exit.USAGE
