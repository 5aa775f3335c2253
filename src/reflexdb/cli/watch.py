"""Waits for a database to come to rest after an action, showing status and build log on the way.

Called by provision, rebuild, redeploy, terminate and the demo. Knows which statuses are stable and what counts as
success; it asks the control plane and never decides anything for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.progress import Progress
from reflexdb.client import ClientError, ReflexClient, log_path
from reflexdb.client.types import InstanceStatus

STABLE = frozenset({"registered", "running", "paused", "failed", "stopped", "terminated"})
POLL_S = 0.3
LOG_TAIL_LINES = 15
LOG_JOIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for."""

    database_id: str
    action: str
    goal: str
    """The status that means success."""
    timeout_s: float
    build_id: str | None = None
    """The build whose log is shown; None for the newest one made after `previous_build`."""
    previous_build: str | None = None
    log_lines_seen: int = 0
    """Lines that the build's log had before the action."""


def wait(open_client: Callable[[], ReflexClient], what: Wait, show: Progress) -> InstanceStatus:
    """Poll until the status is stable. Raises CommandFailed with `lastError` where the goal was missed."""
    deadline = time.monotonic() + what.timeout_s
    done = threading.Event()
    tail: LogTail | None = None
    with open_client() as client:
        try:
            while True:
                status = client.instance_status(what.database_id)
                phase = str(status["database"].get("phase") or status["database"]["status"])
                if settled(status):
                    break
                show.phase(f"{what.action}: {phase.replace('_', ' ')}")
                tail = tail or start_tail(open_client, what, status, show, done)
                if time.monotonic() > deadline:
                    raise CommandFailed(
                        Exit.FAILED, f"{what.action} is still {phase} after {what.timeout_s:.0f} s; it goes on"
                    )
                time.sleep(POLL_S)
        finally:
            done.set()
            if tail is not None:
                tail.join(LOG_JOIN_S)
        if status["database"]["status"] != what.goal:
            raise failure(what, status)
    return status


def settled(status: InstanceStatus) -> bool:
    """Whether nothing is under way and nothing is queued."""
    database = status["database"]
    return database["status"] in STABLE and not database.get("desiredState")


def failure(what: Wait, status: InstanceStatus) -> CommandFailed:
    database = status["database"]
    reason = database.get("lastError") or f"it came to rest as {database['status']}, not {what.goal}"
    return CommandFailed(Exit.FAILED, f"{what.action} failed: {reason}")


def start_tail(
    open_client: Callable[[], ReflexClient],
    what: Wait,
    status: InstanceStatus,
    show: Progress,
    done: threading.Event,
) -> LogTail | None:
    """Begin to follow the build's log as soon as the build is known and has one."""
    build = status["latestBuild"]
    if build is None or (what.build_id is None and build["id"] == what.previous_build):
        return None
    path = log_path(what.database_id, what.build_id or build["id"])
    tail = LogTail(open_client, path, show, done, what.log_lines_seen)
    tail.start()
    return tail


class LogTail(threading.Thread):
    """Shows a log's new lines until the wait is over. A log that cannot be read is no reason to fail what is waited
    for."""

    def __init__(
        self,
        open_client: Callable[[], ReflexClient],
        path: str,
        show: Progress,
        done: threading.Event,
        skip: int,
    ) -> None:
        super().__init__(name="log-tail", daemon=True)
        self._open_client, self._path, self._show, self._done, self._skip = open_client, path, show, done, skip

    def run(self) -> None:
        try:
            with self._open_client() as client:
                for line in client.follow_log(self._path, self._done.is_set, self._skip):
                    self._show.line(without_stamp(line))
        except ClientError as error:
            self._show.line(f"(the log cannot be read: {error.message})")


def without_stamp(line: str) -> str:
    """A log line without its time, which progress shows by itself."""
    stamp, space, rest = line.partition(" ")
    return rest if space and stamp.endswith("Z") and stamp[:4].isdigit() else line


def log_tail(client: ReflexClient, database_id: str) -> list[str]:
    """The last lines of the newest build's log, for an error's context; empty where there is none."""
    try:
        builds = client.list_builds(database_id)["builds"]
        return client.read_log(log_path(database_id, builds[0]["id"]))[-LOG_TAIL_LINES:] if builds else []
    except ClientError:
        return []
