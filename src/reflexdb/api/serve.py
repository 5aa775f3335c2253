"""`reflexdb serve`: one control plane on one data directory, until it is told to end.

`run` is called by the command line. It takes the directory's lock and the port before anything else, so that a second
start fails with one sentence and changes nothing; makes the first account and key; writes where it is reached to
`control.json`; and ends gracefully on SIGTERM and SIGINT. Instances go on running afterwards, unless the control
plane was ephemeral.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import structlog
import uvicorn
from sqlalchemy import URL

from reflexdb.api.app import create_app
from reflexdb.api.issuer_settings import issuer_settings
from reflexdb.api.settings import ApiSettings
from reflexdb.api.wire import protocol
from reflexdb.control.billing_config import read_payments, read_plans
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import DEFAULT_MIN_SYNC_INTERVAL_S, Settings
from reflexdb.model.errors import ReflexError
from reflexdb.model.issuer import IssuerSettings
from reflexdb.records.address import records_url
from reflexdb.records.secrets import sweep_private, write_private

CANNOT_SERVE = 2
"""Exit status where the directory or the port can't be used."""

OPERATOR_KEY_FILE = "operator.key"
MIN_SYNC_INTERVAL_VARIABLE = "REFLEXDB_MIN_SYNC_INTERVAL_S"
_GRACE_S = 5
_BACKLOG = 512
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # compared with, not bound


class CannotServe(Exception):
    """Says in one sentence why the control plane can't start."""


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
) -> None:
    """Serve until SIGTERM or SIGINT. Exits with status 2 and one line on standard error where it can't start."""
    try:
        issuer = issuer_settings(oidc or {}, os.environ)
        limits = (api or ApiSettings()).checked()
        _run(data_dir, host, port, ephemeral, min_sync_interval_s, public_url, records_url(records), issuer, limits)
    except (CannotServe, ReflexError) as exc:
        sys.stderr.write(f"reflexdb serve: {exc}\n")
        raise SystemExit(CANNOT_SERVE) from exc


def _run(
    data_dir: Path,
    host: str,
    port: int,
    ephemeral: bool,
    min_sync_interval_s: int | None,
    public_url: str | None,
    records: URL | None,
    issuer: IssuerSettings | None,
    api: ApiSettings,
) -> None:
    least = _min_sync_interval() if min_sync_interval_s is None else min_sync_interval_s
    data_dir = _prepared(data_dir)
    with _locked(data_dir), _listening(host, port) as listener, _logging(data_dir):
        sweep_private(data_dir)
        url = public_url or _url(host, listener)
        settings = Settings(
            base_url=url.rstrip("/"), min_sync_interval_s=least, issuer=issuer, plans=read_plans(os.environ)
        )
        control = open_control(data_dir, settings, host, records, read_payments(os.environ, settings.base_url))
        _welcome(control, data_dir, url)
        _serve(control, listener, data_dir, url, ephemeral=ephemeral, api=api)


def _serve(
    control: Control, listener: socket.socket, data_dir: Path, url: str, *, ephemeral: bool, api: ApiSettings
) -> None:
    log = structlog.get_logger()
    control.start()
    where = data_dir / "control.json"
    write_private(where, json.dumps({"url": url, "pid": os.getpid()}).encode())
    log.info("serving", url=url, pid=os.getpid(), ephemeral=ephemeral)
    config = uvicorn.Config(
        create_app(control, api),
        http=protocol(api),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    try:
        with _signals_end_the_server_only():
            _Server(config, control).run(sockets=[listener])
    finally:
        where.unlink(missing_ok=True)
        control.stop()
        if ephemeral:
            control.rooms.deployer.stop_all()
        control.rooms.store.close()
        log.info("stopped", ephemeral=ephemeral)


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
        with _locked(path.parent):
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
    text = os.environ.get(MIN_SYNC_INTERVAL_VARIABLE, "")
    if not text:
        return DEFAULT_MIN_SYNC_INTERVAL_S
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise CannotServe(f"{MIN_SYNC_INTERVAL_VARIABLE} must be a whole number of seconds, at least 1")
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
    return data_dir.absolute()


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """One control plane per directory; the kernel releases the lock however the process ends."""
    try:
        file: IO[str] = (data_dir / "control.lock").open("a")
    except OSError as exc:
        raise CannotServe(f"{data_dir} can't be the data directory: {exc.strerror}") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise CannotServe(
                f"another control plane runs on {data_dir}; end it first, or choose another --data"
            ) from exc
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
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


@contextmanager
def _logging(data_dir: Path) -> Iterator[None]:
    """Events as JSON lines in logs/control.log; what libraries warn of goes there too."""
    file = (data_dir / "logs" / "control.log").open("a", encoding="utf-8", buffering=1)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("action"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=False,
    )
    handler = _ToStructlog(level=logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()
        with suppress(OSError):
            file.close()


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, "library", logger=record.name, text=record.getMessage(), exc_info=record.exc_info
        )
