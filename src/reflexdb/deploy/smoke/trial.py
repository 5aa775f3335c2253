"""A new server, started once: fed with a sample over its private socket, asked over it, ended.

Called by control on behalf of a builder, in the build's own directory. The server is confined as the compiler is, has
no port and, as far as the kernel grants it, no network; nobody but this process can reach it. It knows what the
questions are from `questions`, and refuses to know where the rows came from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import structlog

from reflexdb.build.base import Check, SmokeTest, Trial
from reflexdb.build.process import Limits, started
from reflexdb.deploy.local.logs import last_words
from reflexdb.deploy.smoke.questions import Question, Wrong, questions
from reflexdb.model.errors import BuildCancelled, BuildFailed, InstanceUnreachable, ReflexError
from reflexdb.model.plan import Plan
from reflexdb.sources.sample import Sample
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel

log = structlog.get_logger()

STEP = "smoke"
START_S = 30.0
ANSWER_S = 60.0
LIMITS = Limits(cpu_s=120, memory_bytes=4 << 30, file_bytes=16 << 20, network=False)
MEMORY_CAP_MB = 1024
MAX_QUESTIONS = 5_000
"""A schema of very many relations is asked for its tables, and for so many relations."""
SHOWN_FAILURES = 20
_POLL_S = 0.005

Told = Callable[[Sequence[SmokeTest]], None]


def try_out(trial: Trial, sample: Sample, taken_at: datetime, told: Told) -> None:
    """`told` hears of every test, also where one failed; then BuildFailed("smoke") is raised."""
    directory = trial.server.parent / "trial"
    directory.mkdir(mode=0o700)
    results: list[SmokeTest] = []
    try:
        with _server(trial, directory) as (sync, asking):
            results.append(_loaded(sync, trial, sample, taken_at))
            if results[0].passed:
                results += _asked(asking, trial, sample)
    finally:
        told(results)
    _conclude(trial, results)


def _conclude(trial: Trial, results: Sequence[SmokeTest]) -> None:
    failed = [each for each in results if not each.passed]
    for each in failed[:SHOWN_FAILURES]:
        trial.log(f"smoke: FAILED {each.name}: {each.message}")
        trial.log(f"smoke: the query was {each.query}")
    if len(failed) > SHOWN_FAILURES:
        trial.log(f"smoke: and {len(failed) - SHOWN_FAILURES} more failed")
    total = sum(each.duration_ms for each in results)
    trial.log(f"smoke: {len(results) - len(failed)} of {len(results)} tests passed in {total:.0f} ms")
    if failed:
        more = f" (and {len(failed) - 1} more tests failed)" if len(failed) > 1 else ""
        first = f"smoke test {failed[0].name!r}: {failed[0].message}{more}"
        raise BuildFailed(STEP, f"The new server does not answer as its rows say: {first}.")


@contextmanager
def _server(trial: Trial, directory: Path) -> Iterator[tuple[PrivateChannel, PrivateChannel]]:
    """One connection as sync has it, and one as the deployer."""
    command = [str(trial.server), "--dir", str(directory), "--memory-cap-mb", str(MEMORY_CAP_MB), "--threads", "1"]
    output = directory / "server.log"
    with started(command, directory, LIMITS, output) as process:
        try:
            with _connected(directory, trial.check, lambda: process.poll() is not None) as sync:
                sync.hello(feed.Role.SYNC, trial.plan.fingerprint())
                with PrivateChannel(directory, ANSWER_S) as asking:
                    asking.hello(feed.Role.DEPLOYER, trial.plan.fingerprint())
                    yield sync, asking
        except (InstanceUnreachable, feed.InstanceRefused) as exc:
            log.warning("server_not_tried_out", error=exc.message)
            said = f"The new server could not be tried out; its last words: {last_words(output)}"
            raise BuildFailed(STEP, said) from exc


def _connected(directory: Path, check: Check, ended: Callable[[], bool]) -> PrivateChannel:
    deadline = time.monotonic() + START_S
    while True:
        check()
        over = ended() or time.monotonic() > deadline
        try:
            return PrivateChannel(directory, ANSWER_S)
        except InstanceUnreachable:
            if over:
                raise
        time.sleep(_POLL_S)


def _loaded(channel: PrivateChannel, trial: Trial, sample: Sample, taken_at: datetime) -> SmokeTest:
    """The first test of all: that the server takes the rows."""
    started_at = time.monotonic()
    rows, problem = sum(each.rows for each in sample), None
    try:
        _load(channel, trial.plan, sample, taken_at, trial.check)
    except (InstanceUnreachable, BuildCancelled, BuildFailed):  # none of them is the server's answer
        raise
    except ReflexError as exc:
        problem = exc.message
    message = problem or f"{rows} rows of {len(sample)} tables"
    return SmokeTest("load", "", problem is None, _since(started_at), message)


def _load(channel: PrivateChannel, plan: Plan, sample: Sample, taken_at: datetime, check: Check) -> None:
    channel.request(feed.snapshot_begin(taken_at, ""))
    for index, (table, sampled) in enumerate(zip(plan.tables, sample, strict=True)):
        check()
        channel.send(feed.table(index))
        for batch in sampled.batches:
            for frame in feed.rows(index, table, batch):
                channel.send(frame)
    channel.request(feed.snapshot_commit(), ANSWER_S)


def _asked(channel: PrivateChannel, trial: Trial, sample: Sample) -> Iterator[SmokeTest]:
    for number, question in enumerate(questions(trial.plan, sample)):
        if number >= MAX_QUESTIONS:
            trial.log(f"smoke: only the first {MAX_QUESTIONS} of this schema's questions were asked")
            return
        trial.check()
        began = time.monotonic()
        try:
            passed, message = _answer(channel, question)
        except InstanceUnreachable:
            yield SmokeTest(question.name, question.query, False, _since(began), "it was not answered any more")
            return
        yield SmokeTest(question.name, question.query, passed, _since(began), message)


def _answer(channel: PrivateChannel, question: Question) -> tuple[bool, str]:
    """Whether it was right, and what was found."""
    try:
        return True, question.check(json.loads(channel.query(question.query, ANSWER_S), parse_int=_whole))
    except Wrong as exc:
        return False, str(exc)
    except feed.InstanceRefused as exc:
        return False, f"it was refused: {exc.message}"
    except RecursionError:
        return True, "answered; a value is nested too deeply to be looked into"
    except ValueError:
        return False, "the answer is no JSON"


def _whole(digits: str) -> int:
    """Of a number that is longer than any count only the kind matters, and Python refuses to read some."""
    return int(digits) if len(digits) <= 20 else 0


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)
