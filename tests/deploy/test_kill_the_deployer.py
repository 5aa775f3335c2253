"""kill -9 of the control plane at every step of a deployment: the next one ends up with exactly one instance."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reflexdb.build.base import BuildResult
from reflexdb.deploy.local.processes import Role
from tests.deploy.load import Load
from tests.deploy.site import Site
from tests.sync.waiting import until

ROOT = Path(__file__).parent.parent.parent
CHILD = """
import os, pickle, signal, sys
from pathlib import Path
from tests.deploy.site import Site
root, image, fatal = Path(sys.argv[1]), pickle.load(sys.stdin.buffer), int(sys.argv[2])
site = Site(root, *image)
said = 0
def log(line):
    global said
    said += 1
    if said == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
site.deployer.deploy(site.spec("d2"), log)
"""
STEPS = 10
"""Lines a replacing deployment logs. The last case here runs through, which shows that none was left out."""


@pytest.mark.parametrize("fatal", range(1, STEPS + 2))
def test_killed_at_any_step_it_ends_with_one_instance_and_no_failed_query(
    site: Site, built: tuple[Path, BuildResult], fatal: int
) -> None:
    first = site.deploy("d1")
    site.deployer.close()
    with Load(first.port, threads=2) as load:
        until(lambda: load.answered > 10)
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(site.root), str(fatal)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            input=pickle.dumps(built),
            check=False,
            timeout=120,
        )
        site.deployer = site.new_deployer()
        site.supervise()
        until(lambda: len(site.entries()) == 2 and site.healthy(), "one deployment, healthy")
        so_far = load.answered
        until(lambda: load.answered > so_far + 10)

    assert child.returncode == (0 if fatal > STEPS else -signal.SIGKILL)
    assert load.failures == []
    assert [deployed.port for deployed in site.deployer.deployed()] == [first.port]
    assert sorted(site.stray_processes()) == sorted(pid for role in Role if (pid := site.process(role)))
