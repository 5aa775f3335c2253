"""Commands against a real control plane: what they do, and what they refuse."""

from __future__ import annotations

import io
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.key import expiry
from tests.cli.conftest import Cli

NOON = datetime(2026, 4, 15, 12, tzinfo=UTC)
REFUSED_PORT = "1"


def test_a_connection_is_added_with_every_schema_it_has(cli: Cli, source: Path, name: str) -> None:
    outcome = cli("connection", "add", name, "--backend", "sqlite", "--file", str(source))

    assert outcome.code == 0
    shown = cli("connection", "show", name, "--json").json()
    assert isinstance(shown, dict)
    assert shown["availableSchemas"] == ["main"]
    assert shown["mysqlHost"] == str(source)


def test_a_connection_chooses_its_mode_unless_told(cli: Cli, source: Path, name: str) -> None:
    outcome = cli("connection", "add", name, "--backend", "sqlite", "--file", str(source))
    told = cli("connection", "add", f"{name}-told", "--backend", "sqlite", "--file", str(source), "--mode", "poll")
    refused = cli("connection", "add", f"{name}-no", "--backend", "sqlite", "--file", str(source), "--mode", "binlog")

    assert "changes: by polling" in outcome.err
    assert (told.code, "changes:" in told.err) == (0, False)
    assert refused.code != 0
    assert "binlog is not offered for sqlite" in refused.err


def test_a_source_that_cannot_be_used_is_not_added(cli: Cli, tmp_path: Path, name: str) -> None:
    outcome = cli("connection", "add", name, "--backend", "sqlite", "--file", str(tmp_path / "absent.sqlite"))

    assert outcome.code == Exit.FAILED
    assert "absent.sqlite" in outcome.err
    assert cli("connection", "show", name).code == Exit.NOT_FOUND


def test_a_connection_is_found_by_name_and_by_id(cli: Cli, connection: str) -> None:
    shown = cli("connection", "show", connection, "--json").json()
    assert isinstance(shown, dict)

    assert cli("connection", "show", shown["id"], "--json").json() == shown


def test_a_connection_in_use_is_not_removed(cli: Cli, database: str) -> None:
    outcome = cli("connection", "rm", database, "--yes")

    assert outcome.code == Exit.CONFLICT
    assert cli("connection", "show", database).code == 0


def test_nothing_is_destroyed_without_yes_where_nobody_can_be_asked(cli: Cli, database: str) -> None:
    for arguments in (("database", "rm"), ("connection", "rm"), ("terminate",)):
        assert cli(*arguments, database).code == Exit.USAGE

    assert cli("database", "show", database).code == 0


