"""The three databases as oracles: how they are made, asked and read. What they mean differently from us stands here.

- **Text** compares by its bytes with us. Columns are declared with collations that do so too: BINARY, utf8mb4_nopad_bin
  and "C".
- **LIKE** distinguishes case with us: SQLite is told to. ILIKE is asked as LIKE of lower case, with letters of ASCII
  only, since what lower case is beyond that differs everywhere.
- **Nulls** have their place said, as an item of its own before each ordered by.
- **Averages** have fewer digits in MariaDB and are doubles in SQLite: they are compared within a ten-thousandth, and
  nothing is ordered by them or tested on them.
- **Sums** of whole numbers overflow in SQLite, which is not asked for those.
- **Decimals** are doubles in SQLite: the data have binary fractions only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, postgres_address

TYPES = {
    "sqlite": {"text": "TEXT", "double": "DOUBLE", "moment": "DATETIME", "bool": "BOOLEAN", "decimal": "DECIMAL(20,3)"},
    "mariadb": {
        "text": "VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        "double": "DOUBLE",
        "moment": "DATETIME(6)",
        "bool": "TINYINT(1)",
        "decimal": "DECIMAL(20,3)",
    },
    "postgres": {
        "text": 'VARCHAR(60) COLLATE "C"',
        "double": "DOUBLE PRECISION",
        "moment": "TIMESTAMP",
        "bool": "BOOLEAN",
        "decimal": "DECIMAL(20,3)",
    },
}
TABLES = {
    "users": "id INT PRIMARY KEY, name {text}, age SMALLINT, verified {bool}, boss_id INT REFERENCES users (id),"
    " score {double}, balance {decimal}, joined DATE, big BIGINT",
    "posts": "id BIGINT PRIMARY KEY, user_id INT REFERENCES users (id), title {text}, views INT, published {bool},"
    " price {decimal}, day DATE, at {moment}",
    "tags": "id INT PRIMARY KEY, name {text}",
    "post_tags": "post_id BIGINT NOT NULL REFERENCES posts (id), tag_id INT NOT NULL REFERENCES tags (id),"
    " PRIMARY KEY (post_id, tag_id)",
}


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

    def like(self, column: str, pattern: str, negated: bool, folded: bool) -> str:
        if folded:
            column, pattern = f"lower({column})", pattern.lower()
        escape = " ESCAPE " + self.text("\\")
        return f"{column} {'NOT ' if negated else ''}LIKE {self.text(pattern)}{escape}"


def statements(kind: str) -> list[str]:
    made = []
    for name, columns in TABLES.items():
        body = columns.format(**TYPES[kind])
        if kind == "mariadb":  # whose inline references say nothing
            keys = [part.split() for part in columns.split(",") if " REFERENCES " in part]
            for part in keys:
                body = body.replace(f" REFERENCES {part[-2]} (id)", "")
                body += f", FOREIGN KEY ({part[0]}) REFERENCES {part[-2]} (id)"
        made.append(f"CREATE TABLE {name} ({body})")
    return made


def fill(
    kind: str, execute: Callable[[str, list[tuple[Any, ...]]], None], rows: dict[str, list[dict[str, Any]]]
) -> None:
    mark = "?" if kind == "sqlite" else "%s"
    for table, some in rows.items():
        columns = list(some[0])
        values = [tuple(_given(kind, row[name]) for name in columns) for row in some]
        execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})", values)


def _given(kind: str, value: Any) -> Any:
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
    if storage == "moment":
        text = value.isoformat() if isinstance(value, datetime) else str(value).replace(" ", "T")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, timedelta):
        raise TypeError(value)
    return str(value)
