"""Tables of every kind of key, identity, partitioning, generation and inheritance, each with columns `id` and `v`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from tests.servers.plugin import TestDatabase

GENERATED_FROM, MERGE_FROM = 180_000, 150_000
PARTS = ("FOR VALUES FROM (0) TO (100)", "FOR VALUES FROM (100) TO (1000)")


def partitioned(name: str, columns: str, *more: str, leaves: tuple[str, str] = ("", "")) -> tuple[str, ...]:
    """A table with two partitions; `leaves` is run for each, with its name for `{}`."""
    made = [f"CREATE TABLE {name} ({columns}) PARTITION BY RANGE (id)"]
    for number, (values, leaf) in enumerate(zip(PARTS, leaves, strict=True)):
        made.append(f"CREATE TABLE {name}_{number} PARTITION OF {name} {values}")
        made += [leaf.format(f"{name}_{number}")] if leaf else []
    return (*made, *more)


FULL, NOTHING = "ALTER TABLE {} REPLICA IDENTITY FULL", "ALTER TABLE {} REPLICA IDENTITY NOTHING"
KEYED, KEYLESS = "id int PRIMARY KEY, v int", "id int NOT NULL, v int"
TABLES: dict[str, tuple[str, ...]] = {
    "plain": (f"CREATE TABLE plain ({KEYED})",),
    "keyless": (f"CREATE TABLE keyless ({KEYLESS})",),
    "keyless_full": (f"CREATE TABLE keyless_full ({KEYLESS})", FULL.format("keyless_full")),
    "keyed_full": (f"CREATE TABLE keyed_full ({KEYED})", FULL.format("keyed_full")),
    "keyed_nothing": (f"CREATE TABLE keyed_nothing ({KEYED})", NOTHING.format("keyed_nothing")),
    "unique_only": ("CREATE TABLE unique_only (id int UNIQUE NOT NULL, v int)",),
    "by_index": (
        "CREATE TABLE by_index (id int NOT NULL, v int)",
        "CREATE UNIQUE INDEX by_index_id ON by_index (id)",
        "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_id",
    ),
    "by_lost_index": (
        "CREATE TABLE by_lost_index (id int NOT NULL, v int)",
        "CREATE UNIQUE INDEX by_lost_index_id ON by_lost_index (id)",
        "ALTER TABLE by_lost_index REPLICA IDENTITY USING INDEX by_lost_index_id",
        "DROP INDEX by_lost_index_id",
    ),
    "by_other_index": (
        "CREATE TABLE by_other_index (id int PRIMARY KEY, v int, w int NOT NULL DEFAULT 1)",
        "CREATE UNIQUE INDEX by_other_index_w ON by_other_index (w, id)",
        "ALTER TABLE by_other_index REPLICA IDENTITY USING INDEX by_other_index_w",
    ),
    "deferred": ("CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, v int)",),
    "deferred_full": (
        "CREATE TABLE deferred_full (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v int)",
        FULL.format("deferred_full"),
    ),
    "including": ("CREATE TABLE including (id int, v int, PRIMARY KEY (id) INCLUDE (v))",),
    "generated": (f"CREATE TABLE generated ({KEYED}, g int GENERATED ALWAYS AS (id * 2) STORED)",),
    "generated_full": (
        f"CREATE TABLE generated_full ({KEYED}, g int GENERATED ALWAYS AS (id * 2) STORED)",
        FULL.format("generated_full"),
    ),
    "generated_key": (
        "CREATE TABLE generated_key (id int, v int, g int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY)",
    ),
    "unlogged": (f"CREATE UNLOGGED TABLE unlogged ({KEYED})",),
    "parent": (
        f"CREATE TABLE parent ({KEYED})",
        f"CREATE TABLE child ({KEYED}) INHERITS (parent)",
        "CREATE TABLE grandchild () INHERITS (child)",
        f"CREATE TABLE heir ({KEYED}) INHERITS (parent)",
    ),
    "cascaded": (
        "CREATE TABLE owners (id int PRIMARY KEY, v int)",
        "CREATE TABLE cascaded (id int REFERENCES owners ON DELETE CASCADE ON UPDATE CASCADE, v int)",
        "INSERT INTO owners SELECT n, n FROM generate_series(1, 999) n",
    ),
    '"Odd "" Näme"': ('CREATE TABLE "Odd "" Näme" (id int PRIMARY KEY, v int)',),
    "parted": partitioned("parted", KEYED),
    "parted_full": partitioned("parted_full", KEYLESS, FULL.format("parted_full")),
    "parted_all_full": partitioned("parted_all_full", KEYLESS, FULL.format("parted_all_full"), leaves=(FULL, FULL)),
    "parted_keyless": partitioned("parted_keyless", KEYLESS),
    "parted_leaf_nothing": partitioned("parted_leaf_nothing", KEYED, leaves=("", NOTHING)),
    "parted_leaf_full": partitioned("parted_leaf_full", KEYED, leaves=(FULL, "")),
    "parted_nothing": partitioned("parted_nothing", KEYED, NOTHING.format("parted_nothing")),
    "parted_deferrable": partitioned("parted_deferrable", "id int PRIMARY KEY DEFERRABLE, v int"),
    "parted_generated": partitioned(
        "parted_generated", f"{KEYED}, g int GENERATED ALWAYS AS (id * 2) STORED", leaves=(FULL, "")
    ),
    "parted_elsewhere": (
        f"CREATE TABLE parted_elsewhere ({KEYED}) PARTITION BY RANGE (id)",
        f"CREATE TABLE elsewhere.leaf PARTITION OF parted_elsewhere {PARTS[0]}",
        f"CREATE TABLE elsewhere.other PARTITION OF parted_elsewhere {PARTS[1]}",
        NOTHING.format("elsewhere.other"),
    ),
    "parted_twice": (
        f"CREATE TABLE parted_twice ({KEYED}) PARTITION BY RANGE (id)",
        f"CREATE TABLE parted_twice_0 PARTITION OF parted_twice {PARTS[0]} PARTITION BY RANGE (id)",
        f"CREATE TABLE parted_twice_00 PARTITION OF parted_twice_0 {PARTS[0]}",
        f"CREATE TABLE parted_twice_1 PARTITION OF parted_twice {PARTS[1]}",
    ),
    "parted_unlogged": (
        f"CREATE TABLE parted_unlogged ({KEYED}) PARTITION BY RANGE (id)",
        f"CREATE UNLOGGED TABLE parted_unlogged_0 PARTITION OF parted_unlogged {PARTS[0]}",
        f"CREATE TABLE parted_unlogged_1 PARTITION OF parted_unlogged {PARTS[1]}",
    ),
    "parted_empty": (f"CREATE TABLE parted_empty ({KEYED}) PARTITION BY RANGE (id)",),
    "parted_empty_keyless": (f"CREATE TABLE parted_empty_keyless ({KEYLESS}) PARTITION BY RANGE (id)",),
    "parted_foreign": (
        f"CREATE TABLE parted_foreign ({KEYLESS}) PARTITION BY RANGE (id)",
        f"CREATE TABLE parted_foreign_0 PARTITION OF parted_foreign {PARTS[0]}",
        f"CREATE TABLE elsewhere.remote ({KEYED})",
        f"CREATE FOREIGN TABLE parted_foreign_1 PARTITION OF parted_foreign {PARTS[1]} SERVER itself "
        "OPTIONS (schema_name 'elsewhere', table_name 'remote')",
    ),
}
VIRTUAL: dict[str, tuple[str, ...]] = {
    "virtual": (f"CREATE TABLE virtual ({KEYED}, g int GENERATED ALWAYS AS (id * 2) VIRTUAL)",),
    "virtual_full": (
        f"CREATE TABLE virtual_full ({KEYED}, g int GENERATED ALWAYS AS (id * 2) VIRTUAL)",
        FULL.format("virtual_full"),
    ),
}
TEMPORAL: dict[str, tuple[str, ...]] = {
    "temporal": (
        "CREATE TABLE temporal (id int, v int, valid daterange DEFAULT '[2026-01-01,2026-02-01)', "
        "PRIMARY KEY (id, valid WITHOUT OVERLAPS))",
    ),
}
PREPARED = (
    "CREATE SCHEMA elsewhere",
    "CREATE EXTENSION btree_gist WITH SCHEMA elsewhere",
    "CREATE EXTENSION postgres_fdw WITH SCHEMA elsewhere",
    "CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw "
    "OPTIONS (host '{host}', port '{port}', dbname '{database}')",
    "CREATE USER MAPPING FOR PUBLIC SERVER itself "
    "OPTIONS (user '{user}', password {password}, password_required 'false')",
)
FOLLOWED = frozenset(
    {
        "plain",
        "keyless_full",
        "keyed_full",
        "by_index",
        "by_other_index",
        "deferred_full",
        "including",
        "generated",
        "owners",
        'Odd " Näme',
        "parted",
        "parted_leaf_full",
        "parted_twice",
        "parted_empty",
        "heir",
    }
)
"""Names of those that can be in a publication on every version."""
FOLLOWED_BEFORE_18 = frozenset({"generated_full", "generated_key", "parted_generated"})
FOLLOWED_FROM_18 = frozenset({"virtual", "temporal"})


def tables(version: int) -> dict[str, tuple[str, ...]]:
    """Those that a version of the server can have."""
    return TABLES | (VIRTUAL | TEMPORAL if version >= GENERATED_FROM else {})


def followed(version: int) -> frozenset[str]:
    """Names of those that can be in a publication."""
    return FOLLOWED | (FOLLOWED_FROM_18 if version >= GENERATED_FROM else FOLLOWED_BEFORE_18)


def make(database: TestDatabase) -> dict[str, tuple[str, ...]]:
    """All of them, with a few rows each."""
    with database.connect() as admin:
        password = sql.Literal(database.password).as_string(admin)
        place = {"host": database.host, "port": database.port, "database": database.schema, "user": database.user}
        made = tables(admin.info.server_version)
        for statement in PREPARED:
            admin.execute(statement.format(**place, password=password))
        for title, statements in made.items():
            for statement in statements:
                admin.execute(statement)
            if title != "parted_empty" and title != "parted_empty_keyless":
                admin.execute(f"INSERT INTO {title} (id, v) SELECT n, n FROM generate_series(1, 200) n")
    return made


def trials(title: str, version: int) -> list[str]:
    """What an application does to a table."""
    found = [
        f"INSERT INTO {title} (id, v) VALUES (77777 % 1000, 1)",
        f"INSERT INTO {title} (id, v) VALUES (1, 1) ON CONFLICT DO NOTHING",
        f"INSERT INTO {title} (id, v) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
        f"UPDATE {title} SET v = 7",
        f"UPDATE {title} SET v = 7 WHERE id = 150",
        f"UPDATE {title} SET id = id + 600 WHERE id = 2",
        f"UPDATE {title} SET v = 7 WHERE false",
        f"DELETE FROM {title} WHERE id < 150",
        f"DELETE FROM {title} WHERE id = 5555",
        f"TRUNCATE {title} CASCADE",
        f"ALTER TABLE {title} ADD COLUMN extra int",
        f"ALTER TABLE {title} ADD COLUMN twice int GENERATED ALWAYS AS (v * 2) STORED",
        f"ALTER TABLE {title} ALTER COLUMN v TYPE bigint",
        f"ALTER TABLE {title} RENAME COLUMN v TO w",
        f"ALTER TABLE {title} DROP COLUMN v CASCADE",
        f"ALTER TABLE {title} RENAME TO renamed",
        f"ALTER TABLE {title} SET SCHEMA elsewhere",
        f"ALTER TABLE {title} REPLICA IDENTITY FULL",
        f"ALTER TABLE {title} REPLICA IDENTITY NOTHING",
        f"ALTER TABLE {title} REPLICA IDENTITY DEFAULT",
        f"CREATE INDEX ON {title} (v)",
        f"CREATE TABLE leaf PARTITION OF {title} FOR VALUES FROM (1000) TO (2000)",
        f"DROP TABLE {title} CASCADE",
        f"ANALYZE {title}",
    ]
    if version >= MERGE_FROM:
        found.append(
            f"MERGE INTO {title} t USING (VALUES (1), (999)) s(id) ON t.id = s.id WHEN MATCHED AND s.id = 1 THEN "
            "UPDATE SET v = 0 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, 0)"
        )
    return found


def outcome(connection: psycopg.Connection[Any], statement: str) -> str:
    """What the server says to a statement that is rolled back: its error, or nothing."""
    try:
        with connection.transaction() as transaction:
            connection.execute("SET LOCAL lock_timeout = '10s'")
            connection.execute(statement)
            raise psycopg.Rollback(transaction)
    except psycopg.Error as error:
        return str(error).splitlines()[0]
    return ""


def outcomes(database: TestDatabase, titles: Iterable[str]) -> dict[str, str]:
    """Of every trial of every table."""
    with database.connect() as connection:
        version = connection.info.server_version
        wanted = [statement for title in titles for statement in trials(title, version)]
        return {statement: outcome(connection, statement) for statement in wanted}


def writes(database: TestDatabase, titles: Iterable[str], first: str = "SELECT 1") -> dict[str, str]:
    """What the server says to UPDATE, DELETE and MERGE of every table, after a statement that is rolled back too."""
    found = {}
    with database.connect() as connection, connection.transaction() as whole:
        connection.execute(first)
        for title in titles:
            for statement in trials(title, connection.info.server_version):
                if statement.startswith(("UPDATE", "DELETE", "MERGE", "INSERT")):
                    found[statement] = outcome(connection, statement)
        raise psycopg.Rollback(whole)
    return found
