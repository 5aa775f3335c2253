"""`python -m reflexdb.sync --dir DIR`: the process beside each server.

Reads its settings from DIR and the source's password from standard input, works in a thread, and answers the command
socket in the main one, so that a signal ends the process at once wherever the source's driver happens to be. Exit
status: 0 after SIGTERM or SIGINT, 2 for settings that can't be used, 3 where another sync process has the directory.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import structlog

from reflexdb.model.errors import ReflexError
from reflexdb.sources import open_source
from reflexdb.sync import commands
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.definitions import Definitions
from reflexdb.sync.failures import Failures
from reflexdb.sync.loop import Loop
from reflexdb.sync.modes import choose_mode, guard
from reflexdb.sync.orders import Orders
from reflexdb.sync.schedule import Schedule
from reflexdb.sync.settings import SyncProcessSettings, read_secret

LOCK_NAME = "sync.lock"
SWITCH_S = 0.0005
"""How long another thread, which looks at the source's definitions, may keep the interpreter while a change waits for
it; 5 ms by default, and a change waits several times."""
LOCK_WAIT_S = 5.0
"""A predecessor that was told to end has this long to do so."""


class _Stopped(BaseException):
    """A signal asked for the end."""


class _Busy(Exception):
    """Another sync process has the directory."""


def main() -> NoReturn:
    """Run until a signal. Leaves by os._exit: a thread inside a database driver must not delay the end."""
    status = 1
    try:
        _run()
    except _Stopped:
        status = 0
    except _Busy:
        structlog.get_logger().error("already_running", reason="another sync process has the instance directory")
        status = 3
    except ReflexError as exc:
        structlog.get_logger().error("start_failed", error=exc.code, reason=exc.message)
        status = 2
    except Exception:
        structlog.get_logger().exception("sync_crashed")
    finally:
        sys.stderr.flush()
        os._exit(status)


def _run() -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m reflexdb.sync", description="Keeps one server's snapshot fresh.")
    parser.add_argument(
        "--dir", type=Path, required=True, help="the instance directory, with sync.json and server.sock"
    )
    directory: Path = parser.parse_args().dir.absolute()
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    _log_as_json("info")
    settings = SyncProcessSettings.load(directory, read_secret(sys.stdin.buffer))
    _close_standard_input()
    _log_as_json(settings.log_level)
    with _locked(directory):
        _serve(directory, settings)


def _serve(directory: Path, settings: SyncProcessSettings) -> NoReturn:
    log = structlog.get_logger()
    plan, orders, failures = settings.plan, Orders(directory), Failures()
    definitions = Definitions(
        lambda: open_source(settings.address),
        plan.schema,
        lambda: not orders.paused,
        lambda: mode.definitions(),
        lambda: mode.suspect(),
        failures,
    )
    mode = choose_mode(settings, directory, definitions.hint, failures)
    log.info("sync_started", mode=mode.name, interval_s=settings.interval_s)
    if settings.mode != mode.name:
        log.warning("mode_not_supported", mode=settings.mode, used=mode.name)
    loop = Loop(
        connect=lambda: PrivateChannel(directory),
        fingerprint=plan.fingerprint(),
        mode=mode,
        schedule=Schedule(settings.interval_s, settings.safety_net_s),
        orders=orders,
        definitions=lambda: definitions.digest,
        failures=failures,
    )
    listening = commands.listen(directory)
    definitions.start()
    if (guarding := guard(settings, directory, failures)) is not None:
        guarding.start()
    threading.Thread(target=_run_or_die, args=(loop,), name="sync", daemon=True).start()
    try:
        commands.serve(listening, orders, mode.known)
    finally:
        (directory / commands.SOCKET_NAME).unlink(missing_ok=True)


def _run_or_die(loop: Loop) -> None:
    """The loop handles what can be handled; anything else must end the process, so that it is started again."""
    try:
        loop.run()
    finally:
        os._exit(1)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _Stopped


def _locked(directory: Path) -> IO[bytes]:
    """Hold the directory: two sync processes would replace each other's connection without end."""
    lock = (directory / LOCK_NAME).open("ab")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _Busy from None
            time.sleep(0.05)
        else:
            return lock


def _close_standard_input() -> None:
    """The deployer's pipe goes; number 0 stays taken, so that no socket gets it."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


def _log_as_json(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.EventRenamer("action"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING}
_LEVELS["error"] = logging.ERROR

if __name__ == "__main__":
    main()
