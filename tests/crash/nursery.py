"""Control planes that start in no time: a process that has imported everything and forks one for each line it reads.

What runs in the child is `reflexdb serve`, with the fate of `fatal` installed. `python -m tests.crash.nursery` is the
nursery; `Nursery` is the test's end of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from tests.crash.fatal import Fate
from tests.servers.records import as_text

END_LIMIT_S = 60.0
SWEEP_EVERY_S = 5.0
"""Instead of each minute, which most steps of a walk on a read-only disk would wait for."""


class Nursery:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(END_LIMIT_S)
        self._process.stdout.close()

    def serve(self, data: Path, fate: Path, records: URL | None = None) -> Child:
        """Fork a control plane on `data`; its output goes to `fate`/output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(data), str(fate), as_text(records)]) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()))


class Child:
    """A process that is not ours to wait for, held by descriptor."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def ended(self, seconds: float = 0.0) -> bool:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def end(self, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, how)
        assert self.ended(END_LIMIT_S)

    def close(self) -> None:
        os.close(self._descriptor)


def elsewhere_of(data: Path) -> Path:
    """What the system's directory for temporary files is to a control plane on `data`."""
    return data.parent / "elsewhere"


def main() -> None:
    sys.dont_write_bytecode = True
    _warm_up()
    for line in sys.stdin:
        data, fate, records = json.loads(line)
        _bury()
        pid = os.fork()
        if pid == 0:
            os._exit(_be_a_control_plane(Path(data), Path(fate), records))
        print(pid, flush=True)


def _warm_up() -> None:
    """Import what a start would, before the first fork, by doing all of a start that needs no thread."""
    import psycopg  # noqa: F401
    import uvicorn.protocols.http.auto
    import uvicorn.protocols.websockets.auto  # noqa: F401

    import reflexdb.sources.sqlite  # noqa: F401
    from reflexdb.api.app import create_app
    from reflexdb.control.local import open_control
    from reflexdb.control.rooms import Settings

    with tempfile.TemporaryDirectory() as directory:
        control = open_control(Path(directory), Settings(base_url="http://127.0.0.1"), "127.0.0.1")
        create_app(control).openapi()
        control.rooms.store.close()


def _bury() -> None:
    """Only now: a child that ended at once must still be there when the test takes hold of it."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _be_a_control_plane(data: Path, fate: Path, records: str | None) -> int:
    from reflexdb.api.serve import run
    from reflexdb.control import control

    control._SWEEP_EVERY_S = SWEEP_EVERY_S
    output = os.open(fate / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for wanted, descriptor in ((0, nothing), (1, output), (2, output)):
        os.dup2(descriptor, wanted)
    elsewhere = elsewhere_of(data)
    elsewhere.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(elsewhere)
    tempfile.tempdir = None
    try:
        Fate(fate).install()
        run(data, "127.0.0.1", 0, min_sync_interval_s=1, records=records)
    except SystemExit as exc:
        return int(exc.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
