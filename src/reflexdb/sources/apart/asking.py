"""Asking a source in a process of its own: with a deadline, and to be called off at any time.

Used by control for all that is asked of a source outside an instance. `ask` returns as soon as the answer is there, the
deadline is over, or `check` raises; the process is ended behind the caller's back, and with it what it runs at the
source. So many processes run at once and no more: who can't have one soon is told that there is too much to do.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import structlog

import reflexdb
from reflexdb.model import errors
from reflexdb.model.errors import Overloaded, ReflexError, SourceError, SourceTimeout
from reflexdb.sources.apart.frames import Answer, At, Frame, Incoming, Refusal, put
from reflexdb.sources.apart.questions import Kind, Question
from reflexdb.sources.base import SourceAddress

log = structlog.get_logger()

T = TypeVar("T")
Check = Callable[[], None]
CHECK_S = 0.2
"""How long a question goes on after it was called off."""
GRACE_S = 6.0
"""For a process to make its servers give up, before it is killed."""
WAIT_S = {Kind.TEST: 3.0}
"""How long a question waits for a place; the others wait as long as `check` lets them."""
MODULE = "reflexdb.sources.apart"
_HANDED_ON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ")
_WORDS = 2_000
"""Of a process that broke, for our log."""


def unchecked() -> None:
    """A question that is not called off."""


def within(limit_s: float) -> Check:
    """A check that raises TimeoutError once so much time has passed from now."""
    over = time.monotonic() + limit_s

    def check() -> None:
        if time.monotonic() > over:
            raise TimeoutError

    return check


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds without an answer, or without a new step of it, after which a source is given up."""

    test_s: float = 30.0
    describe_s: float = 120.0
    read_s: float = 30.0

    def of(self, kind: Kind) -> float:
        return {Kind.TEST: self.test_s, Kind.DESCRIBE: self.describe_s, Kind.READ: self.read_s}[kind]


VARIABLES = {
    Kind.TEST: "REFLEXDB_SOURCE_TEST_TIMEOUT_S",
    Kind.DESCRIBE: "REFLEXDB_SOURCE_DESCRIBE_TIMEOUT_S",
    Kind.READ: "REFLEXDB_SOURCE_READ_TIMEOUT_S",
}
"""Of `reflexdb serve`, by which a deadline is set."""
MEANT = {
    Kind.TEST: "a test of a connection",
    Kind.DESCRIBE: "describing a schema, and what following needs to know of the source",
    Kind.READ: "one statement that reads rows for the smoke tests",
}


@dataclass(frozen=True, slots=True)
class Places:
    """How many questions are asked at once: tests that anybody may order never take the place of a build's."""

    tests: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(8))
    others: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(32))

    def of(self, kind: Kind) -> threading.BoundedSemaphore:
        return self.tests if kind is Kind.TEST else self.others


class Asking:
    """Safe to use from several threads."""

    def __init__(self, deadlines: Deadlines | None = None, places: Places | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._places = places or Places()

    def ask(self, question: Question[T], check: Check = unchecked) -> T:
        """The answer. Raises whatever the source raises, SourceTimeout, Overloaded, and what `check` raises."""
        place = self._places.of(question.kind)
        self._await(place, question, check)
        try:
            asked = _Asked(question)
        except BaseException:
            place.release()
            raise
        try:
            return self._hear(asked, question, check)
        finally:
            asked.let_go(place.release)

    def _await(self, place: threading.BoundedSemaphore, question: Question[Any], check: Check) -> None:
        give_up = time.monotonic() + WAIT_S.get(question.kind, float("inf"))
        while not place.acquire(timeout=CHECK_S):
            check()
            if time.monotonic() > give_up:
                raise Overloaded("As many sources are being asked as can be at once; try again in a moment.")

    def _hear(self, asked: _Asked, question: Question[T], check: Check) -> T:
        limit = self._deadlines.of(question.kind)
        doing, deadline = question.doing, time.monotonic() + limit
        while True:
            check()
            for frame in asked.frames(CHECK_S):
                if isinstance(frame, At):
                    doing, deadline = frame.doing, time.monotonic() + limit
                else:
                    value: T = _result(frame, question, doing, asked)
                    return value
            if time.monotonic() > deadline:
                raise SourceTimeout(
                    f"{_named(question.address)} did not answer within {limit:g} s while {doing}; the question was "
                    f"given up. Look at what it waits for there (a lock, an endless query, its load), or give it more "
                    f"time with {VARIABLES[question.kind]}."
                )


class _Asked:
    """One process, from its start until it is gone."""

    def __init__(self, question: Question[Any]) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._answers = self._process.stdout
        self._incoming = Incoming()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)
        with suppress(BrokenPipeError):  # it has died already; its words say why
            put(self._process.stdin, question)

    def frames(self, wait_s: float) -> list[Frame]:
        """What has come within so long; a Refusal once nothing can come any more."""
        if not self._selector.select(wait_s):
            return []
        piece = os.read(self._answers.fileno(), 1 << 20)
        return self._incoming.add(piece) if piece else [Refusal("", "")]

    def last_words(self) -> str:
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - _WORDS))
        return self._said.read().decode("utf-8", "replace")

    def let_go(self, gone: Callable[[], None]) -> None:
        """Have it end, and leave nothing at the source; `gone` is called when it has. Returns at once."""
        self._selector.close()
        with suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        threading.Thread(target=self._await_end, args=(gone,), name="source-end", daemon=True).start()

    def _await_end(self, gone: Callable[[], None]) -> None:
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        finally:
            self._answers.close()
            self._said.close()
            gone()


def environment() -> Mapping[str, str]:
    """What a process that speaks with sources gets of ours: nothing that may be secret."""
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    return {**handed_on, "PYTHONPATH": str(Path(reflexdb.__file__).parent.parent)}


def _result(frame: Frame, question: Question[Any], doing: str, asked: _Asked) -> Any:
    if isinstance(frame, Answer):
        return frame.value
    known = getattr(errors, frame.kind, None) if isinstance(frame, Refusal) else None
    if isinstance(frame, Refusal) and isinstance(known, type) and issubclass(known, ReflexError):
        raise known(frame.message)
    log.error("source_process_broke", source=_named(question.address), doing=doing, said=asked.last_words())
    raise SourceError(
        f"{_named(question.address)} could not be asked while {doing}: the process that asks it broke; the control "
        "plane's log has the details."
    )


def _named(address: SourceAddress) -> str:
    where = f"{address.host}:{address.port}" if address.port else address.host
    return f"The source {address.backend.value} at {where}"
