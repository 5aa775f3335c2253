"""A real control plane process on a directory, for tests: started, killed, started again; nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import URL

from tests.api.api import Api, until
from tests.servers.records import served_with

START_LIMIT_S = 240.0
_SERVE = """
import sys
from pathlib import Path
from reflexdb.api.serve import run
import os
from reflexdb.api.settings import ApiSettings
from reflexdb.control.rooms import BuildLimits
records = os.environ.get("REFLEXDB_RECORDS")
run(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), ephemeral=sys.argv[3] == "ephemeral", min_sync_interval_s=1,
    records=records, api={api}, builds={builds})
"""


class Plane:
    """`start` and `kill` as often as a test likes; the port may change, the directory stays."""

    def __init__(self, data: Path, records: URL | None = None) -> None:
        self.data = data
        self.records = records
        self.process: subprocess.Popen[str] | None = None
        self._client: httpx.Client | None = None

    def start(
        self, *, ephemeral: bool = False, api: str = "None", port: int = 0, builds: str = "None", **environment: str
    ) -> Api:
        """`api` and `builds` are Python for the API's settings and the limits of builds."""
        (self.data / "control.json").unlink(missing_ok=True)
        self.process = spawn(
            self.data, port, ephemeral=ephemeral, records=self.records, api=api, builds=builds, **environment
        )

        def url() -> str | None:
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()
            try:
                told = json.loads((self.data / "control.json").read_text())
                found: str = told["url"]
                if told["pid"] != self.process.pid:  # of another that shares the directory
                    return None
                return found if httpx.get(f"{found}/healthz", trust_env=False).status_code == 200 else None
            except (OSError, httpx.TransportError):
                return None

        self._client = httpx.Client(
            base_url=until(url, "the control plane", START_LIMIT_S), trust_env=False, timeout=30
        )
        return Api(self._client, (self.data / "admin.key").read_text().strip())

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status, negative for a signal."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.communicate(timeout=60)
        if self._client is not None:
            self._client.close()
        return self.process.returncode


def spawn(
    data: Path,
    port: int,
    *,
    ephemeral: bool = False,
    records: URL | None = None,
    api: str = "None",
    builds: str = "None",
    **more: str,
) -> subprocess.Popen[str]:
    environment = {**served_with(records), "PYTHONPATH": os.pathsep.join(sys.path), **more}
    program = _SERVE.format(api=api, builds=builds)
    return subprocess.Popen(
        [sys.executable, "-c", program, str(data), str(port), "ephemeral" if ephemeral else "lasting"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def processes_in(data: Path) -> list[int]:
    """Every process that works in, or was started on, the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            place = str((entry / "cwd").readlink())
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if place.startswith(str(data)) or str(data) in words:
            found.append(int(entry.name))
    return found


@contextmanager
def plane_on(data: Path, records: URL | None = None) -> Iterator[Plane]:
    plane = Plane(data, records)
    try:
        yield plane
    finally:
        if plane.process is not None and plane.process.poll() is None:
            plane.end(signal.SIGKILL)
        for _ in range(100):  # a killed compiler's parent may still be starting another
            left = processes_in(data)
            for process_id in left:
                try:
                    os.kill(process_id, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not left:
                break
