"""The three databases as oracles: how they are made, asked and read. What they mean differently from us stands here.

- **Text** compares by its bytes with us. Columns are declared with collations that do so too: BINARY, utf8mb4_nopad_bin
  and "C".
- **LIKE** distinguishes case with us: SQLite is told to. ILIKE is asked as LIKE of lower case, with letters of ASCII
  only, since what lower case is beyond that differs everywhere.
- **Nulls** have their place said, as an item of its own before each ordered by.
- **Averages** have fewer digits in MariaDB and are doubles in SQLite: they are compared within a ten-thousandth, and
  nothing is ordered by them or tested on them.
- **Sums** of whole numbers overflow in SQLite, which is not asked for those.
- **Decimals** are doubles in SQLite: the data have binary fractions only, and what needs more digits is not there.
- **UUIDs** compare by their bytes with us; MariaDB has an order of its own for them, and PostgreSQL no least one. They
  are compared as text there, which is the same order.
- **Enumerations** compare as text with us, and by their declaration in MariaDB's and PostgreSQL's orders: as text too.
- **Bytes** are compared as hexadecimal digits there, since PostgreSQL has no least of them.
- **Times of day** are texts with us; here they have no fractions, whose zeros each database prints otherwise.
- **Instants** are compared in sessions whose zone is UTC. SQLite has none, and no unsigned integers.
- **JSON**, arrays and SETs are not compared with us, only counted and looked at for nulls.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from tests.oracle import world
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, postgres_address


def listed(texts: Sequence[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


TYPES = {
    "sqlite": {
        "text": "TEXT",
        "double": "DOUBLE",
        "moment": "DATETIME",
        "bool": "BOOLEAN",
        "decimal": "DECIMAL(20,3)",
        "uuid": "UUID",
        "json": "JSON",
        "bytes": "BLOB",
        "mood": "TEXT",
        "marks": "JSON",
        "clock": "TIME",
        "single": "FLOAT",
    },
    "mariadb": {
        "text": "VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        "double": "DOUBLE",
        "moment": "DATETIME(6)",
        "bool": "TINYINT(1)",
        "decimal": "DECIMAL(20,3)",
        "uuid": "UUID",
        "json": "JSON",
        "bytes": "VARBINARY(20)",
        "mood": f"ENUM({listed(world.MOODS)}) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        "marks": f"SET({listed(world.MARKS)}) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        "clock": "TIME",
        "single": "FLOAT",
        "instant": "TIMESTAMP(6) NULL DEFAULT NULL",
        "wide": "DECIMAL(38,10)",
        "huge": "BIGINT UNSIGNED",
    },
    "postgres": {
        "text": 'VARCHAR(60) COLLATE "C"',
        "double": "DOUBLE PRECISION",
        "moment": "TIMESTAMP",
        "bool": "BOOLEAN",
        "decimal": "DECIMAL(20,3)",
        "uuid": "UUID",
        "json": "JSONB",
        "bytes": "BYTEA",
        "mood": "mood",
        "marks": "TEXT[]",
        "clock": "TIME",
        "single": "REAL",
        "instant": "TIMESTAMPTZ",
        "wide": "NUMERIC(38,10)",
        "huge": "NUMERIC(20,0)",
    },
}
ABSENT = {"sqlite": {"instant", "wide", "huge"}}
"""Columns that a database has no type for."""
TABLES = {
    "users": "id INT NOT NULL PRIMARY KEY, name {text}, age SMALLINT, verified {bool},"
    " boss_id INT REFERENCES users (id), score {double}, balance {decimal}, joined DATE, big BIGINT",
    "posts": "id BIGINT NOT NULL PRIMARY KEY, user_id INT REFERENCES users (id), title {text}, views INT,"
    " published {bool}, price {decimal}, day DATE, at {moment}",
    "tags": "id INT NOT NULL PRIMARY KEY, name {text}",
    "post_tags": "post_id BIGINT NOT NULL REFERENCES posts (id), tag_id INT NOT NULL REFERENCES tags (id),"
    " PRIMARY KEY (post_id, tag_id)",
    "kinds": "id INT NOT NULL PRIMARY KEY, post_id BIGINT REFERENCES posts (id), uid {uuid}, doc {json}, raw {bytes},"
    " mood {mood}, marks {marks}, clock {clock}, small {single}",
    "follows": "follower_id INT NOT NULL REFERENCES users (id), followed_id INT NOT NULL REFERENCES users (id),"
    " PRIMARY KEY (follower_id, followed_id)",
}
MORE = ", instant {instant}, wide {wide}, huge {huge}"
"""Of kinds, where there are types for them."""
BEFORE = {
    "sqlite": [],
    "mariadb": ["SET time_zone = '+00:00'"],
    "postgres": ["SET timezone TO 'UTC'", f"CREATE TYPE mood AS ENUM ({listed(world.MOODS)})"],
}
AS_TEXT = {
    "sqlite": {
        "bytes": "CASE WHEN {} IS NOT NULL THEN hex({}) END",  # hex(null) is an empty text
        "uuid": "CAST({} AS TEXT)",  # types that it does not know make numbers of '1'
        "clock": "CAST({} AS TEXT)",
    },
    "mariadb": {
        "bytes": "hex({})",
        "uuid": "CAST({} AS CHAR)",
        "mood": "CONVERT({} USING utf8mb4) COLLATE utf8mb4_nopad_bin",
        "set": "CAST({} AS CHAR)",
        "clock": "CAST({} AS CHAR)",
    },
    "postgres": {
        "bytes": "upper(encode({}, 'hex')) COLLATE \"C\"",
        "uuid": '{}::text COLLATE "C"',
        "mood": '{}::text COLLATE "C"',
        "set": "to_json({})::text",
        "json": "{}::text",
        "clock": '{}::text COLLATE "C"',
        "instant": "({} AT TIME ZONE 'UTC')",
    },
}
"""By kind of value: an expression that is ordered and compared there as the value is with us."""


@dataclass
class Oracle:
    """A database with the tables in it, and how it is asked."""

    kind: str
    address: SourceAddress
    schema: str
    ask: Callable[[str], Sequence[Sequence[Any]]]

    def text(self, value: str) -> str:
        """As an SQL literal."""
        quoted = value.replace("'", "''")
        return "'" + (quoted.replace("\\", "\\\\") if self.kind == "mariadb" else quoted) + "'"

    def column(self, of: str, kind: str) -> str:
        return AS_TEXT[self.kind].get(kind, "{}").replace("{}", of)

    def has(self, column: str) -> bool:
        return column not in ABSENT.get(self.kind, ())

    def like(self, column: str, pattern: str, negated: bool, folded: bool) -> str:
        if folded:
            column, pattern = f"lower({column})", pattern.lower()
        escape = " ESCAPE " + self.text("\\")
        return f"{column} {'NOT ' if negated else ''}LIKE {self.text(pattern)}{escape}"


def statements(kind: str) -> list[str]:
    made = list(BEFORE[kind])
    for name, columns in TABLES.items():
        if name == "kinds" and kind not in ABSENT:
            columns += MORE
        body = columns.format(**TYPES[kind])
        if kind == "mariadb":  # whose inline references say nothing
            keys = [part.split() for part in columns.split(",") if " REFERENCES " in part]
            body = re.sub(r" REFERENCES \w+ \(id\)", "", body)
            body += "".join(f", FOREIGN KEY ({part[0]}) REFERENCES {part[-2]} (id)" for part in keys)
        made.append(f"CREATE TABLE {name} ({body})")
    return made


def fill(
    kind: str, execute: Callable[[str, list[tuple[Any, ...]]], None], rows: dict[str, list[dict[str, Any]]]
) -> None:
    mark = "?" if kind == "sqlite" else "%s"
    for table, some in rows.items():
        columns = [name for name in some[0] if name not in ABSENT.get(kind, ())]
        values = [tuple(_given(kind, row[name]) for name in columns) for row in some]
        execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})", values)


def _given(kind: str, value: Any) -> Any:
    if isinstance(value, list) and kind != "postgres":
        return json.dumps(value) if kind == "sqlite" else ",".join(value)
    if kind != "sqlite":
        return value
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, date) else value


def sqlite(directory: Path, rows: dict[str, list[dict[str, Any]]]) -> Oracle:
    path = directory / "oracle.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements("sqlite"):
        connection.execute(statement)
    connection.execute("BEGIN")
    fill("sqlite", lambda sql, values: [connection.executemany(sql, values), None][1], rows)
    connection.execute("COMMIT")
    connection.execute("PRAGMA case_sensitive_like = 1")
    ask = lambda sql: connection.execute(sql).fetchall()  # noqa: E731
    return Oracle("sqlite", SourceAddress(Backend.SQLITE, str(path)), "main", ask)


def server(kind: str, database: TestDatabase, rows: dict[str, list[dict[str, Any]]]) -> Oracle:
    cursor = database.connect().cursor()
    for statement in statements(kind):
        cursor.execute(statement)
    fill(kind, lambda sql, values: [cursor.executemany(sql, values), None][1], rows)

    def ask(sql: str) -> Sequence[Sequence[Any]]:
        # Without arguments % is itself.
        cursor.execute(sql)
        answer: Sequence[Sequence[Any]] = cursor.fetchall()
        return answer

    address = postgres_address(database) if kind == "postgres" else mysql_address(database)
    return Oracle(kind, address, database.schema, ask)


def in_json(value: Any, storage: str) -> Any:
    """A value as the database's driver gives it, as the answer's JSON has it once read."""
    if value is None:
        return None
    if storage == "bool":
        return bool(value)
    if storage in ("number", "average"):
        return float(value) if storage == "average" or isinstance(value, float) else Decimal(str(value))
    if storage in ("moment", "instant"):
        text = value.isoformat() if isinstance(value, datetime) else str(value).replace(" ", "T")
        return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z" * (storage == "instant")
    if storage == "bytes":
        return base64.b64encode(bytes.fromhex(value)).decode()
    if storage == "json" or (storage == "set" and str(value).startswith("[")):
        return json.loads(str(value), parse_float=Decimal, parse_int=Decimal)
    if storage == "set":
        return value.split(",") if value else []
    if isinstance(value, timedelta):
        raise TypeError(value)
    return str(value)
