"""One data directory with a source, and the control planes that live and die on it.

`act` is one life: the order is given, the action asked for, and the control plane either dies at its n-th step or
comes through. What must hold afterwards is in `invariants`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
from sqlalchemy import URL

from tests.api.api import STABLE, Api, sqlite_connection, until
from tests.api.plane import processes_in
from tests.crash.fatal import ORDER, TRAIL
from tests.crash.nursery import Child, Nursery
from tests.servers.records import connected

START_LIMIT_S = 120.0
ACT_LIMIT_S = 240.0
QUIET_S = 0.25
"""How long no step may follow for an action to count as over."""
PEOPLE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Zoë"}]
SOURCE = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "CREATE TABLE posts (id INTEGER PRIMARY KEY, title_0 TEXT, author_id INTEGER REFERENCES users(id));"
    "INSERT INTO users VALUES (1, 'Ada'), (2, 'Zoë');"
    "INSERT INTO posts VALUES (1, 'Hello', 1), (2, NULL, 2), (3, 'Again', 1);"
)


@dataclass
class Life:
    """What one control plane did after it was given its order."""

    killed: bool
    trail: list[str]
    reply: httpx.Response | None
    """None where the connection broke before the answer."""


class House:
    def __init__(self, root: Path, nursery: Nursery, records: URL | None = None) -> None:
        self.records_at = records
        """None for the file in the data directory."""
        self.data = root / "data"
        self.source = root / "source.db"
        self.fate = root / "fate"
        self.fate.mkdir(parents=True)
        self.child: Child | None = None
        self.database = ""
        self.key = ""
        """An API key of the database."""
        self.other_connection = ""
        self.victim = ""
        """Another database, to be deleted."""
        self.column = 0
        """The number in the name of the newest column."""
        self._nursery = nursery
        self._client: httpx.Client | None = None
        self._records: psycopg.Connection[dict[str, Any]] | None = None
        """Kept: a test asks thousands of times."""
        with contextlib.closing(sqlite3.connect(self.source)) as connection:
            connection.executescript(SOURCE)

    def start(self) -> Api | None:
        """A new control plane that answers; None where it has died of its order before."""
        (self.data / "control.json").unlink(missing_ok=True)
        self.child = self._nursery.serve(self.data, self.fate, self.records_at)
        child = self.child

        def url() -> str | None:
            if child.ended():
                return "dead"
            try:
                found: str = json.loads((self.data / "control.json").read_text())["url"]
                return found if httpx.get(f"{found}/healthz", trust_env=False).status_code == 200 else None
            except (OSError, httpx.TransportError):
                return None

        base = until(url, "the control plane", START_LIMIT_S)
        if base == "dead":
            self.bury()
            return None
        self._client = httpx.Client(base_url=base, trust_env=False, timeout=ACT_LIMIT_S)
        return Api(self._client, (self.data / "admin.key").read_text().strip())

    def started(self) -> Api:
        api = self.start()
        assert api is not None, (self.fate / "output").read_text()
        return api

    def kill(self) -> None:
        assert self.child is not None
        self.child.end(signal.SIGKILL)
        self.bury()

    def bury(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.child is not None:
            self.child.close()
            self.child = None

    def order(self, last: int, kind: str = "") -> None:
        """The steps are counted from now on; this is the last of them, or from it on
        the disk is `full` or `read-only`."""
        fresh = self.fate / "order.new"
        fresh.write_text(f"{last} {kind}")
        fresh.rename(self.fate / ORDER)

    def trail(self) -> list[str]:
        try:
            return (self.fate / TRAIL).read_text().splitlines()
        except FileNotFoundError:
            return []

    def act(self, last: int, ask: Callable[[], httpx.Response]) -> Life:
        """Ask for something; the control plane is dead afterwards, of its order or, where it came through, of us."""
        self.order(last)
        try:
            reply = ask()
        except httpx.TransportError:
            reply = None
        killed = self._over()
        if not killed:
            self.kill()
        self.bury()
        trail = self.trail()
        self.forget_order()
        return Life(killed, trail, reply)

    def forget_order(self) -> None:
        (self.fate / ORDER).unlink(missing_ok=True)
        (self.fate / TRAIL).unlink(missing_ok=True)

    def _over(self) -> bool:
        """Wait for the control plane's death (True), or for rest."""
        assert self.child is not None
        deadline, seen, since = time.monotonic() + ACT_LIMIT_S, -1, time.monotonic()
        while time.monotonic() < deadline:
            if self.child.ended(0.02):
                return True
            steps = len(self.trail())
            if steps != seen or not self.at_rest():
                seen, since = steps, time.monotonic()
            elif time.monotonic() - since > QUIET_S:
                return False
        raise AssertionError(f"neither dead nor at rest after {ACT_LIMIT_S} s: {self.trail()[-3:]}")

    def stuck(self) -> bool:
        """Whether nothing moves for a while, at rest or not."""
        before = len(self.trail())
        time.sleep(QUIET_S)
        return len(self.trail()) == before

    def at_rest(self) -> bool:
        busy = self.records("SELECT 1 FROM jobs WHERE finished_at IS NULL")
        wishes = self.records("SELECT 1 FROM databases WHERE desired_state IS NOT NULL")
        statuses = {row["status"] for row in self.records("SELECT status FROM databases WHERE deleted_at IS NULL")}
        return not busy and not wishes and statuses <= STABLE

    def records(self, query: str) -> list[dict[str, Any]]:
        """Straight from the metadata database: asking the API would be steps of the control plane."""
        if self.records_at is not None:
            if self._records is None:
                self._records = connected(self.records_at)
            return self._records.execute(query.encode()).fetchall()
        address = f"file:{self.data / 'metadata.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def register(self, api: Api) -> None:
        created = api.post("/connections", sqlite_connection(str(self.source), syncInterval=1), expect=201)
        self.database = created["database"]["id"]
        self.key = api.post(f"/databases/{self.database}/api-keys", {"name": "reader"}, expect=201)["key"]

    def change_schema(self) -> None:
        """Something that only a new image can serve, and the old one can live with."""
        self.column += 1
        with contextlib.closing(sqlite3.connect(self.source)) as connection, connection:
            connection.execute(f"ALTER TABLE posts ADD COLUMN title_{self.column} TEXT")

    def endpoint(self) -> str | None:
        """Where queries are answered, by the records."""
        serving = "serving_at IS NOT NULL AND retired_at IS NULL"
        rows = self.records(f"SELECT endpoint_url FROM deployments WHERE {serving}")
        return str(rows[0]["endpoint_url"]) if rows else None

    def query(self, url: str, text: str = "users { id name }") -> tuple[int, Any]:
        place = urlsplit(url)
        assert place.hostname is not None
        with contextlib.closing(http.client.HTTPConnection(place.hostname, place.port, timeout=30)) as connection:
            connection.request("POST", "/query", text.encode(), {"Authorization": f"Bearer {self.key}"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    @contextmanager
    def asked_all_the_time(self) -> Iterator[list[str]]:
        """Query the serving instance again and again on new connections; yields what a user saw go wrong."""
        wrong: list[str] = []
        url, done = self.endpoint(), threading.Event()
        assert url is not None

        def ask() -> None:
            while not done.wait(0.005):
                try:
                    status, body = self.query(url)
                    if (status, body) != (200, PEOPLE):
                        wrong.append(f"{status} {body}")
                except (OSError, http.client.HTTPException) as exc:
                    wrong.append(repr(exc))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield wrong
        finally:
            done.set()
            thread.join()

    def clear(self) -> None:
        """End everything that runs on the directory."""
        if self._records is not None:
            self._records.close()
        if self.child is not None:
            self.kill()
        for _ in range(100):
            left = processes_in(self.data)
            for process_id in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)
            if not left:
                return
            time.sleep(0.02)
