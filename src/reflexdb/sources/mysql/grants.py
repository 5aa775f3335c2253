"""The privileges that the user of a connection needs, each with the reason: the one list that the documentation prints,
that the connection test and the preflight compare with, and that the tests give to the user they read with. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege. Statements are for `schema` and `account`, which are given as SQL."""

    privilege: str
    on_server: bool
    """Given ON *.*; else on the schema."""
    why: str
    for_views: bool = False
    """Needed only where views are served."""

    def statement(self, schema: str, account: str) -> str:
        return f"GRANT {self.privilege} ON {'*.*' if self.on_server else f'{schema}.*'} TO {account};"


SELECT = Grant("SELECT", False, "to read tables, and to see their keys and definitions")
SHOW_VIEW = Grant("SHOW VIEW", False, "only for views: to see their tables; without it they are polled", True)
REPLICATION_SLAVE = Grant("REPLICATION SLAVE", True, "to be sent the binary log")
BINLOG_MONITOR = Grant("BINLOG MONITOR", True, "to ask where the binary log ends")
REPLICATION_CLIENT = Grant("REPLICATION CLIENT", True, "to ask where the binary log ends")
LOCK_TABLES = Grant("LOCK TABLES", False, "only where gtid_mode is not ON: to hold tables for an instant")

MARIADB: tuple[Grant, ...] = (SELECT, SHOW_VIEW, REPLICATION_SLAVE, BINLOG_MONITOR)
"""MariaDB 10.5 and later."""
OLD_MARIADB: tuple[Grant, ...] = (SELECT, SHOW_VIEW, REPLICATION_SLAVE, REPLICATION_CLIENT)
MYSQL: tuple[Grant, ...] = (SELECT, SHOW_VIEW, REPLICATION_SLAVE, REPLICATION_CLIENT)
MYSQL_WITHOUT_GTIDS: tuple[Grant, ...] = (*MYSQL, LOCK_TABLES)


def needed(*, mariadb: bool, number: tuple[int, int], gtid: bool, views: bool) -> tuple[Grant, ...]:
    """The grants for a server of this kind and version; `views` says whether any are served."""
    of_mariadb = MARIADB if number >= (10, 5) else OLD_MARIADB
    of_mysql = MYSQL if gtid else MYSQL_WITHOUT_GTIDS
    return tuple(grant for grant in (of_mariadb if mariadb else of_mysql) if views or not grant.for_views)


def markdown() -> str:
    """The statements that a server's administrator runs, for the documentation."""
    parts = []
    for title, grants in (
        ("MariaDB 10.5 and later (before it, `REPLICATION CLIENT` in place of `BINLOG MONITOR`)", MARIADB),
        ("MySQL", MYSQL_WITHOUT_GTIDS),
    ):
        lines = [f"{grant.statement('shop', 'reflexdb')}  -- {grant.why}" for grant in grants]
        parts.append("\n".join([f"{title}:", "", "```sql", *lines, "```"]))
    return "\n\n".join(parts)
