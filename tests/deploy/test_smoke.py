"""A new server is tried out before it is an image: what it is asked, and what is not let pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reflexdb.build.base import BuildResult, SmokeTest, Trial, unchecked
from reflexdb.build.store import DirectoryStore
from reflexdb.deploy.smoke import trial as trial_module
from reflexdb.deploy.smoke import try_out
from reflexdb.deploy.smoke.questions import Wrong, questions
from reflexdb.model.errors import BuildCancelled, BuildFailed
from reflexdb.model.schema import Backend
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.sample import Sample, Sampled, take
from tests.api.plane import processes_in
from tests.deploy.site import SCHEMA, execute
from tests.sync.waiting import until

ROWS = (
    "INSERT INTO people VALUES (1, 'Ada'), (2, NULL), (3, 'Bo')",
    "INSERT INTO posts VALUES (1, 1, 'first'), (2, 1, NULL), (3, NULL, 'none'), (4, 3, 'b')",
    "INSERT INTO `odd ``name` VALUES (7)",
)


@pytest.fixture
def tried(tmp_path: Path, built: tuple[Path, BuildResult]) -> tuple[Trial, Sample, list[str]]:
    """A server of the sites' schema that is not an image yet, rows for it, and the lines of its log."""
    execute(tmp_path / "rows.db", *SCHEMA, *ROWS)
    images, result = built
    server = DirectoryStore(images).unpack(result.image.digest, tmp_path / "work")
    address = SourceAddress(Backend.SQLITE, str(tmp_path / "rows.db"))
    with closing(open_source(address)) as source, source.snapshot(result.plan) as reader:
        sample = take(reader, result.plan)
    lines: list[str] = []
    return Trial(server, result.plan, lines.append, unchecked), sample, lines


def run(trial: Trial, sample: Sample) -> list[SmokeTest]:
    told: list[SmokeTest] = []
    try:
        try_out(trial, sample, datetime.now(UTC), told.extend)
    finally:
        until(lambda: not processes_in(trial.server.parent), "the server's processes to end")
    return told


def test_every_table_and_every_relation_is_asked_both_ways_and_nested(
    tried: tuple[Trial, Sample, list[str]],
) -> None:
    trial, sample, lines = tried
    results = run(trial, sample)

    assert [each.message for each in results if not each.passed] == []
    messages = {each.name: each.message for each in results}
    assert messages["load"] == "8 rows of 3 tables"
    assert messages["odd `name"] == "1 rows of 1 fields"
    assert messages["people"] == "3 rows of 2 fields"
    assert messages["people count"] == "3 counted"
    assert messages["posts.person"] == "4 rows with 3 related"
    assert messages["people.posts"] == "3 rows with 3 related"
    assert messages["posts.person.posts"] == "4 rows with 3 related, and 5 to those"
    assert messages["people.posts.person"] == "3 rows with 3 related, and 3 to those"
    assert lines[-1].startswith(f"smoke: {len(results)} of {len(results)} tests passed in ")


