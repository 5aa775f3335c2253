"""Servers as the kernel has them: started and ended, their CPU time and memory, and on which core they may run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

START_LIMIT_S = 120.0
STOP_LIMIT_S = 20.0
PR_SET_PDEATHSIG = 1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def find(program: str) -> str | None:
    """A program on PATH or where system daemons are."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/exe").readlink().name


def cpu_seconds(pids: list[int], *, ended: bool = False) -> float:
    """User and system time of all threads of these processes; with `ended`, of their ended children too."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # one that ended meanwhile
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11 : 15 if ended else 13]))
    return total / TICKS_PER_S


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for each in found:  # grows while it is walked
        with contextlib.suppress(OSError):
            found += [child for child in children(each) if child not in found]
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], what: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace")[-1000:] if log is not None else ""
    raise RuntimeError(f"{what} did not start: {said}")


@contextlib.contextmanager
def program(
    command: list[str], what: str, port: int, folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is there from when its port takes connections until the block ends; its log is in the folder."""
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            preexec_fn=_die_with_parent,
        )
    try:
        wait_for_port(port, process, what, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def held_bytes(pids: list[int]) -> int:
    """Memory in use, shared pages by halves: the kernel's proportional account where it gives one."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            kilobytes += int(found[1]) if found else 0
    return kilobytes * 1024 or resident_bytes(pids)


def resident_bytes(pids: list[int]) -> int:
    """Memory in use, by the kernel's account."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Of every thread of a process."""
    return [
        int(child) for listing in Path(f"/proc/{pid}/task").glob("*/children") for child in listing.read_text().split()
    ]


@contextlib.contextmanager
def on_core(pids: list[int], core: int) -> Iterator[None]:
    """Keep every thread of these processes on one core, where there is another one for the load."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        yield
        return
    chosen = sorted(cores)[core]
    threads = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    former = {thread: os.sched_getaffinity(thread) for thread in threads}
    own = os.sched_getaffinity(0)
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {chosen})
        os.sched_setaffinity(0, cores - {chosen})
        yield
    finally:
        os.sched_setaffinity(0, own)
        for thread, mask in former.items():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, mask)


def machine() -> str:
    """Processor, number of cores and kernel, in a line."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Linux {os.uname().release}"


def is_root() -> bool:
    return os.geteuid() == 0


def machine_load() -> str:
    """Over the last minute, five and fifteen."""
    return ", ".join(f"{share:.1f}" for share in os.getloadavg())
