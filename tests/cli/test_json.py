"""--json: one JSON document on standard output and nothing else, for every command there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from reflexdb.cli.main import app
from tests.cli.conftest import Cli

WITHOUT_JSON = {("serve",), ("backup",), ("restore",), ("admin", "reset-key"), ("build", "export")}
"""`serve` is the control plane itself and has no result; that of `build export` is the file."""


def leaves(group: TyperGroup, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], TyperCommand]:
    found: dict[tuple[str, ...], TyperCommand] = {}
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            found |= leaves(command, (*path, name))
        else:
            assert isinstance(command, TyperCommand)
            found[(*path, name)] = command
    return found


def all_commands() -> dict[tuple[str, ...], TyperCommand]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return leaves(root)


@pytest.mark.parametrize("path", sorted(set(all_commands()) - WITHOUT_JSON))
def test_every_command_has_a_json_option(path: tuple[str, ...]) -> None:
    options = [option for parameter in all_commands()[path].params for option in parameter.opts]

    assert "--json" in options


@pytest.mark.parametrize("path", sorted(all_commands()))
def test_every_command_and_every_argument_is_explained(path: tuple[str, ...]) -> None:
    command = all_commands()[path]

    assert (command.help or "").strip()
    assert all(getattr(parameter, "help", "").strip() for parameter in command.params)


def test_reading_commands_print_json_and_nothing_else(cli: Cli, database: str) -> None:
    for arguments in (
        ("connection", "list"),
        ("connection", "show", database),
        ("connection", "test", database),
        ("database", "list"),
        ("database", "show", database),
        ("status",),
        ("status", database),
        ("builds", database),
        ("key", "list", database),
        ("management-key", "list"),
    ):
        outcome = cli(*arguments, "--json")

        assert outcome.code == 0, arguments
        assert outcome.err == "", arguments
        assert json.loads(outcome.out) is not None, arguments


def test_writing_commands_print_json_and_nothing_else(cli: Cli, source: Path, name: str, tmp_path: Path) -> None:
    config = tmp_path / "reflexdb.yaml"
    config.write_text("version: 1\ntables: [{name: users}]\n")
    added = cli("connection", "add", name, "--backend", "sqlite", "--file", str(source), "--json").json()
    registered = cli("database", "add", name, "--connection", name, "--json").json()
    key = cli("key", "create", name, "--json").json()
    assert isinstance(added, dict)
    assert isinstance(registered, dict)
    assert isinstance(key, dict)

    for arguments in (
        ("database", "config", "set", name, str(config)),
        ("database", "config", "get", name),
        ("database", "config", "rm", name),
        ("key", "revoke", name, key["keyId"]),
        ("database", "rm", name, "--yes"),
        ("connection", "rm", name, "--yes"),
    ):
        outcome = cli(*arguments, "--json")

        assert outcome.code == 0, (arguments, outcome.err)
        assert outcome.err == "", arguments
        assert isinstance(json.loads(outcome.out), dict), arguments

    assert added["name"] == name
    assert registered["connectionId"] == added["id"]


def test_json_is_ascii_whatever_the_names_are(cli: Cli, connection: str) -> None:
    name = f"caf\u00e9 \U0001f600 \x9b31m {connection}"
    assert cli("database", "add", name, "--connection", connection).code == 0

    outcome = cli("database", "list", "--json")

    assert outcome.out.isascii()
    assert name in [item["name"] for item in json.loads(outcome.out)]


def test_a_failed_command_leaves_standard_output_empty(cli: Cli) -> None:
    outcome = cli("status", "nobody", "--json")

    assert outcome.code == 3
    assert outcome.out == ""
