"""No secret anywhere: one walk through everything with planted secrets, then a search of everything it left behind."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pymysql.converters import escape_string
from sqlalchemy import URL

from tests.api.api import Api, until
from tests.api.plane import processes_in
from tests.servers.collector import Collector
from tests.servers.plugin import TestDatabase
from tests.servers.records import rows_of, served_with

PASSWORD = "cAnary+pa55/wörd-7Q"
WRONG = "cAnary-wr0ng/pa55-8R"
STRIPE = "sk_test_cAnaryStr1peKey9S"


def forms(secret: str) -> dict[str, bytes]:
    """How a secret may be written; base64 at each of its three places in a longer text."""
    raw = secret.encode()
    found = {"plain": raw, "url": quote(secret, safe="").encode(), "hex": raw.hex().encode()}
    found["HEX"] = raw.hex().upper().encode()
    found["json"] = json.dumps(secret)[1:-1].encode()
    for place in range(3):
        encoded = base64.b64encode(b"\0" * place + raw)
        inner = encoded[4 if place else 0 : len(encoded) // 4 * 4 - 4]
        found[f"base64 at {place}"] = inner
        found[f"base64url at {place}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and those of what is packed in it."""
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
        yield raw
    if raw[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    yield file.read()


class Walk:
    """Everything seen of a control plane on the way."""

    def __init__(self, data: Path, collector: Collector, records: URL | None) -> None:
        self.data = data
        self.records = records
        self.seen: dict[str, bytes] = {}
        environ = {**served_with(records), "PYTHONPATH": os.pathsep.join(sys.path), "STRIPE_API_KEY": STRIPE}
        environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "REFLEXDB_LOG_LEVEL": "debug"}
        self._out, self._err = (data.parent / "stdout").open("wb"), (data.parent / "stderr").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reflexdb", "serve", "--data", str(data), "--port", "0", "--ephemeral",
             "--log-format", "console", "--min-sync-interval", "1"],
            stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err, env=environ,
        )  # fmt: skip
        until(lambda: (data / "control.json").exists() or self.process.poll() is not None, "the control plane", 60)
        url = json.loads((data / "control.json").read_text())["url"]
        hooks: Any = {"response": [self._keep]}
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=60, event_hooks=hooks)
        self.api = Api(self.client, (data / "admin.key").read_text().strip())

    def _keep(self, reply: httpx.Response) -> None:
        self.seen[f"reply {len(self.seen)} {reply.request.url.path}"] = reply.read() + str(reply.headers).encode()

    def look(self, moment: str) -> None:
        """Every file, and what every process was started with."""
        for path in self.data.rglob("*"):
            if path.is_file() and not path.is_symlink():
                for part, content in enumerate(contents(path)):
                    self.seen[f"{moment}: {path.relative_to(self.data)} {part}"] = content
        if self.records is not None:
            self.seen |= {f"{moment}: records {table}": rows for table, rows in everything_in(self.records)}
        for process_id in processes_in(self.data):
            for what in ("cmdline", "environ"):
                try:
                    content = Path(f"/proc/{process_id}/{what}").read_bytes()
                except OSError:
                    continue
                if process_id == self.process.pid and what == "environ":
                    continue  # what the test itself put there
                self.seen[f"{moment}: process {what} {content[:60]!r}"] = content

    def end(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)
        for name, file in (("stdout", self._out), ("stderr", self._err)):
            file.close()
            self.seen[name] = (self.data.parent / name).read_bytes()
        self.look("at the end")


