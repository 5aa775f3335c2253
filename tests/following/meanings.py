"""Every way in which stored values get another meaning, or the reader other rights, each with a table of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reflexdb.sources.postgres.grants import FOLLOWING, READING
from tests.following.reader import grants

ROWS = 4


@dataclass(frozen=True)
class Case:
    """A table `{t}` with the columns `id` and `v`, how it is altered, and whether it can't be served afterwards."""

    columns: str
    values: str
    change: tuple[str, ...]
    is_misfit: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ("UPDATE {t} SET id = id + 10 WHERE id = 1",)
    since: int = 0
    """The server's major version."""
    grant: str = "GRANT SELECT ON {t} TO {role}"


EXCHANGE = "BEGIN; ALTER TABLE {t} RENAME v TO x; ALTER TABLE {t} RENAME w TO v; ALTER TABLE {t} RENAME x TO w; COMMIT"
TEXT = ("v text, w text", "n::text, 'w' || n")
CASES: dict[str, Case] = {
    "names_swapped": Case(
        "v text",
        "n::text",
        (
            "ALTER TABLE {t} ADD v_new text",
            "UPDATE {t} SET v_new = 'new ' || v",
            "BEGIN; ALTER TABLE {t} RENAME v TO v_old; ALTER TABLE {t} RENAME v_new TO v; COMMIT",
        ),
    ),
    "names_swapped_and_back": Case(
        *TEXT,
        (EXCHANGE, "UPDATE {t} SET v = 'in between' WHERE id = 2", EXCHANGE),
    ),
    "column_made_anew": Case(*TEXT, ("ALTER TABLE {t} DROP v, ADD x int", "ALTER TABLE {t} ADD v text DEFAULT 'anew'")),
    "column_made_anew_at_once": Case("v int", "n", ("ALTER TABLE {t} DROP v, ADD v int DEFAULT 7",)),
    "attribute_added": Case("v {t}_c", "ROW(n, 'a')::{t}_c", ("ALTER TYPE {t}_c ADD ATTRIBUTE z text CASCADE",)),
    "attribute_dropped": Case("v {t}_c", "ROW(n, 'a')::{t}_c", ("ALTER TYPE {t}_c DROP ATTRIBUTE b CASCADE",)),
    "attribute_renamed": Case("v {t}_c", "ROW(n, 'a')::{t}_c", ("ALTER TYPE {t}_c RENAME ATTRIBUTE b TO c CASCADE",)),
    "attributes_swapped_and_back": Case(
        "v {t}_c",
        "ROW(n, 'a')::{t}_c",
        (
            "ALTER TYPE {t}_c RENAME ATTRIBUTE b TO x",
            "UPDATE {t} SET v = ROW(9, 'in between') WHERE id = 2",
            "ALTER TYPE {t}_c RENAME ATTRIBUTE x TO b",
        ),
    ),
    "attribute_of_an_attribute": Case(
        "v {t}_d[]",
        "ARRAY[ROW(ROW(n, 'a')::{t}_c)::{t}_inner::{t}_d]",
        ("ALTER TYPE {t}_c ADD ATTRIBUTE z text CASCADE",),
        before=("CREATE TYPE {t}_inner AS (c {t}_c)", "CREATE DOMAIN {t}_d AS {t}_inner"),
    ),
    "row_type_of_a_table": Case(
        "v {t}_other",
        "ROW(n, 'a')::{t}_other",
        ("ALTER TABLE {t}_other RENAME b TO c",),
        before=("CREATE TABLE {t}_other (a int, b text)",),
    ),
    "label_renamed": Case("v {t}_e", "'sad'::{t}_e", ("ALTER TYPE {t}_e RENAME VALUE 'sad' TO 'blue'",)),
    "label_of_an_array_renamed": Case(
        "v {t}_e[]", "'{{sad,glad}}'::{t}_e[]", ("ALTER TYPE {t}_e RENAME VALUE 'sad' TO 'blue'",)
    ),
    "label_added": Case(
        "v {t}_e",
        "'sad'::{t}_e",
        ("ALTER TYPE {t}_e ADD VALUE 'first' BEFORE 'sad'", "UPDATE {t} SET v = 'first' WHERE id = 2"),
    ),
    "labels_swapped": Case(
        "v {t}_e",
        "'sad'::{t}_e",
        (
            "BEGIN; ALTER TYPE {t}_e RENAME VALUE 'sad' TO 'x'; ALTER TYPE {t}_e RENAME VALUE 'glad' TO 'sad'; "
            "ALTER TYPE {t}_e RENAME VALUE 'x' TO 'glad'; COMMIT",
        ),
    ),
    "domain_constrained": Case("v {t}_p", "n", ("ALTER DOMAIN {t}_p ADD CHECK (value > 0) NOT VALID",)),
    "domain_to_its_base": Case("v {t}_p", "n", ("ALTER TABLE {t} ALTER v TYPE int",)),
    "text_widened": Case("v varchar(9)", "n::text", ("ALTER TABLE {t} ALTER v TYPE text",)),
    "collation_changed": Case("v text", "n::text", ('ALTER TABLE {t} ALTER v TYPE text COLLATE "C"',)),
    "moment_got_a_zone": Case(
        "v timestamp",
        "timestamp '2020-01-01'",
        ("SET TimeZone = 'UTC'; ALTER TABLE {t} ALTER v TYPE timestamptz",),
        is_misfit=True,
    ),
    "type_there_and_back": Case(
        "v int", "n", ("ALTER TABLE {t} ALTER v TYPE text USING 'x'", "ALTER TABLE {t} ALTER v TYPE int USING 5")
    ),
    "rewritten": Case("v int", "n", ("ALTER TABLE {t} ALTER v TYPE int USING v * 100",)),
    "expression_made_anew": Case(
        "w int, v int GENERATED ALWAYS AS (w * 2) STORED",
        "n",
        ("ALTER TABLE {t} DROP v", "ALTER TABLE {t} ADD v int GENERATED ALWAYS AS (w * 3) STORED"),
    ),
    "expression_altered": Case(
        "w int, v int GENERATED ALWAYS AS (w * 2) STORED",
        "n",
        ("ALTER TABLE {t} ALTER v SET EXPRESSION AS (w * 3)",),
        since=17,
    ),
    "virtual_expression_altered": Case(  # which the server refuses while the table is published
        "w int, v int GENERATED ALWAYS AS (w * 2) VIRTUAL",
        "n",
        (
            "ALTER PUBLICATION reflexdb DROP TABLE {t}",
            "ALTER TABLE {t} ALTER v SET EXPRESSION AS (w * 3)",
            "ALTER PUBLICATION reflexdb ADD TABLE {t}",
        ),
        since=18,
    ),
    "table_swapped": Case(
        "v text",
        "n::text",
        (
            "CREATE TABLE {t}_new (LIKE {t} INCLUDING ALL)",
            "INSERT INTO {t}_new VALUES (1, 'swapped')",
            "GRANT SELECT ON {t}_new TO {role}",
            "ALTER PUBLICATION reflexdb ADD TABLE {t}_new",
            "BEGIN; ALTER TABLE {t} RENAME TO {t}_old; ALTER TABLE {t}_new RENAME TO {t}; COMMIT",
        ),
    ),
    "heir_attached": Case(
        "v text", "n::text", ("CREATE TABLE {t}_heir () INHERITS ({t})", "INSERT INTO {t}_heir VALUES (90, 'heir')")
    ),
    "key_dropped": Case("v text", "n::text", ("ALTER TABLE {t} DROP CONSTRAINT {t}_pkey",), is_misfit=True, after=()),
    "column_gone": Case("v text", "n::text", ("ALTER TABLE {t} DROP v",), is_misfit=True),
    "table_gone": Case("v text", "n::text", ("DROP TABLE {t}",), is_misfit=True, after=()),
    "rows_secured": Case(
        "v text",
        "n::text",
        ("CREATE POLICY few ON {t} FOR SELECT USING (id < 3)", "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY"),
        after=("INSERT INTO {t} VALUES (2000, 'hidden'), (-1, 'shown')",),
    ),
    "policy_altered": Case(
        "v text",
        "n::text",
        ("ALTER POLICY few ON {t} USING (id > 2)",),
        before=(),
    ),
    "function_of_a_policy_altered": Case(
        "v text",
        "n::text",
        ("CREATE OR REPLACE FUNCTION {t}_f(int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT $1 > 2'",),
        before=("CREATE FUNCTION {t}_f(int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT $1 < 2'",),
    ),
    "security_ended": Case("v text", "n::text", ("ALTER TABLE {t} DISABLE ROW LEVEL SECURITY",)),
    "select_revoked": Case("v text", "n::text", ("REVOKE SELECT ON {t} FROM {role}",), is_misfit=True),
    "column_revoked": Case(
        "v text",
        "n::text",
        ("REVOKE SELECT (v) ON {t} FROM {role}",),
        is_misfit=True,
        grant="GRANT SELECT (id, v) ON {t} TO {role}",
    ),
    "group_left": Case(
        "v text",
        "n::text",
        ("REVOKE {role}_group FROM {role}",),
        is_misfit=True,
        grant="GRANT SELECT ON {t} TO {role}_group",
    ),
}
ROW_TYPE = "row_type_of_a_table_other"
"""A table that is planned because a case uses its row type; it lacks a column afterwards."""
SECURED = {
    "policy_altered": "id < 3",
    "function_of_a_policy_altered": "function_of_a_policy_altered_f(id)",
    "security_ended": "id < 3",
}
PARTED = (
    "CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    *(f"CREATE TABLE parted_{n} PARTITION OF parted FOR VALUES FROM ({n * 10}) TO ({n * 10 + 10})" for n in range(3)),
    "INSERT INTO parted SELECT n, n::text FROM generate_series(1, 25) n",
)
REATTACHED = (
    "ALTER TABLE parted DETACH PARTITION parted_1",
    "UPDATE parted_1 SET v = 'while detached'",
    "ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES FROM (10) TO (20)",
)
VIEWS = (
    "CREATE VIEW seen AS SELECT id, v FROM parted WHERE id < 3",
    "CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM parted",
)
VIEWS_CHANGED = (
    "CREATE OR REPLACE VIEW seen AS SELECT id, v || '!' AS v FROM parted WHERE id < 5",
    "INSERT INTO parted VALUES (29, 'later')",
    "REFRESH MATERIALIZED VIEW kept",
)


