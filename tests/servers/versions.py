"""Which servers the tests run on: those of a default run, and with `--servers=all` every version that is supported.

A kind names a server: `mariadb`, `postgres` (the system's own), or `postgres18` (an installed version).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

Choice = Literal["default", "all"]
CHOICES: tuple[Choice, ...] = ("default", "all")
POSTGRES_VERSIONS = (13, 14, 15, 16, 17, 18)
BINLOG_DEFAULT = ("mariadb", "mysql")
BINLOG_ALL = (*BINLOG_DEFAULT, "mariadb-next", "mysql-without-gtids")
POSTGRES_NEWEST = POSTGRES_VERSIONS[-1]


def folder() -> Path:
    """Where servers are installed that the system has no package of. A server that root starts runs as another user,
    who can't look into root's home."""
    given = os.environ.get("REFLEXDB_TEST_SERVERS")
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/cache/reflexdb/test-servers")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reflexdb" / "test-servers"
