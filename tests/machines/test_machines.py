"""The README's two commands on fresh machines: `make test-machines`. Only root can make them.

`make test` runs a part of the tests there, unless REFLEXDB_MACHINES is `whole`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machines.machine import USER, Machine, machine

WANTED = os.environ.get("REFLEXDB_MACHINES", "")
SOME_TESTS = "tests/cli tests/sources tests/engine/test_language.py tests/build/test_compile.py"
DEMO_LIMIT_S = 1800.0
TEST_LIMIT_S = 5400.0

pytestmark = [
    pytest.mark.skipif(not WANTED, reason="only by `make test-machines`"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make machines"),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="needs debootstrap (apt-get install debootstrap)"),
    pytest.mark.timeout(int(DEMO_LIMIT_S + TEST_LIMIT_S + 3600)),
]


@dataclass(frozen=True, slots=True)
class Place:
    """A machine, who works there, and where."""

    suite: str
    user: str
    folder: str
    packages: tuple[str, ...]

    def name(self) -> str:
        return f"{self.suite}-{self.user}-{self.packages[-1]}"


PLACES = (
    Place("bookworm", "root", "/root/reflexdb", ("git", "make")),
    Place("trixie", "root", "/srv/Reflex DB für München/reflexdb", ("git", "make")),
    Place("trixie", USER, f"/home/{USER}/mes données/reflex db", ("git", "make", "python3-venv", "g++")),
    Place("trixie", USER, f"/home/{USER}/reflexdb", ("git", "make", "python3-venv", "clang")),
    Place("sid", USER, f"/home/{USER}/reflexdb", ("git", "make", "python3-venv", "g++")),
)


@pytest.fixture(params=PLACES, ids=Place.name)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.param
    return found


@pytest.fixture
def fresh(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(place.suite, Path(tmp_path_factory.mktemp("machine")), place.packages) as made:
        made.clone(place.folder, place.user)
        yield made


def test_both_commands_work_on_a_machine(fresh: Machine, place: Place) -> None:
    demo = fresh.run(f"cd '{place.folder}' && make demo ONCE=1", user=place.user, limit_s=DEMO_LIMIT_S)

    assert demo.returncode == 0, demo.stdout[-3000:] + demo.stderr[-3000:]
    assert "every answer was right" in demo.stdout + demo.stderr

    some = "" if WANTED == "whole" else f"PYTEST_ARGS='{SOME_TESTS}'"
    tests = fresh.run(f"cd '{place.folder}' && make test {some}", user=place.user, limit_s=TEST_LIMIT_S)

    assert tests.returncode == 0, tests.stdout[-6000:] + tests.stderr[-2000:]
    print(demo.stdout[-200:], tests.stdout.strip().splitlines()[-1])
