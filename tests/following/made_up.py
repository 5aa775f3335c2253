"""Made-up schemas and transactions, the same for the same seed, in the words of each kind of source."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reflexdb.model.schema import Backend

Value = Callable[[random.Random], Any]
TEXTS = ("", "a", "é", "quote ' \" \\", "tab\tline\nend", "ß ligature", "Z" * 30)
WIDE = ("😀", "日本語", "\u0301 combining")


def whole(low: int, high: int) -> Value:
    return lambda dice: dice.choice((low, high, 0, 1, dice.randint(low, high)))


def text(*more: str) -> Value:
    return lambda dice: dice.choice((*TEXTS, *more))


def number(places: int) -> Value:
    return lambda dice: f"{dice.randint(-999_999, 999_999)}.{dice.randrange(10**places):0{places}}"


def moment(dice: random.Random) -> str:
    return (
        f"{dice.randint(1971, 2037)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02} {dice.randint(0, 23):02}:"
        f"{dice.randint(0, 59):02}:{dice.randint(0, 59):02}.{dice.randrange(1_000_000):06}"
    )


def document(dice: random.Random) -> str:
    return json.dumps(dice.choice(({}, [], {"a": [1, 2.5, None, "é"]}, "text", 17, {"n": {"m": True}})))


def octets(least: int, most: int) -> Value:
    return lambda dice: dice.randbytes(dice.randint(least, most))


REAL: Value = lambda dice: dice.choice((0.0, 1.5, -2.25, 1e10, dice.randint(-1000, 1000) / 8))  # noqa: E731
DAY: Value = lambda dice: moment(dice)[:10]  # noqa: E731
TIME: Value = lambda dice: moment(dice)[11:]  # noqa: E731
LARGE: Value = lambda dice: dice.choice("xyz") * dice.choice((10, 3_000, 20_000))  # noqa: E731

COLUMNS: dict[Backend, dict[str, Value]] = {
    Backend.MYSQL: {
        "int unsigned": whole(0, 2**32 - 1),
        "bigint": whole(-(2**63), 2**63 - 1),
        "bigint unsigned": whole(0, 2**64 - 1),
        "mediumint": whole(-(2**23), 2**23 - 1),
        "tinyint(1)": whole(0, 1),
        "decimal(12,3)": number(3),
        "float": REAL,
        "double": REAL,
        "varchar(30)": text(*WIDE),
        "varchar(40) CHARACTER SET latin1": text("ÄÖÜ"),
        "text CHARACTER SET utf8mb3": text("日本語"),
        "char(5)": lambda dice: dice.choice(("", "ab", "é", "12345")),
        "binary(4)": octets(0, 4),
        "varbinary(300)": octets(0, 300),
        "mediumtext": LARGE,
        "bit(9)": whole(0, 511),
        "year": lambda dice: dice.choice((0, 1901, 2026, 2155)),
        "date": lambda dice: dice.choice(("0000-00-00", "1000-01-01", DAY(dice))),
        "datetime(3)": moment,
        "timestamp(6) NULL": moment,
        "time(2)": lambda dice: dice.choice(("-838:59:59", "00:00:00.01", "12:30:00", "838:59:59")),
        "enum('a','b''c','é')": lambda dice: dice.choice(("a", "b'c", "é")),
        "set('x','y','z')": lambda dice: dice.choice(("", "x", "x,z", "x,y,z")),
        "json": document,
    },
    Backend.POSTGRES: {
        "smallint": whole(-(2**15), 2**15 - 1),
        "int": whole(-(2**31), 2**31 - 1),
        "bigint": whole(-(2**63), 2**63 - 1),
        "boolean": lambda dice: dice.choice((True, False)),
        "numeric(12,3)": number(3),
        "numeric": lambda dice: dice.choice(("NaN", "1e40", "-0.000000000000000000001", "5.500")),
        "real": REAL,
        "double precision": REAL,
        "text": text(*WIDE),
        "varchar(300)": text(*WIDE, "w" * 300),
        "char(5)": lambda dice: dice.choice(("", "ab", "é", "12345")),
        "bytea": lambda dice: "\\x" + octets(0, 300)(dice).hex(),
        "date": lambda dice: dice.choice(("infinity", "0044-03-15 BC", DAY(dice))),
        "timestamp": moment,
        "timestamptz": lambda dice: moment(dice) + "+05:30",
        "time": TIME,
        "interval": lambda dice: dice.choice(("1 year 2 days", "-03:04:05.6", "0")),
        "uuid": lambda dice: dice.randbytes(16).hex(),
        "jsonb": document,
        "json": document,
        "int[]": lambda dice: dice.choice(("{}", "{1,NULL,3}", "{{1,2},{3,4}}")),
        "text[]": lambda dice: dice.choice(("{}", '{"a,b",NULL,"q\\"q"}')),
        "inet": lambda dice: dice.choice(("10.0.0.1", "10.0.0.1/8", "::1")),
        "bit(5)": lambda dice: dice.choice(("00000", "10101")),
        "varchar": LARGE,
    },
}
ACCOUNTS, OPENED = 40, 1000


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[tuple[str, str], ...]
    """Names and types, without the key."""
    parent: str | None


class MadeUp:
    """A schema; `transaction` gives the statements of one transaction, each with its values."""

    def __init__(self, seed: int, backend: Backend) -> None:
        self.backend = backend
        dice = random.Random(f"{seed} schema")
        self.tables = []
        for index in range(dice.randint(2, 3)):
            kinds = dice.sample(sorted(COLUMNS[backend]), dice.randint(3, 7))
            parent = f"t{dice.randrange(index)}" if index else None
            self.tables.append(Table(f"t{index}", tuple((f"c{n}", kind) for n, kind in enumerate(kinds)), parent))
        self._on_delete = dice.choice(("CASCADE", "SET NULL"))
        self.filtered = self.tables[-1].name
        """Of which only some rows are served."""
        names = [table.name for table in self.tables] + ["accounts", "vault", "keyless"]
        listed = "".join(f"  - name: {name}\n" for name in names)
        listed = listed.replace(f"{self.filtered}\n", f"{self.filtered}\n    where: 'k % 3 <> 0'\n")
        self.config = (
            f"version: 1\nsync:\n  cdc_reconnect_mode: {dice.choice(('resume', 'resume', 'full'))}\ntables:\n{listed}"
        )

    def definitions(self) -> list[str]:
        made = []
        for table in self.tables:
            columns = "".join(f", {name} {kind}" for name, kind in table.columns)
            if table.parent is not None:
                columns += (
                    f", parent int, FOREIGN KEY (parent) REFERENCES {table.parent} (k) "
                    f"ON DELETE {self._on_delete} ON UPDATE CASCADE"
                )
            made.append(f"CREATE TABLE {table.name} (k int PRIMARY KEY{columns})")
        made += [f"CREATE TABLE {name} (id int PRIMARY KEY, cents bigint NOT NULL)" for name in ("accounts", "vault")]
        made.append("CREATE TABLE keyless (n int, t varchar(20))")
        values = ", ".join(f"({n}, {OPENED})" for n in range(ACCOUNTS))
        return [*made, f"INSERT INTO accounts VALUES {values}", "INSERT INTO vault VALUES (1, 0)"]

    def transaction(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        kinds = (self._insert, self._insert, self._update, self._update, self._delete, self._rekey, self._many,
                 self._transfer, self._transfer, self._undone, self._keyless)  # fmt: skip
        return [statement for _ in range(dice.randint(1, 5)) for statement in dice.choice(kinds)(dice)]

    def _pick(self, dice: random.Random) -> Table:
        return dice.choice(self.tables)

    def _values(self, table: Table, dice: random.Random) -> list[Any]:
        made = [None if dice.random() < 0.1 else COLUMNS[self.backend][kind](dice) for _, kind in table.columns]
        return [*made, *([None] if table.parent else [])]

    def _names(self, table: Table) -> list[str]:
        return [name for name, _ in table.columns] + (["parent"] if table.parent else [])

    def _parent(self, table: Table, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        """Most rows get a parent, whichever there is."""
        if table.parent is None:
            return []
        found = f"SELECT k FROM {table.parent} WHERE k >= %s ORDER BY k LIMIT 1"
        return [
            (f"UPDATE {table.name} SET parent = ({found}) WHERE k = %s", (dice.randrange(200), dice.randrange(200)))
        ]

    def _insert(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        table = self._pick(dice)
        names = self._names(table)
        marks = ", ".join(["%s"] * (len(names) + 1))
        insert = f"INSERT INTO {table.name} (k, {', '.join(names)}) VALUES ({marks})"
        mysql = self.backend is Backend.MYSQL
        if mysql and dice.random() < 0.3 and not any(other.parent == table.name for other in self.tables):
            insert = insert.replace("INSERT", "REPLACE", 1)
        elif mysql:
            insert += " ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in names)
        else:
            insert += " ON CONFLICT (k) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in names)
        return [(insert, (dice.randrange(200), *self._values(table, dice))), *self._parent(table, dice)]

    def _update(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        table = self._pick(dice)
        name, kind = dice.choice(table.columns)
        low = dice.randrange(200)
        value = COLUMNS[self.backend][kind](dice)
        return [(f"UPDATE {table.name} SET {name} = %s WHERE k BETWEEN %s AND %s", (value, low, low + 5))]

    def _delete(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        table = self._pick(dice)
        low = dice.randrange(200)
        return [(f"DELETE FROM {table.name} WHERE k BETWEEN %s AND %s", (low, low + dice.choice((0, 3))))]

    def _rekey(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        table = self._pick(dice)
        free = f"NOT EXISTS (SELECT 1 FROM (SELECT k FROM {table.name}) taken WHERE taken.k = %s)"
        old, new = dice.randrange(200), dice.randrange(200)
        return [(f"UPDATE {table.name} SET k = %s WHERE k = %s AND {free}", (new, old, new))]

    def _many(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        """Some hundred rows by one statement."""
        table = self._pick(dice)
        numbers = "seq_1000_to_1300" if self.backend is Backend.MYSQL else "generate_series(1000, 1300) seq"
        insert = f"INSERT INTO {table.name} (k) SELECT seq FROM {numbers} WHERE seq NOT IN (SELECT k FROM {table.name})"
        return [(insert, ()), (f"DELETE FROM {table.name} WHERE k BETWEEN 1000 AND %s", (dice.choice((1100, 1400)),))]

    def _transfer(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        """The sum over accounts and vault stays."""
        cents, one = dice.randint(1, 50), dice.randrange(ACCOUNTS)
        back = (f"UPDATE accounts SET cents = cents + {cents} WHERE id = %s", (dice.randrange(ACCOUNTS),))
        kept = (f"UPDATE vault SET cents = cents + {cents} WHERE id = %s", (1,))
        return [
            (f"UPDATE accounts SET cents = cents - {cents} WHERE id = %s", (one,)),
            dice.choice((back, kept)),
        ]

    def _undone(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        return [("SAVEPOINT s", ()), *self._update(dice), *self._insert(dice), ("ROLLBACK TO SAVEPOINT s", ())]

    def _keyless(self, dice: random.Random) -> list[tuple[str, tuple[Any, ...]]]:
        return [("INSERT INTO keyless VALUES (%s, %s)", (dice.randrange(10), "x"))]
