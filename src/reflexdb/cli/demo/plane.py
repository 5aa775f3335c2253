"""A control plane of the demo's own: started as a program of its own, watched, and taken down with everything it
started.

Used by the demo and the benchmark. The data directory is made fresh and carries a mark, without which nothing is ever
removed. However the demo ends, by Ctrl-C, SIGTERM, SIGHUP, an error or a kill that it never sees, nothing goes on
running: the instances stop with the control plane, and it stops with the demo.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import httpx

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.client import ReflexClient

SETTINGS = frozenset({"REFLEXDB_URL", "REFLEXDB_KEY", "REFLEXDB_DATA", "REFLEXDB_MIN_SYNC_INTERVAL_S"})
"""What a person has set for another control plane."""
MARK = ".reflexdb-demo"
PREFERRED_PORT = 8400
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
SWEEP_TIMEOUT_S = 5.0
PR_SET_PDEATHSIG = 1
LOG_TAIL_LINES = 20


class Plane:
    """One running control plane on a data directory."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes], url: str) -> None:
        self.data, self.process, self.url = data, process, url

    def client(self) -> ReflexClient:
        return ReflexClient(self.url, (self.data / "admin.key").read_text().strip())

    def alive(self) -> bool:
        return self.process.poll() is None

    def problems(self) -> list[str]:
        """The last warnings and errors of the control plane's log, one line each."""
        with contextlib.suppress(OSError):
            lines = (self.data / "logs/control.log").read_text(errors="replace").splitlines()
            return [line for line in lines if _is_problem(line)][-LOG_TAIL_LINES:]
        return []


def printed(data: Path) -> list[str]:
    """The end of what the control plane of `data` printed, without the management key that the first start prints."""
    with contextlib.suppress(OSError):
        text = (data / "serve.log").read_text(errors="replace").strip()
        with contextlib.suppress(FileNotFoundError):
            text = text.replace((data / "admin.key").read_text().strip() or "\0", "***")
        return text.splitlines()[-LOG_TAIL_LINES:]
    return []


def _is_problem(line: str) -> bool:
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(line).get("level") in ("warning", "error", "critical")
    return False


@contextlib.contextmanager
def running(place: Path) -> Iterator[Plane]:
    """A control plane below a fresh `place`, gone with all its instances when the block ends.

    It has a directory of its own there: beside it is room for a source, which may not lie in a data directory.
    """
    fresh(place)
    data = place / "plane"
    data.mkdir()
    with ended_by_signals():
        process = start(data, PREFERRED_PORT if is_free(PREFERRED_PORT) else 0)
        try:
            if lost_the_port(data, process):
                process = start(data, 0)
            yield Plane(data, process, wait_until_healthy(data, process))
        finally:
            with signals_ignored():
                stop(process)
                sweep(place)


def fresh(data: Path) -> None:
    """An empty directory with our mark; an old demo's content goes, anybody else's stays and is refused."""
    if data.exists() and any(data.iterdir()):
        if not (data / MARK).exists():
            raise CommandFailed(Exit.USAGE, f"{data} is not empty and no demo made it; choose another --data")
        if users := processes_in(data):
            raise CommandFailed(Exit.CONFLICT, f"another demo runs in {data} (process {users[0]}); end it first")
        clear(data, kept="cache")
    data.mkdir(parents=True, exist_ok=True)
    (data / MARK).touch()


def clear(data: Path, *, kept: str) -> None:
    """Everything goes but the compiled engine, which is known by its content and takes longest to make."""
    for entry in data.iterdir():
        if entry.name == kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def start(data: Path, port: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "reflexdb.cli.main",
        "serve",
        "--ephemeral",
        "--data",
        str(data),
        "--min-sync-interval",
        "1",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment.setdefault("REFLEXDB_ENGINE_CACHE", str(data.parent / "cache"))
    parent = os.getpid()
    with (data / "serve.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches the demo alone, which then ends everything in order.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            cwd=data,
            preexec_fn=lambda: die_with(parent),
        )


def die_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent is gone; a no-op on systems that cannot."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def is_free(port: int) -> bool:
    """Whether the port can be listened on now; somebody else may still be quicker."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def lost_the_port(data: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether the control plane ended at once because somebody else was quicker to listen."""
    until(lambda: process.poll() is not None or (data / "control.json").exists(), START_TIMEOUT_S)
    return process.poll() is not None and b"can't listen" in (data / "serve.log").read_bytes()


def wait_until_healthy(data: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, ValueError, KeyError, httpx.HTTPError):
            url = str(json.loads((data / "control.json").read_text())["url"])
            if httpx.get(f"{url}/healthz", trust_env=False, timeout=2).status_code == 200:
                return url
        time.sleep(0.05)
    state = f"ended with {process.returncode}" if process.poll() is not None else "did not become healthy"
    raise CommandFailed(Exit.FAILED, f"the control plane {state}; its log ends as above", printed(data))


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and make it after a while."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def sweep(data: Path) -> None:
    """End what still runs inside the data directory: instances whose control plane could not stop them."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        for pid in processes_in(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, order)
        if until(lambda: not processes_in(data), SWEEP_TIMEOUT_S):
            return


def processes_in(data: Path) -> list[int]:
    """Servers and helpers of ReflexDB at work inside `data`. A shell or an editor that somebody opened there is not one
    of them."""
    root = data.resolve()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            place, program = (entry / "cwd").readlink(), (entry / "exe").readlink()
            words = (entry / "cmdline").read_bytes().split(b"\0")
            ours = root in program.parents or any(word.startswith(b"reflexdb.") for word in words)
            if ours and (place == root or root in place.parents) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def until(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an ordinary end, so that everything is taken down as after Ctrl-C."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_ignored() -> Iterator[None]:
    """A second Ctrl-C must not leave processes behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
