"""What the loader takes, and what it refuses by name."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Cli, bodies
from tests.engine.plans import KINDS, LOGS, PLAN, USERS


def table(cli: Cli, index: int) -> None:
    cli.begin()
    cli.do("T", struct.pack("<I", index))


def one_text(index: int, text: bytes) -> bytes:
    """A row of `logs` whose only value is this text."""
    nothing = b"\x01\x00" + bytes(4)
    return struct.pack("<II", index, 1) + b"\x00" + struct.pack("<II", 0, len(text)) + text + nothing * 2


def kinds_body(column: str, text: bytes) -> bytes:
    row = {"id": "k", column: "1"}
    (body,) = bodies(PLAN, KINDS, [row])
    marker = struct.pack("<II", 0, 1) + b"1"
    assert body.count(marker) == 1
    return body.replace(marker, struct.pack("<II", 0, len(text)) + text)


def test_a_body_cut_short_or_with_more_behind_is_refused(cli: Cli) -> None:
    (body,) = bodies(PLAN, USERS, [{"id": 1, "name": "a"}, {"id": 2}])
    for end in range(len(body)):
        table(cli, USERS)
        assert cli.refused("R", body[:end]).startswith("protocol_error")
    table(cli, USERS)
    assert cli.refused("R", body + b"\0").startswith("protocol_error")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_body_with_bytes_changed_is_taken_or_refused(cli: Cli, data: st.DataObject) -> None:
    (body,) = bodies(
        PLAN, KINDS, [{"id": "a", "json": "[1]", "decimal": "1.5", "bool": True}, {"id": "b", "uuid": b"x" * 16}]
    )
    changed = bytearray(body)
    for _ in range(3):
        changed[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    table(cli, KINDS)
    status, answer = cli.order("R", bytes(changed))
    assert status == 0 or answer.startswith((b"protocol_error", b"invalid_rows"))


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abcdefgh\xe2\x82"])
def test_text_that_is_not_utf8_is_refused_by_table_column_and_row(cli: Cli, text: bytes) -> None:
    table(cli, LOGS)
    cli.do("R", one_text(LOGS, "é".encode()))
    message = cli.refused("R", one_text(LOGS, text))

    assert message.startswith("invalid_rows: Table `logs`, column `line`, row 2 ")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b"01", b'"\x01"', b"nul", b"1 2", b'{"a" 1}', b"[" * 513 + b"]" * 513]
)
def test_json_that_is_none_is_refused(cli: Cli, text: bytes) -> None:
    table(cli, KINDS)

    assert cli.refused("R", kinds_body("json", text)).startswith("invalid_rows: Table `kinds`, column `json`, row 1")


@pytest.mark.parametrize("text", [b"0", b' {"a":[1e+5,true,"\\u00e9\\n"]} ', b"[" * 512 + b"]" * 512])
def test_json_is_taken(cli: Cli, text: bytes) -> None:
    table(cli, KINDS)
    cli.do("R", kinds_body("json", text))


@pytest.mark.parametrize("text", [b"", b"-", b"1.", b".5", b"+1", b"1e5", b"inf", b"nan", b"1,5"])
def test_decimals_that_are_none_are_refused(cli: Cli, text: bytes) -> None:
    table(cli, KINDS)

    assert cli.refused("R", kinds_body("decimal", text)).startswith("invalid_rows")


def test_two_rows_with_one_key_are_refused(cli: Cli) -> None:
    cli.begin()
    for index in range(len(PLAN.tables)):
        cli.send(index, [{"id": 5}, {"id": 3}, {"id": 5}] if index == USERS else [])

    assert cli.refused("C").startswith("invalid_rows: Table `users`")


def test_a_snapshot_over_the_cap_is_refused_with_both_numbers(cli: Cli) -> None:
    cli.begin(cap=1 << 20)
    cli.do("T", struct.pack("<I", LOGS))
    message = ""
    for body in bodies(PLAN, LOGS, [{"line": "x" * 300_000}] * 8, 1 << 16):
        status, answer = cli.order("R", body)
        message = answer.decode() if status else message

    assert message.startswith("cap_exceeded")
    assert "2 MiB" in message
    assert "1 MiB" in message


def test_every_table_of_a_snapshot_is_named(cli: Cli) -> None:
    cli.begin()
    assert cli.refused("K", struct.pack("<I", 0)).startswith("protocol_error")  # nothing to keep yet
    cli.begin()
    assert cli.refused("T", struct.pack("<I", 99)).startswith("protocol_error")
    cli.begin()
    assert cli.refused("R", bodies(PLAN, LOGS, [{"line": "x"}])[0]).startswith("protocol_error")
    table(cli, LOGS)
    assert cli.refused("C").startswith("protocol_error: Table `users` is missing")


def test_a_table_named_again_has_its_last_rows(cli: Cli) -> None:
    cli.load({"logs": [{"line": "first"}]})
    cli.begin()
    for index in range(len(PLAN.tables)):
        cli.send(index, [{"line": "cut off"}] if index == LOGS else [])
    cli.send(LOGS, [{"line": "again"}])
    cli.do("C")
    assert cli.rows("logs { line }") == [{"line": "again"}]

    cli.begin()
    for index in range(len(PLAN.tables)):
        cli.send(index, [])
    cli.do("K", struct.pack("<I", LOGS))
    cli.do("C")
    assert cli.rows("logs { line }") == [{"line": "again"}]


def test_kept_tables_stay_and_links_follow_what_changed(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}, {"id": 2}], "posts": [{"id": 7, "user_id": 2}, {"id": 8, "user_id": 3}]})
    cli.begin()
    for index in range(len(PLAN.tables)):
        if index == USERS:
            cli.send(index, [{"id": 3}, {"id": 2, "boss_id": 3}])
        else:
            cli.do("K", struct.pack("<I", index))
    cli.do("C")
    cli.do("P")

    assert cli.rows("users { id boss { id } posts { id } }") == [
        {"id": 2, "boss": {"id": 3}, "posts": [{"id": 7}]},
        {"id": 3, "boss": None, "posts": [{"id": 8}]},
    ]
    facts = cli.facts()
    assert (facts["version"], facts["position"], facts["rows"][:2]) == (2, "later", [2, 2])
    assert facts["bytes"] > 0
