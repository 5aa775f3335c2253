"""`reflexdb serve`: one control plane on one data directory, until it is told to end.

`run` is called by the command line. It takes the directory's lock and the port before anything else, so that a second
start fails with one sentence and changes nothing; makes the first account and key; writes where it is reached to
`control.json`; and ends gracefully on SIGTERM and SIGINT. Instances go on running afterwards, unless the control
plane was ephemeral.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog
import uvicorn
from sqlalchemy import URL

from reflexdb.api.app import create_app
from reflexdb.api.closed_files import close_to_others, files_closed_to_others
from reflexdb.api.issuer_settings import issuer_settings
from reflexdb.api.logs import logging_to
from reflexdb.api.settings import ApiSettings
from reflexdb.api.telemetry import opened
from reflexdb.api.wire import protocol
from reflexdb.control.billing_config import read_payments, read_plans
from reflexdb.control.control import Control
from reflexdb.control.image_places import read_image_places
from reflexdb.control.local import open_control
from reflexdb.control.rooms import (
    DEFAULT_KEEP_IMAGES,
    DEFAULT_LEASE_S,
    DEFAULT_MIN_SYNC_INTERVAL_S,
    BuildLimits,
    Settings,
)
from reflexdb.control.sqlite_files import named_directories
from reflexdb.model.errors import LeaseLost, RecordsUnavailable, ReflexError
from reflexdb.model.issuer import IssuerSettings
from reflexdb.model.observing import Observing
from reflexdb.model.rollout import RolloutSettings
from reflexdb.records.address import records_url
from reflexdb.records.secrets import sweep_private, write_private
from reflexdb.sources.apart import VARIABLES, Deadlines, Kind

CANNOT_SERVE = 2
"""Exit status where the directory or the port can't be used."""

LEASE_LOST = 75
"""Exit status where another plane took over: whoever runs this one may start it again at once."""

OPERATOR_KEY_FILE = "operator.key"
MIN_SYNC_INTERVAL_VARIABLE = "REFLEXDB_MIN_SYNC_INTERVAL_S"
LEASE_VARIABLE = "REFLEXDB_LEASE_S"
KEEP_IMAGES_VARIABLE = "REFLEXDB_KEEP_IMAGES"
STANDBY_VARIABLE = "REFLEXDB_STANDBY_S"
ERROR_PERCENT_VARIABLE = "REFLEXDB_ROLLBACK_ERROR_PERCENT"
_GRACE_S = 5
_BACKLOG = 512
_KEEP_ALIVE_S = 75
"""Longer than proxies keep an idle connection (nginx and HAProxy 60 s): the side that may send a request closes it."""
_SWITCH_S = 0.0002
"""How long a thread that carries out a job may keep the interpreter while a request waits for it; 5 ms by default, and
a request waits several times."""
_COLLECT_AFTER = (20_000, 20, 20)
"""Objects made, and looks at younger ones, before the collector looks for cycles in each of its generations. A list of
a thousand databases makes more objects than the default, 700, a hundred times over."""
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # compared with, not bound


class CannotServe(Exception):
    """Says in one sentence why the control plane can't start."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the operator chose beyond the place, checked."""

    min_sync_interval_s: int
    public_url: str | None
    records: URL | None
    issuer: IssuerSettings | None
    api: ApiSettings
    observing: Observing
    builds: BuildLimits


