"""Holds every answer that the API gives anywhere in the tests against the contract, and misses those never given.

Made known everywhere by tests/conftest.py. Each process of the run writes down what it answered (site/answers_seen.py);
after each test the test's own worker reads and judges it, so that a wrong answer fails the test that asked. At the end
of a run of everything, the operations and documented statuses that no test has reached are named and fail the run;
`--every-answer` asks for this of any run. A test that breaks the API on purpose is marked `breaks_the_api`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.contract import NOT_REACHED, check_reply, every_operation, served

SITE = Path(__file__).parent / "site"
PREFIX = "/v1"
Pair = tuple[str, str]
"""An operation's id and a status."""


class Judge:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reached: set[Pair] = set()
        self._read: dict[Path, int] = {}
        self._judged: set[int] = set()

    def complaints(self) -> list[str]:
        """What is wrong with the answers given since the last time."""
        found = []
        for path in sorted(self.directory.iterdir()):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                news = file.read()
            whole = news[: news.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            found += [complaint for line in whole.splitlines() if (complaint := self._judge(line))]
        return found

    def _judge(self, line: bytes) -> str | None:
        seen = json.loads(line)
        path = seen["path"]
        if not path.startswith(PREFIX + "/") or seen["method"] in {"HEAD", "OPTIONS"}:
            return None
        kind = seen["headers"].get("content-type", "")
        known = hash((seen["method"], path, seen["status"], kind, seen["body"]))
        if known in self._judged:
            return None
        self._judged.add(known)
        body = seen["body"]
        try:
            if kind.startswith("application/json") and body:
                body = json.loads(body)
            operation = check_reply(seen["method"], path.removeprefix(PREFIX), seen["status"], kind, body)
        except (AssertionError, ValueError) as wrong:
            return f"{seen['method']} {path} -> {seen['status']}: {wrong}"
        if operation is not None:
            self.reached.add((operation, str(seen["status"])))
        return None


def documented() -> set[Pair]:
    """Everything that the API says it may answer."""
    return {
        (operation["operationId"], status)
        for _, _, operation in every_operation(served())
        for status in operation["responses"]
    }


class Plugin:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._judge = Judge(Path(tempfile.mkdtemp(prefix="reflexdb-answers-")))
        self._missed: set[Pair] = set()
        self._worker_lost = False
        self._no_longer_missed: set[Pair] = set()
        os.environ["REFLEXDB_ANSWERS_SEEN"] = str(self._judge.directory)
        paths = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        sys.path.insert(0, str(SITE))  # before a sitecustomize of the machine: servers are started with this path
        from answers_seen import listen

        listen()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        yield
        complaints = self._judge.complaints()
        if complaints and item.get_closest_marker("breaks_the_api") is None:
            pytest.fail("answers that are not documented:\n" + "\n".join(complaints), pytrace=False)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended and left what it reached; one that died took it with it, and the run has failed."""
        output = getattr(node, "workeroutput", {})
        self._worker_lost |= "reached" not in output
        self._judge.reached |= {(operation, status) for operation, status in output.get("reached", ())}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._judge.complaints()
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["reached"] = sorted(self._judge.reached)
        elif (self._config.getoption("every_answer") or _everything_ran(session)) and not self._worker_lost:
            self._missed = documented() - self._judge.reached - NOT_REACHED
            self._no_longer_missed = NOT_REACHED & self._judge.reached
            if (self._missed or self._no_longer_missed) and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for title, pairs in (
            ("answers that are documented and that no test has seen", self._missed),
            ("answers that were seen: take them out of NOT_REACHED", self._no_longer_missed),
        ):
            if pairs:
                terminalreporter.section(title, red=True)
            for operation, status in sorted(pairs):
                terminalreporter.line(f"{operation} {status}")

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._judge.directory, ignore_errors=True)


def _everything_ran(session: pytest.Session) -> bool:
    """Nothing was chosen, left out, or cut short."""
    option = session.config.option
    chosen = option.keyword or option.markexpr or getattr(option, "deselect", None) or getattr(option, "lf", False)
    cut_short = session.shouldstop or session.shouldfail or option.collectonly
    whole = {Path(argument).resolve() for argument in session.config.args} == {session.config.rootpath / "tests"}
    return whole and not chosen and not cut_short and not option.ignore and not option.ignore_glob


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-answer", action="store_true", help="fail where a documented answer was not seen, whatever was run"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "breaks_the_api: makes the API crash on purpose; its answers are not judged")
    config.pluginmanager.register(Plugin(config), "answers-judge")
