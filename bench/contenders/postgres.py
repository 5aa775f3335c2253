"""A PostgreSQL of its own with the blog in it, and what stands in front of it: a hand-written endpoint of FastAPI and
asyncpg, and PostGraphile.

Keys and foreign keys have indexes, the tables fit its buffers and have been analysed; as the machine gives a contender
one core, a query has one worker.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.servers import postgres
from tests.servers.shared import Server

from bench import load, processes
from bench.cases import Case
from bench.contenders.base import MissingError, OverHttp
from bench.data import TABLES, Blog

POOL = 16
"""Connections to PostgreSQL of each that stands in front."""
POSTGRAPHILE = Path(__file__).parent / "postgraphile" / "node_modules" / ".bin" / "postgraphile"
SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, email text UNIQUE, plan text NOT NULL,
  verified boolean NOT NULL, balance numeric(10,2) NOT NULL, birthday date, bio text, created_at timestamp NOT NULL);
CREATE TABLE posts (id int PRIMARY KEY, author_id int NOT NULL REFERENCES users (id), category_id int,
  title text NOT NULL, body text NOT NULL, published boolean NOT NULL, views int NOT NULL, rating double precision,
  price numeric(8,2), published_on date, updated_at timestamp NOT NULL);
CREATE TABLE comments (id int PRIMARY KEY, post_id int NOT NULL REFERENCES posts (id), user_id int,
  body text NOT NULL, approved boolean NOT NULL, created_at timestamp NOT NULL);
"""
PATHS = {"point": "/users/{n}", "nested": "/users/{n}/posts", "filter": "/posts?views={n}", "top": "/top"}
GRAPHQL = {
    "point": "{ userById(id: {n}) { id name email plan } }",
    "nested": "{ userById(id: {n}) { id name postsByAuthorId { nodes { id title commentsByPostId { nodes"
    " { id body approved } } } } } }",
    "filter": "{ allPosts(condition: {views: {n}}) { nodes { id title } } }",
    "top": "{ allPosts(first: 100, orderBy: [VIEWS_DESC, ID_ASC]) { nodes { id title views } } }",
}
INDEXES = """
CREATE INDEX ON posts (author_id); CREATE INDEX ON comments (post_id);
VACUUM ANALYZE users; VACUUM ANALYZE posts; VACUUM ANALYZE comments;
"""


class Database:
    def __init__(self, pid: int, server: Server) -> None:
        self.pid = pid
        password = urllib.parse.quote(server.password, safe="")
        self.address = f"postgresql://{server.user}:{password}@127.0.0.1:{server.port}/postgres"


@contextlib.contextmanager
def database(blog: Blog, folder: Path) -> Iterator[Database]:
    if postgres.programs() is None:
        raise MissingError("apt-get install postgresql")
    folder.mkdir()
    process, server = postgres.start(folder, shared_buffers="1500MB", max_parallel_workers_per_gather="0")
    try:
        with postgres.connect(server) as connection:
            connection.execute(SCHEMA)
            for table in TABLES:
                with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER true)") as copy:
                    copy.write(blog.csv[table].read_bytes())
            for statement in INDEXES.replace("\n", " ").split(";"):
                if statement.strip():
                    connection.execute(statement)
        yield Database(process.pid, server)
    finally:
        process.terminate()
        process.wait(processes.STOP_LIMIT_S)


class Endpoint(OverHttp):
    name = "FastAPI and asyncpg"
    about = (
        "hand-written: one statement a request, PostgreSQL makes the JSON, Python passes it on; uvicorn, one process"
    )

    def __init__(self, port: int, own: int, source: Database) -> None:
        self.port, self._own, self._source = port, own, source

    def pids(self) -> list[int]:
        return processes.tree(self._own) + processes.tree(self._source.pid)

    def request(self, case: Case, argument: int) -> bytes:
        return load.get(PATHS.get(case.key, "/comments").replace("{n}", str(argument)))


@contextlib.contextmanager
def endpoint(source: Database, folder: Path) -> Iterator[Endpoint]:
    if importlib.util.find_spec("asyncpg") is None:
        raise MissingError("make bench-setup")
    folder.mkdir()
    port = processes.free_port()
    started = [sys.executable, "-m", "uvicorn", "bench.contenders.endpoint:app", "--host", "127.0.0.1"]
    started += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    here = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "BENCH_DSN": source.address, "BENCH_POOL": str(POOL), "PYTHONPATH": str(here)}
    with processes.program(started, "the endpoint", port, folder, environment) as process:
        yield Endpoint(port, process.pid, source)


class PostGraphile(OverHttp):
    name = "PostGraphile"
    about = "version 4 on the same PostgreSQL, one process, NODE_ENV=production"
    left_out = MappingProxyType({"dump": "not asked: it makes one array in JavaScript's heap of all rows"})

    def __init__(self, port: int, own: int, source: Database) -> None:
        self.port, self._own, self._source = port, own, source

    def pids(self) -> list[int]:
        return processes.tree(self._own) + processes.tree(self._source.pid)

    def request(self, case: Case, argument: int) -> bytes:
        query = GRAPHQL[case.key].replace("{n}", str(argument))
        return load.post("/graphql", json.dumps({"query": query}), "Content-Type: application/json")

    def rows(self, case: Case, answer: Any) -> Any:  # noqa: ARG002
        (found,) = answer["data"].values()
        return [flat(row) for row in found.get("nodes", [found])]


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Without its connections, and relations under our names."""
    names = {"postsByAuthorId": "posts", "commentsByPostId": "comments"}
    return {
        names.get(key, key): [flat(each) for each in value["nodes"]] if isinstance(value, dict) else value
        for key, value in row.items()
    }


@contextlib.contextmanager
def postgraphile(source: Database, folder: Path) -> Iterator[PostGraphile]:
    node = processes.find("node")
    if node is None or not POSTGRAPHILE.exists():
        raise MissingError("apt-get install nodejs npm, and make bench-setup")
    folder.mkdir()
    port = processes.free_port()
    started = [node, str(POSTGRAPHILE), "--connection", source.address, "--schema", "public", "--host", "127.0.0.1"]
    started += ["--port", str(port), "--max-pool-size", str(POOL), "--disable-graphiql", "--disable-query-log"]
    started += ["--disable-default-mutations"]
    environment = {**os.environ, "NODE_ENV": "production"}
    with processes.program(started, "PostGraphile", port, folder, environment) as process:
        yield PostGraphile(port, process.pid, source)