def run(
    data_dir: Path,
    host: str,
    port: int,
    *,
    ephemeral: bool = False,
    min_sync_interval_s: int | None = None,
    public_url: str | None = None,
    records: str | None = None,
    oidc: Mapping[str, str | None] | None = None,
    api: ApiSettings | None = None,
    observing: Observing | None = None,
    builds: BuildLimits | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Exits with status 2 and one line on standard error where it can't start."""
    try:
        chosen = _Chosen(
            min_sync_interval_s=_min_sync_interval() if min_sync_interval_s is None else min_sync_interval_s,
            public_url=public_url,
            records=records_url(records),
            issuer=issuer_settings(oidc or {}, os.environ),
            api=(api or ApiSettings()).checked(),
            observing=observing or Observing(),
            builds=builds or BuildLimits(),
        )
        with files_closed_to_others():
            _run(data_dir, host, port, chosen, ephemeral=ephemeral)
        _leave_what_takes_longer()
    except (CannotServe, ReflexError, OSError) as exc:
        sys.stderr.write(f"reflexdb serve: {exc}\n")
        raise SystemExit(CANNOT_SERVE) from exc


def _run(data_dir: Path, host: str, port: int, chosen: _Chosen, *, ephemeral: bool) -> None:
    data_dir = _prepared(data_dir)
    log_file, observing = data_dir / "logs" / "control.log", chosen.observing
    with (
        _locked(data_dir, shared=chosen.records is not None),
        _listening(host, port) as listener,
        logging_to(log_file, observing.log_level, observing.log_form),
        opened(observing, os.environ) as telemetry,
    ):
        sweep_private(data_dir)
        url = (chosen.public_url or _url(host, listener)).rstrip("/")
        settings = Settings(
            base_url=url,
            min_sync_interval_s=chosen.min_sync_interval_s,
            issuer=chosen.issuer,
            plans=read_plans(os.environ),
            lease_s=_lease(),
            builds=chosen.builds,
            deadlines=_deadlines(),
            sqlite_directories=named_directories(os.environ),
            rollouts=_rollouts(),
            keep_images=_whole_number(KEEP_IMAGES_VARIABLE, DEFAULT_KEEP_IMAGES, 0, "of images"),
        )
        payments = read_payments(os.environ, url)
        images = read_image_places(os.environ)
        control = open_control(data_dir, settings, host, chosen.records, payments, telemetry, images)
        _welcome(control, data_dir, url)
        app = create_app(control, chosen.api, telemetry)
        config = uvicorn.Config(
            app,
            http=protocol(chosen.api),
            ws="none",
            log_config=None,  # uvicorn's own lines go where ours go; requests are told by our own middleware
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            server_header=False,
        )
        _serve(control, config, listener, data_dir / "control.json", url, ephemeral=ephemeral)


def _leave_what_takes_longer() -> None:
    """Everything is in order, and the next start does again what has not ended by now. The interpreter would wait for
    it: for a minute of compiling, for a source that does not answer."""
    if threading.active_count() > 1 and threading.current_thread() is threading.main_thread():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _rollouts() -> RolloutSettings:
    usual = RolloutSettings()
    standby_s = _whole_number(STANDBY_VARIABLE, round(usual.standby_s), 0, "of seconds")
    percent = _whole_number(ERROR_PERCENT_VARIABLE, round(usual.error_rate * 100), 0, "of percent")
    return RolloutSettings(standby_s, percent / 100)


def _deadlines() -> Deadlines:
    usual = Deadlines()
    seconds = (_whole_number(VARIABLES[kind], round(usual.of(kind)), 1, "of seconds") for kind in Kind)
    return Deadlines(*map(float, seconds))


def _serve(
    control: Control, config: uvicorn.Config, listener: socket.socket, where: Path, url: str, *, ephemeral: bool
) -> None:
    log = structlog.get_logger()
    control.on_lost = lambda: os._exit(LEASE_LOST)
    sys.setswitchinterval(_SWITCH_S)
    _spare_the_collector()
    control.start()

    def tell() -> None:
        write_private(where, json.dumps({"url": url, "pid": os.getpid()}).encode())

    control.on_takeover = tell  # it may have named the one that is gone
    tell()
    log.info("serving", url=url, pid=os.getpid(), ephemeral=ephemeral)
    try:
        with _signals_end_the_server_only():
            _Server(config, control).run(sockets=[listener])
    finally:
        control.stop()
        _take_back(where, _other_plane(control))
        if ephemeral:
            control.rooms.deployer.stop_all()
        control.rooms.store.close()
        log.info("stopped", ephemeral=ephemeral)


def _spare_the_collector() -> None:
    """What is loaded by now stays until the end: a look for cycles that walks through all of it would make a request
    wait for tens of milliseconds, and find nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _other_plane(control: Control) -> str | None:
    with suppress(RecordsUnavailable, LeaseLost):
        return control.leave()
    return None


def _take_back(where: Path, other: str | None) -> None:
    """Say no longer that the control plane is here; where another goes on, name that one."""
    with suppress(OSError, ValueError):
        if json.loads(where.read_bytes())["pid"] != os.getpid():
            return
    where.unlink(missing_ok=True)
    if other is not None:
        write_private(where, json.dumps({"url": other, "pid": None}).encode())


@contextmanager
def _signals_end_the_server_only() -> Iterator[None]:
    """The server raises a signal that ended it once more, which would end the process before anything was put in
    order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Tells control at the first signal, so that answers that follow a log end at once.

    The signal is not raised again after the end, as uvicorn would: what comes after serving must still be done.
    """

    def __init__(self, config: uvicorn.Config, control: Control) -> None:
        super().__init__(config)
        self._control = control

    def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002
        self._control.begin_stop()
        self.force_exit = self.should_exit
        self.should_exit = True


def _welcome(control: Control, data_dir: Path, url: str) -> None:
    path, operator_path = data_dir / "admin.key", data_dir / OPERATOR_KEY_FILE
    first = control.accounts.ensure_first(_keeper(path))
    made_operator = control.accounts.operators.ensure_first(_keeper(operator_path))
    if first is not None:
        sys.stdout.write(
            f"Management key, shown this once and kept in {path}:\n\n    {first.key}\n\nServing at {url}\n"
        )
    if made_operator:
        sys.stdout.write(f"Operator key, for `reflexdb admin`, kept in {operator_path}\n")
    sys.stdout.flush()


def _keeper(path: Path) -> Callable[[str], None]:
    return lambda key: write_private(path, f"{key}\n".encode())


def reset_operator_key(data_dir: Path, records: str | None = None) -> Path:
    """Make a new operator key, and every earlier one invalid; returns the file that has it.

    For a directory on which no control plane runs. Exits like `run` where that is not so.
    """
    try:
        if not (data_dir / "control.lock").exists():
            raise CannotServe(f"no control plane has run on {data_dir}; `reflexdb serve` makes the first operator key")
        path = _prepared(data_dir) / OPERATOR_KEY_FILE
        with _locked(path.parent, shared=False):
            control = open_control(path.parent, Settings(base_url=""), "127.0.0.1", records_url(records))
            try:
                control.accounts.operators.reset(_keeper(path))
            finally:
                control.rooms.store.close()
    except (CannotServe, ReflexError) as exc:
        sys.stderr.write(f"reflexdb admin reset-key: {exc}\n")
        raise SystemExit(CANNOT_SERVE) from exc
    return path


def _min_sync_interval() -> int:
    return _seconds(MIN_SYNC_INTERVAL_VARIABLE, DEFAULT_MIN_SYNC_INTERVAL_S, 1)


def _lease() -> float:
    return _seconds(LEASE_VARIABLE, int(DEFAULT_LEASE_S), 2)


def _seconds(variable: str, default: int, least: int) -> int:
    return _whole_number(variable, default, least, "of seconds")


def _whole_number(variable: str, default: int, least: int, what: str) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise CannotServe(f"{variable} must be a whole number {what}, at least {least}")
    return int(text)


def _prepared(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data_dir / "logs" / "builds").mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as exc:
        raise CannotServe(f"{data_dir} can't be the data directory: a file is in the way") from exc
    except OSError as exc:
        raise CannotServe(f"{data_dir} can't be the data directory: {exc.strerror}") from exc
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise CannotServe(f"{data_dir} can't be the data directory: it is not writable")
    close_to_others(data_dir)
    return data_dir.absolute()


@contextmanager
def _locked(data_dir: Path, *, shared: bool) -> Iterator[None]:
    """One control plane per directory, or several that share their records; the kernel releases the lock however the
    process ends."""
    try:
        file: IO[str] = (data_dir / "control.lock").open("a")
    except OSError as exc:
        raise CannotServe(f"{data_dir} can't be the data directory: {exc.strerror}") from exc
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as exc:
            raise CannotServe(
                f"another control plane runs on {data_dir}; end it first, or choose another --data"
            ) from exc
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # Only for a socket that says it is TCP does the event loop turn off the waiting for fuller packets, which
        # would hold back the body of a short answer until its headers were acknowledged, some 40 ms later.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, UnicodeError, OverflowError) as exc:
        raise CannotServe(f"can't listen on {host!r}: it is not an address of this machine") from exc
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except (OSError, OverflowError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise CannotServe(f"can't listen on {host} port {port}: {why}; choose another --port") from exc
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    shown = _ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{listener.getsockname()[1]}"
