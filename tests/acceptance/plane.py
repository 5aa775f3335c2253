"""A control plane as its users have it: a process of its own, spoken to over HTTP, each reply held to the contract.

Used by the acceptance tests. Every wait has a condition and a limit; `stop` leaves no process behind and checks that.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL
from tests.contract.contract import check_reply
from tests.servers.records import served_with

SETTLED = {"registered", "running", "paused", "failed", "stopped", "terminated"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = 60.0, every_s: float = 0.05) -> Any:
    """The first true value of `condition`; fails naming `what` where it does not come in time."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every_s)
    raise AssertionError(f"waited {limit_s} s in vain until {what}")


def address(backend: str, database: Any) -> dict[str, Any]:
    """The part of a connection that says where a test's database is."""
    return {
        "backend": backend,
        "mysqlHost": database.host,
        "mysqlPort": database.port,
        "mysqlUser": database.user,
        "mysqlPassword": database.password,
    }


class Plane:
    """`reflexdb serve` on a free port, with its data under `data`."""

    def __init__(self, data: Path, records: URL | None = None, **environment: str) -> None:
        self.data = data
        self.environment = environment
        self.records = records
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=30)

    def start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        environment = {**served_with(self.records), "REFLEXDB_MIN_SYNC_INTERVAL_S": "1", **self.environment}
        with (self.data / "serve.out").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "reflexdb", "serve", "--data", str(self.data), "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        wait_until(self._healthy, "the control plane answers /healthz", 60)
        key = (self.data / "admin.key").read_text().strip()
        self._http.headers["authorization"] = f"Bearer {key}"

    def _healthy(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            output = (self.data / "serve.out").read_text()[-4000:]
            raise AssertionError(f"reflexdb serve ended with {self._process.returncode}:\n{output}")
        try:
            return self._http.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def call(self, method: str, path: str, body: Any = None, expect: int | None = None, **kwargs: Any) -> Any:
        response = self._http.request(method, f"{self.url}/v1{path}", json=body, **kwargs)
        kind = response.headers.get("content-type", "")
        answer = response.json() if kind.startswith("application/json") and response.content else response.text
        check_reply(method, path.partition("?")[0], response.status_code, kind, answer)
        if expect is not None:
            assert response.status_code == expect, f"{method} {path}: {response.status_code} {response.text}"
        return answer

    # What users do, in their words.

    def register(self, name: str, source: dict[str, Any], schema: str, interval: int = 5) -> str:
        """A connection and a database on it; the database's id."""
        body = {**source, "name": name, "availableSchemas": [schema], "syncInterval": interval}
        connection = self.call("POST", "/connections", body, 201)["connection"]
        database = self.call(
            "POST",
            "/databases",
            {"connectionId": connection["id"], "name": name, "mysqlDb": schema, "instanceSize": "small"},
            201,
        )
        return str(database["id"])

    def act(self, database: str, action: str, body: Any = None, wait: bool = True) -> dict[str, Any]:
        answer = self.call("POST", f"/databases/{database}/{action}", body, 202)
        if wait:
            self.settle(database)
        return dict(answer)

    def settle(self, database: str, limit_s: float = 600.0) -> str:
        return str(
            wait_until(
                lambda: (
                    (status := self.call("GET", f"/databases/{database}", None, 200)["status"]) in SETTLED and status
                ),
                f"database {database} settles",
                limit_s,
                0.1,
            )
        )

    def database(self, database: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/databases/{database}", None, 200))

    def history(self, database: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/databases/{database}/builds", None, 200))

    def build_log(self, database: str, build: str) -> str:
        return str(self.call("GET", f"/databases/{database}/builds/{build}/log"))

    def require_running(self, database: str) -> None:
        found = self.database(database)
        if found["status"] != "running":
            history = self.history(database)["builds"]
            log = self.build_log(database, history[0]["id"]) if history else ""
            raise AssertionError(f"{found['status']}: {found['lastError']}\n{log[-3000:]}")

    def key(self, database: str) -> str:
        return str(self.call("POST", f"/databases/{database}/api-keys", {"name": "acceptance"}, 201)["key"])

    def terminate_all(self) -> None:
        for found in self.call("GET", "/databases", None, 200):
            if found["status"] in {"running", "paused", "failed"}:
                self.act(found["id"], "terminate")


class Endpoint:
    """One instance's query endpoint with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._http = httpx.Client(timeout=60, headers={"authorization": f"Bearer {key}"})

    def raw(self, text: str | bytes) -> httpx.Response:
        return self._http.post(f"{self.url}/query", content=text)

    def query(self, text: str) -> Any:
        response = self.raw(text)
        assert response.status_code == 200, f"{text!r}: {response.status_code} {response.text[:500]}"
        return json.loads(response.content, parse_float=Decimal)


@contextmanager
def load(endpoint: Endpoint, text: str) -> Iterator[dict[str, int]]:
    """wrk at full rate on one query for the duration of the block; afterwards the dict holds requests and failures."""
    if shutil.which("wrk") is None:
        pytest.skip("needs wrk (Debian: apt-get install wrk)")
    script = endpoint_script(text, endpoint.key)
    path = Path(f"/tmp/reflexdb-load-{os.getpid()}-{time.monotonic_ns()}.lua")
    path.write_text(script)
    counts: dict[str, int] = {}
    process = subprocess.Popen(
        ["wrk", "-t1", "-c16", "-d600s", "--timeout", "10s", "-s", str(path), f"{endpoint.url}/query"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        time.sleep(0.5)
        yield counts
        time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        path.unlink()
    counts.update(parse_wrk(output))


def endpoint_script(text: str, key: str) -> str:
    quoted = json.dumps(text)
    return (
        f'wrk.method = "POST"\nwrk.body = {quoted}\nwrk.headers["Authorization"] = "Bearer {key}"\n'
        "done = function(summary)\n"
        "  local e = summary.errors\n"
        '  print(string.format("COUNTS %d %d", summary.requests,'
        " e.connect + e.read + e.write + e.status + e.timeout))\nend\n"
    )


def parse_wrk(output: str) -> dict[str, int]:
    line = next((line for line in output.splitlines() if line.startswith("COUNTS ")), None)
    assert line is not None, output
    _, requests, failed = line.split()
    return {"requests": int(requests), "failed": int(failed)}