def everything_in(records: URL) -> Iterator[tuple[str, bytes]]:
    """Every row of every table as PostgreSQL writes it, bytes as hexadecimal digits."""
    for table in rows_of(records, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        name = table["tablename"]  # one of our own
        yield name, "\n".join(row["row"] for row in rows_of(records, f"SELECT t::text AS row FROM {name} t")).encode()


@pytest.fixture
def walk(data: Path, collector: Collector, records: URL | None) -> Iterator[Walk]:
    walk = Walk(data, collector, records)
    yield walk
    if walk.process.poll() is None:
        walk.process.kill()
        walk.process.wait(30)
    for process_id in processes_in(data):
        os.kill(process_id, 9)


def everything(walk: Walk, source: TestDatabase) -> list[str]:
    """The whole path, right and wrong; the secrets that were made on it."""
    api = walk.api
    address = {
        "name": "source", "backend": "mysql", "mysqlHost": source.host, "mysqlPort": source.port,
        "mysqlUser": "canary", "mysqlPassword": PASSWORD,
    }  # fmt: skip
    at = {name: value for name, value in address.items() if name != "name"}
    assert api("POST", "/connections/test-connection", at).json()["ok"] is True
    assert api("POST", "/connections/test-connection", {**at, "mysqlPassword": WRONG}).json()["ok"] is False
    api("POST", "/connections/test-connection", {**at, "mysqlPort": PASSWORD})
    api("POST", "/connections", {**address, "surprise": PASSWORD})
    instance = {"name": "blog", "mysqlDb": source.schema}
    whole = {**address, "availableSchemas": [source.schema], "syncInterval": 1, "instance": instance}
    made = api.post("/connections", whole, expect=201)
    connection, database = made["connection"]["id"], made["database"]["id"]
    manager = api.post("/account/management-keys", {"name": "canary"}, expect=201)["key"]
    assert Api(walk.client, manager).get("/databases")
    walk.client.get("/v1/databases", headers={"Authorization": f"Bearer {manager[:-1]}x"})
    api.post(f"/databases/{database}/provision")
    row = api.settled(database)
    assert row["status"] == "running", row
    reader = api.post(f"/databases/{database}/api-keys", {"name": "reader"}, expect=201)["key"]
    walk.look("running")
    asked = walk.client.post(
        f"{row['endpointUrl']}/query", content="users { id }", headers={"Authorization": f"Bearer {reader}"}
    )
    assert asked.status_code == 200, asked.text
    walk.client.post(
        f"{row['endpointUrl']}/query", content="users { nope }", headers={"Authorization": f"Bearer {reader}"}
    )
    first = api.get(f"/databases/{database}/builds")["activeBuildId"]
    api.post(f"/databases/{database}/rebuild")
    assert api.settled(database)["status"] == "running"
    api.post(f"/databases/{database}/redeploy", {"buildId": first})
    assert api.settled(database)["status"] == "running"
    api("PATCH", f"/connections/{connection}", {"mysqlPassword": WRONG}, expect=200)
    api.post(f"/databases/{database}/rebuild")
    failed = api.settled(database)
    assert failed["status"] == "failed"
    api("PATCH", f"/connections/{connection}", {"mysqlPassword": PASSWORD}, expect=200)
    api.post(f"/databases/{database}/rebuild")
    assert api.settled(database)["status"] == "running"
    api.post(f"/databases/{database}/pause")
    assert api.settled(database)["status"] == "paused"
    api.post(f"/databases/{database}/resume")
    assert api.settled(database)["status"] == "running"
    for build in api.get(f"/databases/{database}/builds")["builds"]:
        api("GET", f"/databases/{database}/builds/{build['id']}")
        api("GET", f"/databases/{database}/builds/{build['id']}/log")
    for path in ("/audit", f"/databases/{database}/instance", f"/databases/{database}/deployments", "/connections"):
        api("GET", path)
    walk.client.get("/metrics")
    walk.look("before the end")
    api.post(f"/databases/{database}/terminate")
    api.settled(database)
    return [manager, reader]


def test_no_planted_secret_is_found_anywhere(walk: Walk, collector: Collector, mariadb_database: TestDatabase) -> None:
    source = mariadb_database
    source.execute("CREATE TABLE users (id INT PRIMARY KEY, name TEXT)")
    source.execute("INSERT INTO users VALUES (1, 'Ada')")
    source.execute(f"CREATE OR REPLACE USER canary@'%' IDENTIFIED BY '{escape_string(PASSWORD)}'")
    source.execute(f"GRANT SELECT ON `{source.schema}`.* TO canary@'%'")
    keys = everything(walk, source)
    first = walk.api.key
    walk.end()
    walk.seen["traces"] = collector.raw

    planted = {"password": PASSWORD, "wrong password": WRONG, "Stripe key": STRIPE}
    if walk.records is not None:
        planted["records' password"] = walk.records.password or ""
    planted |= {f"key {number}": key.partition(".")[2] for number, key in enumerate([*keys, first])}
    found = [
        f"{name} as {form} in {where}"
        for name, secret in planted.items()
        for form, written in forms(secret).items()
        for where, content in walk.seen.items()
        if written in content and not expected(name, where, secret.encode())
    ]
    assert found == []
    assert len(collector.raw) > 1000
    assert any("secrets.bin" in where for where in walk.seen)
    kept = "metadata.db-wal" if walk.records is None else "records audit"
    assert any(kept in where and content for where, content in walk.seen.items())


def expected(name: str, where: str, _secret: bytes) -> bool:
    """A key is shown once, where it is made; the first one is printed and kept in its file."""
    if name.startswith("key 2"):
        return where == "stdout" or "admin.key" in where
    return name.startswith("key ") and where.startswith("reply") and where.endswith("keys")


@pytest.mark.parametrize("before", range(4))
def test_the_search_finds_each_form_wherever_it_begins(before: int) -> None:
    text = b"x" * before + PASSWORD.encode() + b"yz"
    for written in (text, text.hex().encode(), base64.b64encode(text), base64.urlsafe_b64encode(text)):
        assert any(form in written for form in forms(PASSWORD).values())
