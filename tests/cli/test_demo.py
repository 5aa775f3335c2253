"""The demo: a sample that is always the same, answers that are really compared, and nothing left behind."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reflexdb.cli.demo import plane
from reflexdb.cli.demo.blog import Scale, create
from reflexdb.cli.demo.forms import FORMS, Blog, difference
from reflexdb.cli.demo.plane import MARK, fresh, processes_in
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.client import QueryClient

SMALL = Scale(users=60, posts=200, comments=400, tags=10)
LIMIT_S = 500


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def test_the_same_seed_gives_the_same_rows_and_another_gives_others(tmp_path: Path) -> None:
    create(tmp_path / "a", SMALL)
    create(tmp_path / "b", SMALL)
    create(tmp_path / "c", SMALL, seed=1)

    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert rows(tmp_path / "a") != rows(tmp_path / "c")


def test_the_sample_has_what_real_data_has(tmp_path: Path) -> None:
    create(tmp_path / "blog")
    text = "\n".join(rows(tmp_path / "blog"))

    with closing(sqlite3.connect(tmp_path / "blog")) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert all(
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > 1000 for table in ("users", "posts", "comments")
        )
    for wanted in ("é", "山", "😀", '"', "''", "\\", "NULL", "\t", "%"):
        assert wanted in text, wanted


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.text)
def test_every_form_has_an_answer_on_the_sample_that_is_not_everything(form: Any, tmp_path: Path) -> None:
    create(tmp_path / "blog")
    blog = Blog(tmp_path / "blog")

    expected = form.expected(blog)

    assert expected
    if "(" in form.text:
        assert len(expected) < len(blog.tables[form.text.partition("(")[0]])


def test_the_forms_are_the_eight_published_ones() -> None:
    assert sorted({form.number for form in FORMS}) == [1, 2, 3, 4, 5, 6, 7, 8]


SAMPLE: list[Any] = [
    {"id": 1, "ok": True, "price": Decimal("12.50"), "when": None, "tags": [{"n": "a"}, {"n": "b"}]},
    {"id": 2, "ok": False, "price": 3.25, "when": "2026-01-01", "tags": []},
]


def test_equal_answers_have_no_difference() -> None:
    got = json.loads(json.dumps(SAMPLE, default=float), parse_float=Decimal)

    assert difference(SAMPLE, got, ordered=True) is None


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((0, "id"), 2),
        ((0, "id"), "1"),
        ((0, "id"), True),
        ((0, "ok"), 1),
        ((0, "ok"), None),
        ((0, "price"), Decimal("12.51")),
        ((0, "price"), "12.50"),
        ((0, "when"), ""),
        ((1, "when"), "2026-01-02"),
        ((0, "tags"), [{"n": "b"}, {"n": "a"}]),
        ((0, "tags"), [{"n": "a"}]),
        ((1, "tags"), None),
        ((1, "tags"), {}),
    ],
)
def test_every_difference_is_found(place: tuple[int, str], value: Any) -> None:
    got = copy.deepcopy(SAMPLE)
    got[place[0]][place[1]] = value

    assert difference(SAMPLE, got, ordered=True)


def test_order_and_presence_of_keys_count() -> None:
    assert difference([{"a": 1, "b": 2}], [{"b": 2, "a": 1}], ordered=True)
    assert difference([{"a": 1, "b": 2}], [{"b": 2, "a": 1}], ordered=False) is None
    assert difference([{"a": 1}], [{"a": 1, "b": 2}], ordered=False)
    assert difference([{"a": 1}], [], ordered=False)


def test_a_directory_with_somebodys_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")

    with pytest.raises(CommandFailed) as caught:
        fresh(tmp_path)

    assert caught.value.code is Exit.USAGE
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_old_demo_is_cleared_but_for_the_compiled_engine(tmp_path: Path) -> None:
    fresh(tmp_path / "demo")
    (tmp_path / "demo" / "metadata.db").write_text("old")
    (tmp_path / "demo" / "cache").mkdir()

    fresh(tmp_path / "demo")

    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [MARK, "cache"]


def test_a_control_plane_that_cannot_start_is_explained(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    fresh(data)
    (data / "metadata.db").mkdir()
    process = plane.start(data, 0)
    try:
        with pytest.raises(CommandFailed) as caught:
            plane.wait_until_healthy(data, process)
    finally:
        plane.stop(process)

    assert "ended with" in caught.value.message
    assert caught.value.context


def test_a_port_that_somebody_else_was_quicker_to_take_is_given_up(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fresh(data)
        process = plane.start(data, taken.getsockname()[1])
        try:
            assert plane.lost_the_port(data, process)
        finally:
            plane.stop(process)


def demo(data: Path, *options: str) -> subprocess.Popen[str]:
    """The demo as a program, which listens to SIGINT also where the tests were started in the background, whose
    programs a shell has ignore it."""
    command = [sys.executable, "-m", "reflexdb.cli.main", "demo", "--json", "--data", str(data), *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def nothing_runs(data: Path) -> bool:
    deadline = time.monotonic() + 30
    while processes_in(data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.timeout(LIMIT_S + 60)
def test_the_demo_runs_itself_through_and_leaves_nothing_running(tmp_path: Path) -> None:
    process = demo(tmp_path / "demo", "--once")

    out, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0, said
    assert json.loads(out)["ok"] is True
    assert processes_in(tmp_path / "demo") == []


BROKEN_COMPILER = """#!/bin/sh
case " $* " in *" -c "*) echo "engine.cc:1:1: error: this compiler is broken" >&2; exit 1;; esac
exec c++ "$@"
"""


def test_a_failing_demo_shows_the_reason_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text(BROKEN_COMPILER)
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("REFLEXDB_ENGINE_CACHE", str(tmp_path / "cache"))

    process = demo(tmp_path / "demo", "--once")
    _, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode != 0
    assert "this compiler is broken" in said.splitlines()[-1]
    assert (tmp_path / "demo" / "plane" / "admin.key").read_text().strip() not in said
    assert "/v1/" not in said
    assert len(said.splitlines()) <= 20


def test_a_demo_that_cannot_start_keeps_its_key(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("rmk_secret\n")
    (tmp_path / "serve.log").write_text("Management key:\n\n    rmk_secret\n\nServing\n")

    assert plane.printed(tmp_path) == ["Management key:", "", "    ***", "", "Serving"]


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_the_demo_ends_nothing_goes_on_running(number: signal.Signals, tmp_path: Path) -> None:
    data = tmp_path / "demo"
    process = demo(data)
    try:
        served = read_document(process)
        with QueryClient(served["endpoint"], served["key"]) as instance:
            assert instance.query("users(id = 1) { id }") == [{"id": 1}]
        assert len(processes_in(data)) >= 2
    finally:
        os.kill(process.pid, number)
        process.communicate(timeout=LIMIT_S)

    assert nothing_runs(data)
    if number is signal.SIGINT:
        assert process.returncode == 0


def read_document(process: subprocess.Popen[str]) -> Any:
    """The JSON document that a demo prints and stays open after."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            return json.loads(text)
    raise AssertionError(process.communicate()[1])
