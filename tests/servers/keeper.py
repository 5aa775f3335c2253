"""Starts one test server, says where it is, and ends it when its last user is gone. Run by shared.py: keeper.py
KIND DIRECTORY.

The server is told to die with the keeper (PR_SET_PDEATHSIG), so that even a keeper killed outright leaves no server.
The server's own files are in a new directory under the system's temporary one, because an unprivileged server cannot
enter pytest's.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.servers import mariadb, mysql, postgres
from tests.servers.shared import Server
from tests.servers.versions import POSTGRES_VERSIONS

KINDS: dict[str, Callable[[Path], tuple[subprocess.Popen[bytes], Server]]] = {
    "mariadb": mariadb.start,
    "mariadb-next": mariadb.start_next,
    "mysql": mysql.start,
    "mysql-without-gtids": mysql.start_without_gtids,
    "postgres": postgres.start,
    **{f"postgres{version}": partial(postgres.start, version=version) for version in POSTGRES_VERSIONS},
}


def main(kind: str, shared: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix=f"reflexdb-{kind}-"))
    (shared / f"{kind}.keeper").write_text(str(os.getpid()))
    process: subprocess.Popen[bytes] | None = None
    try:
        process, server = KINDS[kind](home)
        state = shared / f"{kind}.json"
        state.with_suffix(".new").write_text(json.dumps(asdict(server)))
        state.with_suffix(".new").rename(state)
        with (shared / f"{kind}.users").open("ab") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            state.unlink()
            stop(process)
            process = None
            shutil.rmtree(home, ignore_errors=True)
            (shared / f"{kind}.keeper").unlink()
    except BaseException:
        (shared / f"{kind}.failed").write_text(traceback.format_exc())
        raise
    finally:
        if process is not None:
            stop(process)
        shutil.rmtree(home, ignore_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server at once; its data is not needed any more, its children and shared memory must go."""
    process.send_signal(signal.SIGQUIT if "postgres" in str(process.args) else signal.SIGKILL)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    time.sleep(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