def chosen(database: Any) -> dict[str, Case]:
    """Those that the server's version knows."""
    ((version,),) = database.execute("SHOW server_version_num")
    return {name: case for name, case in CASES.items() if int(version) >= case.since * 10_000}


def made(name: str, case: Case) -> list[str]:
    statements = [
        "CREATE TYPE {t}_c AS (a int, b text)",
        "CREATE TYPE {t}_e AS ENUM ('sad', 'glad')",
        "CREATE DOMAIN {t}_p AS int",
        *case.before,
        f"CREATE TABLE {{t}} (id int PRIMARY KEY, {case.columns})",
        f"INSERT INTO {{t}} SELECT n, {case.values} FROM generate_series(1, {ROWS}) n",
        case.grant,
    ]
    if name in SECURED:
        statements.append(f"CREATE POLICY few ON {{t}} FOR SELECT USING ({SECURED[name]})")
        statements.append("ALTER TABLE {t} ENABLE ROW LEVEL SECURITY")
    return statements


@contextlib.contextmanager
def group(database: Any) -> Iterator[None]:
    """A role that the reader is in."""
    database.execute(f"CREATE ROLE {database.user}_group")
    database.execute(f"GRANT {database.user}_group TO {database.user}")
    try:
        yield
    finally:
        database.execute(f"DROP OWNED BY {database.user}_group")
        database.execute(f"DROP ROLE {database.user}_group")


def of(database: Any, name: str, statement: str) -> str:
    """A statement of a case, for the reader's database."""
    return statement.replace("{t}", name).replace("{role}", database.user).replace("{{", "{").replace("}}", "}")


def definitions(database: Any) -> list[str]:
    """What the owner runs before anything is followed."""
    cases = chosen(database)
    statements = [of(database, name, statement) for name, case in cases.items() for statement in made(name, case)]
    statements += [*PARTED, *VIEWS, f"GRANT SELECT ON parted, seen, kept TO {database.user}"]
    statements += grants(database, [*cases, "parted"], (*READING[:2], *FOLLOWING))
    others = [f"{name}_other" for name, case in cases.items() if "{t}_other" in "".join(case.before)]
    return [*statements, *(f"GRANT SELECT ON {name} TO {database.user}" for name in others)]


def changes(database: Any) -> list[str]:
    """Of all cases."""
    found = [of(database, name, statement) for name, case in chosen(database).items() for statement in case.change]
    return [*found, *REATTACHED, *VIEWS_CHANGED]
