"""What the kernel says of a server's processes: their CPU time, and on which core they may run."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def find(program: str) -> str | None:
    """A program on PATH or where system daemons are."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/exe").readlink().name


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of all threads of these processes."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


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
