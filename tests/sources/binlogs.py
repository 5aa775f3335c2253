"""Short ways to say what the tests of MariaDB's binary log do."""

from __future__ import annotations

import contextlib
from typing import Any

from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.mysql.binlog.follower import MySQLFollower
from tests.servers.plugin import TestDatabase
from tests.sources.applying import keyed_plan
from tests.sources.helpers import mysql_address

ITEMS = "CREATE TABLE items (id int PRIMARY KEY, name varchar(40), cents bigint)"


def plan_for(database: TestDatabase, *statements: str, where: dict[str, str] | None = None) -> Plan:
    """Run statements that define tables; the plan of what is there then."""
    script(database, *statements)
    source = open_source(mysql_address(database))
    return keyed_plan(source.introspect(database.schema), where)


def follower_of(database: TestDatabase) -> MySQLFollower:
    return MySQLFollower(mysql_address(database))


def script(database: TestDatabase, *statements: str, **options: Any) -> None:
    """Run statements in one session."""
    with contextlib.closing(database.connect(**options)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
