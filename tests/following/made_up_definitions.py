"""Made-up changes of definitions and rights, the same for the same seed, in the words of PostgreSQL.

A change is a few statements of the owner; one that the server refuses counts as made by somebody who saw the error.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.following.reader import grants
from tests.servers.plugin import TestDatabase

PLAIN = ("t0", "t1", "t2")
"""Tables with the same columns: what can be done to one can be done to each."""
ALL = (*PLAIN, "parted")
COLUMNS = "id int, v text, w text, n int, c addr, e mood, l mood[], d {name}_sum"
NAMES = "(id, v, w, n, c, e, l)"
VALUES = "n, 'v' || n, 'w' || n, n, ROW(n, 's' || n)::addr, (enum_range(NULL::mood))[1], enum_range(NULL::mood)"
PARTS = 4
Statements = list[str]


def table(name: str) -> str:
    """With a computed column."""
    columns = COLUMNS.replace("{name}_sum", "int GENERATED ALWAYS AS (n * 2) STORED")
    return f"CREATE TABLE {name} ({columns}, PRIMARY KEY (id))"


class MadeUpDefinitions:
    """Changes for a database with one reader."""

    def __init__(self, seed: int, database: TestDatabase) -> None:
        """The database is the reader's."""
        self.dice = random.Random(f"{seed} definitions")
        self._database, self.reader = database, database.user
        self._made = 0

    def definitions(self) -> Statements:
        return [
            "CREATE TYPE addr AS (zip int, street text)",
            "CREATE TYPE mood AS ENUM ('m0', 'm1')",
            *(table(name) for name in PLAIN),
            "CREATE TABLE parted (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id)",
            *(self._part(number) for number in range(PARTS)),
            "CREATE VIEW seen AS SELECT id, v FROM t0",
            "CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n, max(v) AS v FROM t1",
            *(f"INSERT INTO {name} {NAMES} SELECT {VALUES} FROM generate_series(1, 30) n" for name in PLAIN),
            "INSERT INTO parted SELECT n, 'v' || n, 'w' || n FROM generate_series(1, 39) n",
            *grants(self._database, ALL),
        ]

    def _part(self, number: int) -> str:
        bounds = f"FROM ({number * 10}) TO ({number * 10 + 10})"
        return f"CREATE TABLE parted_{number} PARTITION OF parted FOR VALUES {bounds}"

    def change(self) -> Statements:
        """One step."""
        kinds: tuple[Callable[[str], Statements], ...] = (
            *[self._write] * 12,
            self._exchange,
            self._exchange_and_back,
            self._expand,
            self._anew,
            self._retype,
            self._rewrite,
            self._compute,
            self._attribute,
            self._label,
            self._key,
            self._part_moved,
            self._rights,
            self._column_rights,
            self._security,
            self._exempt,
            self._swap,
            self._views,
            self._harmless,
        )
        return self.dice.choice(kinds)(self.dice.choice(ALL))

    def mend(self, name: str) -> Statements:
        """The table is as it was at first, with rows of its own."""
        if name in ("seen", "kept", "parted"):
            return self._rebuild_others()
        return [
            f"DROP TABLE IF EXISTS {name} CASCADE",
            table(name),
            f"INSERT INTO {name} {NAMES} SELECT {VALUES} FROM generate_series(1, 10) n",
            f"ALTER PUBLICATION reflexdb ADD TABLE {name}",
            *self._rebuild_others(),
        ]

    def _rebuild_others(self) -> Statements:
        return [
            "DROP VIEW IF EXISTS seen",
            "CREATE VIEW seen AS SELECT id, v FROM t0",
            "DROP MATERIALIZED VIEW IF EXISTS kept",
            "CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n, max(v) AS v FROM t1",
            "ALTER TABLE parted ADD PRIMARY KEY (id)",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {self.reader}",
        ]

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _write(self, name: str) -> Statements:
        low, number = self.dice.randrange(40), self._number()
        fresh = f"SELECT {VALUES} FROM generate_series({low}, {low + 3}) n"
        insert = f"INSERT INTO {name} {NAMES} {fresh} ON CONFLICT DO NOTHING"
        if name == "parted":
            insert = f"INSERT INTO parted SELECT n, 'x{number}', 'y' FROM generate_series({low}, {min(low + 3, 39)}) n"
            insert += " ON CONFLICT DO NOTHING"
        column = self.dice.choice("vw")
        update = f"UPDATE {name} SET {column} = 'u{number}' WHERE id BETWEEN {low} AND {low + 5}"
        delete = f"DELETE FROM {name} WHERE id BETWEEN {low} AND {low + 1}"
        rekey = f"UPDATE {name} SET id = id + 100 WHERE id = {low}"
        compose = f"UPDATE {name} SET c = NULL WHERE id = {low}"
        return ["BEGIN", *self.dice.choices((insert, update, update, delete, rekey, compose), k=3), "COMMIT"]

    def _renames(self, name: str) -> Statements:
        pairs = (("v", "x"), ("w", "v"), ("x", "w"))
        return ["BEGIN", *(f"ALTER TABLE {name} RENAME {old} TO {new}" for old, new in pairs), "COMMIT"]

    def _exchange(self, name: str) -> Statements:
        return [*self._renames(name), *self.dice.choice(([], self._write(name)))]

    def _exchange_and_back(self, name: str) -> Statements:
        return [*self._renames(name), *self._write(name), *self._renames(name)]

    def _expand(self, name: str) -> Statements:
        """Expand and contract."""
        return [
            f"ALTER TABLE {name} ADD v_new text",
            f"UPDATE {name} SET v_new = upper(v)",
            "BEGIN",
            f"ALTER TABLE {name} RENAME v TO v_old",
            f"ALTER TABLE {name} RENAME v_new TO v",
            "COMMIT",
            f"ALTER TABLE {name} DROP v_old CASCADE",
            *self._rebuild_others(),
        ]

    def _anew(self, name: str) -> Statements:
        at_once = [f"ALTER TABLE {name} DROP w, ADD w text DEFAULT 'd{self._number()}'"]
        return self.dice.choice((at_once, [f"ALTER TABLE {name} DROP w", f"ALTER TABLE {name} ADD w text"]))

    def _retype(self, name: str) -> Statements:
        kind = self.dice.choice(("varchar(200)", "text", 'text COLLATE "C"', "varchar", "int USING 1"))
        return [f"ALTER TABLE {name} ALTER w TYPE {kind}"]

    def _rewrite(self, name: str) -> Statements:
        return [f"ALTER TABLE {name} ALTER w TYPE text USING w || '!'"]

    def _compute(self, name: str) -> Statements:
        factor = self.dice.randrange(9)
        anew = f"ALTER TABLE {name} DROP d, ADD d int GENERATED ALWAYS AS (n * {factor}) STORED"
        return [self.dice.choice((anew, f"ALTER TABLE {name} ALTER d SET EXPRESSION AS (n * {factor})"))]

    def _attribute(self, _: str) -> Statements:
        name = f"a{self.dice.randrange(3)}"
        changes = (f"ADD ATTRIBUTE {name} text", f"DROP ATTRIBUTE {name}", f"RENAME ATTRIBUTE {name} TO b{name}")
        return [f"ALTER TYPE addr {self.dice.choice((*changes, f'RENAME ATTRIBUTE b{name} TO {name}'))} CASCADE"]

    def _label(self, _: str) -> Statements:
        number = self._number()
        add = f"ALTER TYPE mood ADD VALUE 'm{number}' {self.dice.choice(('', 'BEFORE ' + repr('m1')))}"
        rename = "DO $$ BEGIN EXECUTE format('ALTER TYPE mood RENAME VALUE %%L TO ' || quote_literal('r{n}'), "
        rename = rename.replace("%%", "%").replace("{n}", str(number))
        rename += (
            "(SELECT enumlabel FROM pg_enum WHERE enumtypid = 'mood'::regtype ORDER BY enumsortorder LIMIT 1)); END $$"
        )
        return [self.dice.choice((add, rename, rename))]

    def _key(self, name: str) -> Statements:
        drop = f"ALTER TABLE {name} DROP CONSTRAINT {name}_pkey"
        return [drop, *self.dice.choice(([], [f"ALTER TABLE {name} ADD PRIMARY KEY (id)"]))]

    def _part_moved(self, _: str) -> Statements:
        number = self.dice.randrange(PARTS)
        part = f"parted_{number}"
        detach = f"ALTER TABLE parted DETACH PARTITION {part}"
        attach = f"ALTER TABLE parted ATTACH PARTITION {part} FOR VALUES FROM ({number * 10}) TO ({number * 10 + 10})"
        change = f"UPDATE {part} SET v = 'detached {self._number()}'"
        return self.dice.choice(
            (
                [detach],
                [attach],
                [detach, change, attach],
                [f"TRUNCATE {part}"],
                [f"DROP TABLE {part}"],
                [self._part(number)],
            )
        )

    def _rights(self, name: str) -> Statements:
        given = f"GRANT SELECT ON {name} TO {self.reader}"
        taken = f"REVOKE SELECT ON {name} FROM {self.reader}"
        return self.dice.choice(([taken], [given], [taken, given]))

    def _column_rights(self, name: str) -> Statements:
        given = f"GRANT SELECT (id, v) ON {name} TO {self.reader}"
        return [f"REVOKE SELECT ON {name} FROM {self.reader}", given]

    def _security(self, name: str) -> Statements:
        policy = f"few ON {name}"
        made = f"CREATE POLICY {policy} FOR SELECT USING (id % {self.dice.randrange(2, 5)} = 0)"
        altered = f"ALTER POLICY {policy} USING (id > {self.dice.randrange(30)})"
        on, off = (f"ALTER TABLE {name} {word} ROW LEVEL SECURITY" for word in ("ENABLE", "DISABLE"))
        return self.dice.choice(
            ([made, on], [altered], [off], [f"DROP POLICY {policy}"], [on, *self._write(name), off])
        )

    def _exempt(self, _: str) -> Statements:
        return [f"ALTER ROLE {self.reader} {self.dice.choice(('BYPASSRLS', 'NOBYPASSRLS'))}"]

    def _swap(self, name: str) -> Statements:
        """As tools do that make a table anew beside the old one."""
        if name == "parted":
            return []
        return [
            f"CREATE TABLE {name}_fresh (LIKE {name} INCLUDING ALL)",
            f"INSERT INTO {name}_fresh {NAMES} SELECT {NAMES[1:-1]} FROM {name} WHERE id % 2 = 0",
            f"GRANT SELECT ON {name}_fresh TO {self.reader}",
            f"ALTER PUBLICATION reflexdb ADD TABLE {name}_fresh",
            "BEGIN",
            f"ALTER TABLE {name} RENAME TO {name}_gone",
            f"ALTER TABLE {name}_fresh RENAME TO {name}",
            "COMMIT",
            f"DROP TABLE {name}_gone CASCADE",
            f"ALTER INDEX {name}_fresh_pkey RENAME TO {name}_pkey",
            *self._rebuild_others(),
        ]

    def _views(self, _: str) -> Statements:
        replaced = f"CREATE OR REPLACE VIEW seen AS SELECT id, v || '{self._number()}' AS v FROM t0"
        return [self.dice.choice((replaced, "REFRESH MATERIALIZED VIEW kept"))]

    def _harmless(self, name: str) -> Statements:
        return self.dice.choice(
            (
                [f"ALTER TABLE {name} ALTER v SET DEFAULT 'd'"],
                [f"ALTER TABLE {name} ALTER v SET STATISTICS {self.dice.randrange(100)}"],
                [f"ALTER TABLE {name} ADD more{self._number()} int DEFAULT 1"],
                [f"VACUUM FULL {name}"],
                [f"CREATE INDEX ON {name} (w)"],
            )
        )
