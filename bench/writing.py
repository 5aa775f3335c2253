"""Writes to a source at a steady rate, or as much as it can: the other side of `bench.following`.

Runs in a process of its own, so that it takes no time from the client that asks. Every transaction ends by setting the
marker, the number in row 0, to its own number.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql

ROWS = 100_000
STEADY_ROWS = 10
"""Changes of a transaction, the marker's among them."""
_TABLE = (
    "CREATE TABLE items (id int PRIMARY KEY, name varchar(60) NOT NULL, price decimal(10,2), made {moment}, n bigint)"
)
_MARK = "UPDATE items SET n = %s WHERE id = 0"
_SOME = "UPDATE items SET n = n + 1, price = price + 0.01 WHERE id BETWEEN %s AND %s"


@dataclass(frozen=True, slots=True)
class Login:
    backend: str
    host: str
    port: int
    user: str
    password: str


def write(login: Login, what: str, arguments: tuple[float, ...]) -> list[tuple[float, int]]:
    """When each transaction was committed (by the clock that all processes read), and its marker."""
    if what == "prepare":
        _prepare(login)
        return []
    with connected(login, "bench") as (connection, cursor):
        cursor.execute("SELECT n FROM items WHERE id = 0")
        marker = int(cursor.fetchone()[0])
        writes = _steady(*arguments) if what == "steady" else _backlog(*arguments)
        written = []
        for first, last in writes:
            marker += 1
            cursor.execute(_SOME, (first, last))
            cursor.execute(_MARK, (marker,))
            connection.commit()
            written.append((time.monotonic(), marker))
        return written


def _steady(seconds: float, rate: float) -> Iterator[tuple[int, int]]:
    """So many changes a second, in transactions evenly spaced."""
    began, number, size = time.monotonic(), 0, STEADY_ROWS - 1
    for number in range(int(seconds * rate / STEADY_ROWS)):
        time.sleep(max(0.0, began + number * STEADY_ROWS / rate - time.monotonic()))
        first = 1 + number * 7919 % (ROWS - size)
        yield first, first + size - 1


def _backlog(transactions: float, rows: float) -> Iterator[tuple[int, int]]:
    for number in range(int(transactions)):
        first = 1 + number * 7919 % (ROWS - int(rows))
        yield first, first + int(rows) - 1


def create(login: Login) -> None:
    """The empty database `bench`."""
    with connected(login, None) as (connection, cursor):
        if login.backend == "postgres":
            connection.autocommit = True
        cursor.execute("CREATE DATABASE bench")


def _prepare(login: Login) -> None:
    create(login)
    made = [(number, f"name of {number}", number / 7, "2026-01-01 00:00:00", 0) for number in range(ROWS + 1)]
    moment = "datetime" if login.backend == "mysql" else "timestamp"
    with connected(login, "bench") as (connection, cursor):
        cursor.execute(_TABLE.format(moment=moment))
        cursor.executemany("INSERT INTO items (id, name, price, made, n) VALUES (%s, %s, %s, %s, %s)", made)
        connection.commit()


@contextlib.contextmanager
def connected(login: Login, database: str | None) -> Iterator[tuple[Any, Any]]:
    """A connection and a cursor of it."""
    given: dict[str, Any] = {"host": login.host, "port": login.port, "user": login.user}
    if login.backend == "mysql":
        password = login.password.encode()  # PyMySQL would encode text as latin1
        connection: Any = pymysql.connect(**given, password=password, database=database, charset="utf8mb4")
    else:
        connection = psycopg.connect(**given, password=login.password, dbname=database or "postgres")
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield connection, cursor