def test_a_server_whose_answers_are_not_its_rows_fails_with_what_was_expected(
    tried: tuple[Trial, Sample, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is judged by has a row more than it was given: it looks like one that loses a row."""
    trial, sample, lines = tried
    more = tuple(Sampled([*each.batches, *each.batches[:1]], each.rows + each.batches[0].num_rows) for each in sample)
    monkeypatch.setattr(trial_module, "questions", lambda plan, _: questions(plan, more))
    told: list[SmokeTest] = []
    with pytest.raises(BuildFailed, match=r"smoke test 'odd `name': expected 2 rows, got 1 \(and") as failed:
        try_out(trial, sample, datetime.now(UTC), told.extend)

    assert failed.value.step == "smoke"
    assert not any(each.passed for each in told[1:])
    assert "smoke: FAILED odd `name: expected 2 rows, got 1" in lines
    assert "smoke: the query was `odd ``name` { `id` }" in lines


def test_rows_that_the_server_refuses_fail_the_first_test(tried: tuple[Trial, Sample, list[str]]) -> None:
    trial, sample, _ = tried
    broken = tuple(Sampled([batch.slice(0, batch.num_rows) for batch in each.batches], each.rows) for each in sample)
    broken[0].batches[:] = broken[0].batches * 2  # the same keys twice
    with pytest.raises(BuildFailed, match=r"smoke test 'load': .*key"):
        run(trial, broken)


@pytest.mark.parametrize("script", ["echo nobody is at home; exit 3", "sleep 1; echo nobody is at home >&2; exit 1"])
def test_a_server_that_does_not_start_fails_with_its_last_words(
    tried: tuple[Trial, Sample, list[str]], script: str
) -> None:
    trial, sample, _ = tried
    trial.server.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(BuildFailed, match="could not be tried out; its last words: nobody is at home"):
        run(trial, sample)


def test_a_server_that_dies_of_a_question_fails_and_is_told(
    tried: tuple[Trial, Sample, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, sample, _ = tried
    original = trial_module._answer
    asked: list[str] = []

    def answer(channel: Any, question: Any) -> Any:
        asked.append(question.name)
        if len(asked) == 3:
            for process in processes_in(trial.server.parent):
                os.kill(process, 9)
        return original(channel, question)

    monkeypatch.setattr(trial_module, "_answer", answer)
    told: list[SmokeTest] = []
    with pytest.raises(BuildFailed, match="it was not answered any more"):
        try_out(trial, sample, datetime.now(UTC), told.extend)

    assert [each.passed for each in told] == [True, True, True, False]


def test_a_build_that_is_called_off_ends_the_server_too(tried: tuple[Trial, Sample, list[str]]) -> None:
    trial, sample, _ = tried
    for reached in range(1, 13):  # while it starts, while rows are loaded, while it is asked
        calls: list[int] = []

        def check(calls: list[int] = calls, reached: int = reached) -> None:
            calls.append(1)
            if len(calls) >= reached:
                raise BuildCancelled("it was cancelled")

        with pytest.raises(BuildCancelled):
            run(replace(trial, check=check), sample)
        shutil.rmtree(trial.server.parent / "trial")


def test_the_server_is_in_a_network_of_its_own_without_a_port(
    tried: tuple[Trial, Sample, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the kernel grants one, which it does to root."""
    trial, sample, _ = tried
    seen: list[str] = []
    original = trial_module._answer

    def answer(channel: Any, question: Any) -> Any:
        for process in processes_in(trial.server.parent):
            if Path(f"/proc/{process}/exe").resolve() == trial.server:
                seen.append(str(Path(f"/proc/{process}/ns/net").readlink()))
                assert len(Path(f"/proc/{process}/net/tcp").read_text().splitlines()) == 1 or os.geteuid() != 0
        return original(channel, question)

    monkeypatch.setattr(trial_module, "_answer", answer)
    run(trial, sample)

    assert seen
    if os.geteuid() == 0 and shutil.which("unshare") and os.system("unshare -n true 2>/dev/null") == 0:
        assert str(Path("/proc/self/ns/net").readlink()) not in seen


def test_a_control_plane_killed_while_a_server_is_tried_out_leaves_no_server(
    tried: tuple[Trial, Sample, list[str]],
) -> None:
    """The server never answers, so that the kill finds it waited for."""
    trial, _, _ = tried
    trial.server.write_text("#!/bin/sh\nsleep 1000\n")
    script = f"""
from datetime import UTC, datetime
from pathlib import Path
from reflexdb.build.base import Trial, unchecked
from reflexdb.deploy.smoke import try_out
from tests.build.images import small_plan
try_out(Trial(Path({str(trial.server)!r}), small_plan(), print, unchecked), (), datetime.now(UTC), print)
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    control = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=root)
    until(lambda: len(processes_in(trial.server.parent)) >= 2)
    control.kill()
    control.wait(10)

    until(lambda: processes_in(trial.server.parent) == [])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("people", '{"count":3}'),
        ("people", "[]"),
        ("people", '[{"id":1,"name":null},{"id":2,"name":"a"},{"name":"b","id":3}]'),
        ("people", '[{"id":1,"name":"a"},{"id":2,"name":"b"},{"id":3,"name":"c"}]'),
        ("people", '[{"id":1,"name":null},{"id":2,"name":"b"},{"id":"3","name":"c"}]'),
        ("people", '[{"id":1,"name":null},{"id":2,"name":"b"},{"id":true,"name":"c"}]'),
        ("people count", '{"count":4}'),
        ("people count", "3"),
        ("posts.person", '[{"person":{"id":1}},{"person":{"id":1}},{"person":null},{"person":null}]'),
        ("posts.person", '[{"person":{"id":1}},{"person":{"id":1}},{"person":{"id":3}},{}]'),
        ("posts.person", '[{"person":{"id":1}},{"person":{"id":1}},{"person":{"id":3}},{"person":[]}]'),
        ("people.posts", '[{"posts":[]},{"posts":[]},{"posts":[{"id":1}]}]'),
        ("people.posts", '[{"posts":null},{"posts":[{"id":1},{"id":1}]},{"posts":[{"id":1}]}]'),
    ],
)
def test_an_answer_that_differs_in_anything_is_wrong(
    tried: tuple[Trial, Sample, list[str]], name: str, answer: str
) -> None:
    trial, sample, _ = tried
    question = next(each for each in questions(trial.plan, sample) if each.name == name)
    with pytest.raises(Wrong, match=r"expected|has a JSON"):
        question.check(json.loads(answer))