def test_a_password_is_never_an_argument_and_never_shown(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXDB_SOURCE_PASSWORD", "hunter2-hunter2")

    outcome = cli("--debug", "connection", "add", name, "--host", "127.0.0.1", "--port", REFUSED_PORT, "--user", "u")

    assert outcome.code == Exit.FAILED
    assert "hunter2" not in outcome.out + outcome.err
    assert cli("connection", "add", name, "--password", "hunter2").code == Exit.USAGE


def test_a_password_can_come_from_standard_input(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2\n"))

    outcome = cli(
        "connection", "add", name, "--backend", "postgres", "--host", "127.0.0.1", "--port", REFUSED_PORT,
        "--user", "u", "--password-stdin",
    )  # fmt: skip

    assert outcome.code == Exit.FAILED
    assert "hunter2" not in outcome.err
    assert "127.0.0.1" in outcome.err


@pytest.mark.parametrize("given", ["", "\n"])
def test_an_empty_standard_input_is_no_password(
    cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))

    outcome = cli("connection", "add", name, "--host", "h", "--user", "u", "--password-stdin")

    assert outcome.code == Exit.USAGE


def test_without_any_way_to_get_a_password_the_ways_are_named(
    cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    outcome = cli("connection", "add", name, "--host", "h", "--user", "u")

    assert outcome.code == Exit.USAGE
    assert "REFLEXDB_SOURCE_PASSWORD" in outcome.err
    assert "--password-stdin" in outcome.err


def test_a_configuration_is_stored_read_and_removed(cli: Cli, database: str, tmp_path: Path) -> None:
    text = "version: 1\ntables:\n  - name: users  # only these\n"
    file = tmp_path / "reflexdb.yaml"
    file.write_text(text)

    assert cli("database", "config", "set", database, str(file)).code == 0
    assert cli("database", "config", "get", database).out == text
    assert cli("database", "config", "rm", database).code == 0
    assert cli("database", "config", "get", database).code == Exit.NOT_FOUND


def test_a_wrong_configuration_is_refused_with_its_position(cli: Cli, database: str, tmp_path: Path) -> None:
    file = tmp_path / "reflexdb.yaml"
    file.write_text("version: 1\ntabels: []\n")

    outcome = cli("database", "config", "set", database, str(file))

    assert outcome.code == Exit.USAGE
    assert "line 2" in outcome.err
    assert "tables" in outcome.err


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"#" * ((1 << 20) + 1)])
def test_a_file_that_is_no_configuration_is_a_usage_error(
    cli: Cli, database: str, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "reflexdb.yaml"
    if content is not None:
        file.write_bytes(content)

    outcome = cli("database", "config", "set", database, str(file))

    assert outcome.code == Exit.USAGE
    assert str(file) in outcome.err


def test_a_key_is_shown_once_alone_on_standard_output(cli: Cli, database: str) -> None:
    created = cli("key", "create", database, "--name", "site", "--expires", "30d")

    key = created.out.strip()
    assert re.fullmatch(r"rxk_[0-9A-Za-z]+\.[0-9a-f]{64}", key)
    listed = cli("key", "list", database)
    assert "site" in listed.out
    assert key not in listed.out
    assert key.partition(".")[2] not in listed.out + listed.err


def test_a_key_is_revoked_by_its_name_and_then_no_more(cli: Cli, database: str) -> None:
    cli("key", "create", database, "--name", "old")

    assert cli("key", "revoke", database, "old").code == 0
    assert cli("key", "revoke", database, "old").code == Exit.NOT_FOUND


def test_a_key_name_that_fits_several_is_not_guessed(cli: Cli, database: str) -> None:
    cli("key", "create", database, "--name", "twin")
    cli("key", "create", database, "--name", "twin")

    assert cli("key", "revoke", database, "twin").code == Exit.CONFLICT


def test_a_management_key_opens_the_control_plane_until_it_is_revoked(
    cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = cli("management-key", "create", "--name", name).out.strip()

    monkeypatch.setenv("REFLEXDB_KEY", key)
    assert cli("database", "list").code == 0
    monkeypatch.delenv("REFLEXDB_KEY")
    assert cli("management-key", "revoke", name).code == 0
    monkeypatch.setenv("REFLEXDB_KEY", key)
    assert cli("database", "list").code == Exit.UNAUTHORIZED


@pytest.mark.parametrize(
    ("text", "until"),
    [
        (None, None),
        ("30d", "2026-05-15T12:00:00Z"),
        ("90m", "2026-04-15T13:30:00Z"),
        ("2027-01-31T00:00Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31T00:00+02:00", "2027-01-30T22:00:00Z"),
        ("2027-01-31", "2027-01-31T00:00:00Z"),
    ],
)
def test_an_expiry_is_a_span_or_a_time(text: str | None, until: str | None) -> None:
    assert expiry(text, NOON) == until


@pytest.mark.parametrize("text", ["", "soon", "30", "d", "-3d", "30y", "9999999w", "999999w", "2027-13-01"])
def test_an_expiry_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        expiry(text, NOON)

    assert caught.value.code is Exit.USAGE


def test_a_name_that_two_databases_have_needs_the_connections_name(cli: Cli, source: Path, name: str) -> None:
    for parent in (f"{name}-a", f"{name}-b"):
        cli("connection", "add", parent, "--backend", "sqlite", "--file", str(source))
        assert cli("database", "add", name, "--connection", parent).code == 0

    refused = cli("status", name)
    chosen = cli("status", f"{name}-b/{name}")

    assert refused.code == Exit.CONFLICT
    assert f"{name}-a/{name}" in refused.err
    assert chosen.code == 0


def test_a_query_without_a_key_says_how_to_get_one(cli: Cli, database: str) -> None:
    outcome = cli("query", database, "users { id }")

    assert outcome.code == Exit.UNAUTHORIZED
    assert f"reflexdb key create {database}" in outcome.err


def test_a_query_of_a_database_that_does_not_run_says_so(cli: Cli, database: str) -> None:
    outcome = cli("query", database, "users { id }", "--key", "rxk_a." + "0" * 64)

    assert outcome.code == Exit.CONFLICT
    assert "registered" in outcome.err


def test_builds_and_logs_of_a_new_database_are_empty(cli: Cli, database: str) -> None:
    assert cli("builds", database, "--json").json() == {"builds": [], "activeBuildId": None}
    assert cli("logs", database).code == Exit.NOT_FOUND


def test_serve_refuses_a_directory_that_another_control_plane_has(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = cli("serve", "--port", "0")

    assert outcome.code == Exit.USAGE
    assert "another control plane" in outcome.err


def test_evidence_of_a_database_without_builds_says_how_to_make_one(cli: Cli, database: str) -> None:
    for command in ("provenance", "sbom", "diff", "verify", "smoke"):
        outcome = cli("build", command, database)
        assert (outcome.code, "`reflexdb provision` makes the first" in outcome.err) == (Exit.NOT_FOUND, True)


def test_a_database_without_images_takes_nothing_of_the_disk(cli: Cli, database: str) -> None:
    assert cli("disk", database, "--json").json()["bytes"] == 0
    assert "no image of this database is stored" in cli("disk", database).err + cli("disk", database).out
    assert cli("builds", database, "--trigger", "schedule", "--json").json()["builds"] == []


def test_the_log_of_a_database_without_builds_says_how_to_make_one(cli: Cli, database: str) -> None:
    outcome = cli("build", "log", database, "--follow")

    assert (outcome.code, "`reflexdb provision` makes the first" in outcome.err) == (Exit.NOT_FOUND, True)
