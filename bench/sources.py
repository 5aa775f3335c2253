"""Private MariaDB and PostgreSQL servers for the benchmarks: started with what they need, and gone afterwards.

Who measures over them decides what is in them (`writing`) and what a connection is made with (`reached`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import mariadb, postgres

from bench import writing

STARTERS: dict[str, Callable[[Path], tuple[Any, Any]]] = {"mysql": mariadb.start, "postgres": postgres.start}
NAMES = {"mysql": "MariaDB", "postgres": "PostgreSQL", "sqlite": "SQLite"}
STOP_LIMIT_S = 60


@contextmanager
def started(backend: str) -> Iterator[tuple[int, writing.Login]]:
    """The server's process id, and how to reach it as its administrator."""
    home = Path(tempfile.mkdtemp(prefix="reflexdb-bench-"))
    try:
        process, server = STARTERS[backend](home)
        try:
            yield process.pid, writing.Login(backend, server.host, server.port, server.user, server.password)
        finally:
            process.terminate()
            process.wait(STOP_LIMIT_S)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def reached(login: writing.Login) -> dict[str, Any]:
    """What a connection to its database `bench` is made with."""
    return {
        "mysqlHost": login.host,
        "mysqlPort": login.port,
        "mysqlUser": login.user,
        "mysqlPassword": login.password,
        "availableSchemas": ["bench"],
    }
