"""A run of everything fails on what is documented and was not seen; tried on small suites with a real API in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTED = """
import tests.contract.plugin as plugin
plugin.documented = lambda: {("listDatabases", "200"), ("listDatabases", "401")}
pytest_plugins = ["tests.contract.plugin"]
"""
ASKS = """
import pytest
from starlette.testclient import TestClient
from reflexdb.api.app import create_app
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings

@pytest.mark.parametrize("status", {statuses})
def test_one(tmp_path, status):
    control = open_control(tmp_path, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1")
    key = control.accounts.ensure_first().key if status == 200 else "none"
    with TestClient(create_app(control)) as client:
        reply = client.get("/v1/databases", headers={{"Authorization": "Bearer " + key}})
    assert reply.status_code == status

def test_other():
    {other}
"""


def run(place: Path, *arguments: str, statuses: str = "[200, 401]", other: str = "pass") -> tuple[int, str]:
    """A suite of these requests and one test more; how pytest ended and what it said."""
    (place / "tests").mkdir()
    (place / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (place / "tests" / "conftest.py").write_text(DOCUMENTED)
    (place / "tests" / "test_asks.py").write_text(ASKS.format(statuses=statuses, other=other))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "REFLEXDB_A"))}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=280)
    return done.returncode, done.stdout + done.stderr


def test_a_run_of_everything_that_saw_everything_passes(tmp_path: Path) -> None:
    code, said = run(tmp_path, "-n", "2")

    assert code == 0, said
    assert "listDatabases" not in said


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_run_of_everything_fails_on_an_answer_that_nobody_saw(tmp_path: Path, workers: tuple[str, ...]) -> None:
    code, said = run(tmp_path, *workers, statuses="[200]")

    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "listDatabases 401" in said
    assert "listDatabases 200" not in said


def test_a_part_of_the_suite_is_not_asked_for_everything_unless_it_is_told_so(tmp_path: Path) -> None:
    part, whole = tmp_path / "part", tmp_path / "whole"
    part.mkdir()
    whole.mkdir()

    assert run(part, "-k", "test_other")[0] == 0
    assert run(whole, "-k", "test_other", "--every-answer")[0] == pytest.ExitCode.TESTS_FAILED


def test_a_worker_that_dies_fails_the_run_for_itself_alone(tmp_path: Path) -> None:
    code, said = run(tmp_path, "-n", "1", other="__import__('os')._exit(3)")

    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "listDatabases" not in said
