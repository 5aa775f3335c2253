"""A build's log is written line by line, whole lines only, and stands in nobody's way where it can't be written."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from reflexdb.control.build_log import BuildLog, log_path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "2026-01-02T03:04:05.000Z"
NO_ROOM = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from reflexdb.control.build_log import BuildLog
note = BuildLog(Path(sys.argv[1]), lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
note("one")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))  # the next line begins to fit
note("two")
note("three")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
note("four")
"""


def test_a_line_that_does_not_fit_on_the_disk_is_left_out_whole_and_counted(tmp_path: Path) -> None:
    log = tmp_path / "b.log"
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(log)], capture_output=True, text=True, check=True, timeout=120
    )

    assert log.read_text().splitlines() == [
        f"{STAMP} one", f"{STAMP} (lines that could not be written: 2)", f"{STAMP} four",
    ]  # fmt: skip
    assert done.stdout.count("build_log_not_written") == 2


def test_a_log_that_can_not_be_opened_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")
    note = BuildLog(log_path(tmp_path, "b"), lambda: NOW)

    note("one")
    (tmp_path / "logs").unlink()
    note("two")

    assert "could not be written: 1" in log_path(tmp_path, "b").read_text()


def test_what_a_line_quotes_forges_no_other_line(tmp_path: Path) -> None:
    note = BuildLog(tmp_path / "b.log", lambda: NOW)
    note("a name: x\n2026-01-02T03:04:05.000Z FAILED \x1b[31m")

    assert (tmp_path / "b.log").read_text() == f"{STAMP} a name: x\\n2026-01-02T03:04:05.000Z FAILED \\x1b[31m\n"
