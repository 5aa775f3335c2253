"""Programs of the toolchain run within limits and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reflexdb.build.files import locked
from reflexdb.build.process import MAX_OUTPUT_BYTES, Limits, run
from reflexdb.model.errors import BuildCancelled

from .processes import running, wait_for

SOURCE = Path(__file__).parents[2] / "src"


def test_output_and_status_come_back(tmp_path: Path) -> None:
    outcome = run(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)

    assert outcome.status == 3
    assert sorted(outcome.lines()) == ["err", "out"]
    assert not outcome.ok


def test_a_program_that_does_not_exist_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    outcome = run(["/nowhere/c++"], tmp_path)

    assert not outcome.ok
    assert "cannot start /nowhere/c++" in outcome.output


def test_endless_output_is_bounded(tmp_path: Path) -> None:
    outcome = run(["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x"], tmp_path)

    assert outcome.ok
    assert len(outcome.output) == MAX_OUTPUT_BYTES


def test_time_ends_the_program_and_its_children(tmp_path: Path) -> None:
    marker = f"86{os.getpid()}1"
    outcome = run(["sh", "-c", f"sleep {marker} & sleep {marker}"], tmp_path, Limits(wall_s=0.3))

    assert outcome.timed_out
    wait_for(lambda: not running(f"sleep\0{marker}"))


def test_cpu_and_memory_and_files_are_limited(tmp_path: Path) -> None:
    spin = run([sys.executable, "-c", "while True: pass"], tmp_path, Limits(cpu_s=1))
    greedy = run([sys.executable, "-c", "b'x' * (1 << 30)"], tmp_path, Limits(memory_bytes=512 << 20))
    wide = run(["sh", "-c", "head -c 3000000 /dev/zero > big"], tmp_path, Limits(file_bytes=1 << 20))

    assert spin.status in {128 + signal.SIGXCPU, 128 + signal.SIGKILL}
    assert "MemoryError" in greedy.output
    assert not wide.ok
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_a_program_whose_build_is_called_off_is_ended_with_its_children(tmp_path: Path) -> None:
    marker, begun = f"87{os.getpid()}1", tmp_path / "begun"

    def check() -> None:
        if begun.exists():
            raise BuildCancelled("it was cancelled")

    with pytest.raises(BuildCancelled):
        run(["sh", "-c", f"sleep {marker} & : > begun; sleep {marker}"], tmp_path, check=check)

    wait_for(lambda: not running(f"sleep\0{marker}"))


def test_waiting_for_a_lock_ends_where_the_build_is_called_off(tmp_path: Path) -> None:
    def check() -> None:
        raise BuildCancelled("it was cancelled")

    with locked(tmp_path / "lock", check), pytest.raises(BuildCancelled), locked(tmp_path / "lock", check):
        pass


def test_programs_let_whoever_asks_or_queries_go_first(tmp_path: Path) -> None:
    outcome = run(["nice"], tmp_path)

    assert int(outcome.output) > os.nice(0)


def test_the_environment_is_empty_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXDB_KEY", "secret")
    outcome = run(["env"], tmp_path)

    assert "secret" not in outcome.output
    assert {line.partition("=")[0] for line in outcome.lines()} <= {
        "PATH",
        "LC_ALL",
        "TMPDIR",
        "HOME",
        "SOURCE_DATE_EPOCH",
        "PWD",
    }


def test_a_killed_parent_leaves_no_program_behind(tmp_path: Path) -> None:
    marker = f"86{os.getpid()}2"
    script = f"sleep {marker} & sleep {marker}"
    code = f"from reflexdb.build.process import run, Path; run(['sh', '-c', '{script}'], Path('.'))"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SOURCE)})
    wait_for(lambda: len(running(f"sleep\0{marker}")) == 2)
    parent.kill()
    parent.wait(10)

    wait_for(lambda: not running(marker))
