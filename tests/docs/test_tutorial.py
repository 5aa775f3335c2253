"""The tutorial's commands are run, in order, in one shell, as a reader would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import OURS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
REFLEXDB = '#!/bin/sh\nexec "{python}" -m reflexdb.cli.main "$@"\n'
LIMIT_S = 500


@pytest.mark.timeout(560)
def test_every_block_of_the_tutorial_works(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 9
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "reflexdb").write_text(REFLEXDB.format(python=sys.executable))
    (programs / "reflexdb").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = "set -euxo pipefail\n" + "\n".join(blocks) + "\nwait\n"

    outcome = run(["bash", "-c", script], tmp_path, environment)

    assert outcome.returncode == 0, outcome.stdout[-6000:]
    for answer in ("Zoë", "250.5", "Danmark", '"email":"zoe@example.com"', "2026-04-03"):
        assert answer in outcome.stdout.replace('": "', '":"')


def run(command: list[str], place: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run in a session of its own, of which nothing is left afterwards."""
    process = subprocess.Popen(
        command,
        cwd=place,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    return subprocess.CompletedProcess(command, process.returncode, said)
