"""What being followed costs a PostgreSQL server, without a reader: `python -m bench.postgres_cost`.

Log written with `wal_level` replica and logical for the same statements, the time a publication of many tables takes,
and the look at their replica identities that is taken every two seconds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from tests.servers import postgres

from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.postgres.publication import Publication

ROWS = 100_000
TABLES, PARTITIONED, PARTITIONS = 500, 10, 100
LOOKS = 20
STATEMENTS = {
    "INSERT": f"INSERT INTO t SELECT n, repeat('x', 100), 0 FROM generate_series(1, {ROWS}) n",
    "UPDATE of a column without an index": "UPDATE t SET n = n + 1",
    "UPDATE of the key": f"UPDATE t SET id = id + {ROWS}",
    "DELETE": "DELETE FROM t",
}


@contextmanager
def server(**settings: str) -> Iterator[tuple[psycopg.Connection[Any], Any]]:
    """One of its own, ended afterwards."""
    home = Path(tempfile.mkdtemp(prefix="reflexdb-cost-"))
    process, found = postgres.start(home, None, **settings)
    try:
        with closing(postgres.connect(found)) as connection:
            yield connection, found
    finally:
        process.kill()
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def written(connection: psycopg.Connection[Any], identity: str) -> dict[str, int]:
    """Bytes of log a row, by statement."""
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, filler text, n int)")
    connection.execute(f"ALTER TABLE t REPLICA IDENTITY {identity}".encode())
    found = {}
    for name, statement in STATEMENTS.items():
        connection.execute("CHECKPOINT")
        begin = _position(connection)
        connection.execute(statement.encode())
        found[name] = round((_position(connection) - begin) / ROWS)
    connection.execute("DROP TABLE t")
    return found


def _position(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


def many(connection: psycopg.Connection[Any]) -> dict[int, tuple[str, str]]:
    """Tables with and without partitions, by id."""
    for number in range(TABLES):
        connection.execute(f"CREATE TABLE plain_{number} (id int PRIMARY KEY, v int)".encode())
    for number in range(PARTITIONED):
        connection.execute(f"CREATE TABLE parted_{number} (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)".encode())
        for part in range(PARTITIONS):
            bounds = f"FOR VALUES FROM ({part}) TO ({part + 1})"
            statement = f"CREATE TABLE parted_{number}_{part} PARTITION OF parted_{number} {bounds}"
            connection.execute(statement.encode())
    rows = connection.execute("SELECT oid, relname FROM pg_class WHERE relname ~ '^(plain|parted)_[0-9]+$' ")
    return {oid: ("public", name) for oid, name in rows}


def main() -> None:
    written_by: dict[str, dict[str, int]] = {}
    for level, identity in (("replica", "DEFAULT"), ("logical", "DEFAULT"), ("logical", "FULL")):
        with server(wal_level=level, full_page_writes="on") as (connection, _):
            written_by[f"{level}, {identity}"] = written(connection, identity)
    for name in STATEMENTS:
        print(f"{name}: " + "; ".join(f"{kind}: {found[name]} bytes a row" for kind, found in written_by.items()))
    with server() as (connection, found):
        tables = many(connection)
        address = SourceAddress(Backend.POSTGRES, found.host, found.port, found.user, found.password)
        publication = Publication(connection, address, "reflexdb_cost")
        began = time.monotonic()
        publication.create()
        publication.admit(tables)
        print(f"a publication of {len(tables)} tables: {(time.monotonic() - began) * 1000:.0f} ms")
        began = time.monotonic()
        for _ in range(LOOKS):
            assert not publication.withdraw()
        print(f"a look at them: {(time.monotonic() - began) / LOOKS * 1000:.1f} ms")


if __name__ == "__main__":
    main()
