"""Exit codes and the one line that goes with them."""

from __future__ import annotations

import socket
import uuid

import pytest

from reflexdb.cli.exits import BY_STATUS, MEANINGS, Exit, code_of
from reflexdb.client import ApiError, Unreachable
from tests.cli.conftest import Cli, Plane


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(("status", "code"), sorted(BY_STATUS.items()))
def test_an_error_answer_leads_to_the_code_of_its_status(status: int, code: Exit) -> None:
    assert code_of(ApiError(status, "some_code", "a sentence")) is code


def test_an_unknown_error_answer_is_a_failure_and_silence_is_unreachable() -> None:
    assert code_of(ApiError(500, "internal_error", "a sentence")) is Exit.FAILED
    assert code_of(Unreachable("nothing answers")) is Exit.UNREACHABLE


def one_line(text: str) -> bool:
    return text.startswith("reflexdb: ") and text.count("\n") == 1 and "Traceback" not in text


def test_without_any_control_plane_a_command_ends_with_5_and_says_how_to_name_one(offline: Cli) -> None:
    outcome = offline("database", "list")

    assert outcome.code == Exit.UNREACHABLE
    assert one_line(outcome.err)
    assert "REFLEXDB_URL" in outcome.err
    assert "reflexdb serve" in outcome.err


def test_a_control_plane_that_does_not_answer_is_named(offline: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("REFLEXDB_URL", url)
    monkeypatch.setenv("REFLEXDB_KEY", "rmk_a.b")

    outcome = offline("database", "list", "--json")

    assert outcome.code == Exit.UNREACHABLE
    assert one_line(outcome.err)
    assert url in outcome.err
    assert outcome.out == ""


def test_a_wrong_key_ends_with_6_and_is_not_repeated(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXDB_KEY", "rmk_nobody.secretsecret")

    outcome = cli("database", "list")

    assert outcome.code == Exit.UNAUTHORIZED
    assert one_line(outcome.err)
    assert "secretsecret" not in outcome.err


def test_a_key_that_no_header_can_carry_is_refused_in_a_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXDB_KEY", "rmk_\u00fcber.\u65e5\u672c")

    outcome = cli("database", "list")

    assert outcome.code == Exit.UNAUTHORIZED
    assert one_line(outcome.err)


def test_the_local_admin_key_is_not_sent_to_another_machine(
    cli: Cli, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXDB_URL", "http://reflexdb.example:8400")

    outcome = cli("database", "list")

    assert outcome.code == Exit.UNAUTHORIZED
    assert plane.key not in outcome.err


@pytest.mark.parametrize("url", ["127.0.0.1:8400", "ftp://127.0.0.1", "http://", "nonsense"])
def test_an_address_that_is_none_is_a_usage_error(offline: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REFLEXDB_KEY", "rmk_a.b")

    outcome = offline("--url", url, "status")

    assert outcome.code == Exit.USAGE
    assert one_line(outcome.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("database", "show", "nobody"),
        ("connection", "show", "nobody"),
        ("provision", "nobody"),
        ("builds", str(uuid.UUID(int=7))),
        ("key", "list", "nobody"),
        ("database", "show", "\x1b[31m\x00\n"),
    ],
)
def test_an_unknown_name_ends_with_3(cli: Cli, arguments: tuple[str, ...]) -> None:
    outcome = cli(*arguments)

    assert outcome.code == Exit.NOT_FOUND
    assert one_line(outcome.err)
    assert "\x1b" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("database", "add"),
        ("database", "add", "x", "--connection", "y", "--size", "enormous"),
        ("connection", "add", "x", "--port", "0"),
        ("provision", "x", "--timeout", "0"),
        ("serve", "--port", "65536"),
    ],
)
def test_wrong_arguments_end_with_2(offline: Cli, arguments: tuple[str, ...]) -> None:
    outcome = offline(*arguments)

    assert outcome.code == Exit.USAGE
    assert outcome.out == ""
    assert outcome.err


def test_what_is_not_possible_now_ends_with_4(cli: Cli, database: str) -> None:
    outcome = cli("rebuild", database)

    assert outcome.code == Exit.CONFLICT
    assert one_line(outcome.err)


def test_a_name_that_is_taken_ends_with_4(cli: Cli, database: str) -> None:
    assert cli("database", "add", database, "--connection", database).code == Exit.CONFLICT


def test_debug_adds_the_traceback_and_keeps_the_line(cli: Cli) -> None:
    outcome = cli("--debug", "database", "show", "nobody")

    assert outcome.code == Exit.NOT_FOUND
    assert "Traceback" in outcome.err
    assert outcome.err.rstrip().splitlines()[-1].startswith("reflexdb: ")
