"""What the compiled server of an instance is to its machine: without privileges it does not need, and without memory it
does not need any more."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from reflexdb.deploy.local.processes import Role
from tests.deploy.site import Site
from tests.sync.waiting import until

FILTERED = "2"
ROWS = 100_000
LARGE_MB = 60
"""About what the rows of `people` take, each with 500 bytes of text."""


def status(pid: int, name: str) -> list[str]:
    """The value for every thread of the process."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            match = re.search(rf"^{name}:\s+(\S+)", (thread / "status").read_text(), re.MULTILINE)
            assert match
            found.append(match[1])
    return found


def resident_mb(pid: int) -> float:
    return int(status(pid, "VmRSS")[0]) / 1024


def test_no_thread_of_a_server_can_gain_privileges_or_make_any_system_call(site: Site) -> None:
    deployed = site.deploy()
    pid = site.process(Role.SERVER)
    assert pid is not None

    assert set(status(pid, "NoNewPrivs")) == {"1"}
    assert set(status(pid, "Seccomp")) == {FILTERED}
    assert len(site.query(deployed.port)) == 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_of_rows_that_are_gone_goes_back_to_the_system(site: Site) -> None:
    with contextlib.closing(sqlite3.connect(site.file)) as db, db:
        db.execute(
            "INSERT INTO people WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "SELECT i, printf('%0500d', i) FROM n",
            (ROWS + 9,),
        )
    deployed = site.deploy(memory_cap_mb=1024)
    pid = site.process(Role.SERVER)
    assert pid is not None
    assert site.query(deployed.port, "people { count() }") == {"count": ROWS + 2}
    full = resident_mb(pid)
    assert full > LARGE_MB * 0.8

    with contextlib.closing(sqlite3.connect(site.file)) as db, db:
        db.execute("DELETE FROM people WHERE id >= 10")
    until(lambda: site.query(deployed.port, "people { count() }") == {"count": 2})
    until(lambda: resident_mb(pid) < full - LARGE_MB * 0.7, "less memory")
