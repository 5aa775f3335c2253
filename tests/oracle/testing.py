"""Conditions from a number: the same in our language and in SQL, with every kind of value and every operator."""

from __future__ import annotations

import base64
import random
from datetime import date, timedelta

from tests.oracle import world
from tests.oracle.dialects import Oracle
from tests.oracle.tables import COLUMNS, JOINS, LOOSE, MANY, ONE

Pair = tuple[str, str]
SIGNS = ["=", "!=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN", "BETWEEN", "NOT BETWEEN"]


class Tests:
    """What a Maker makes its conditions with; counts aliases and collects parameters."""

    __test__ = False

    def __init__(self, oracle: Oracle, seed: int, index: int) -> None:
        self.oracle = oracle
        self.source = random.Random(f"{seed}:{index}")
        self.parameters: dict[str, str] = {}
        self._aliases = 0

    def columns(self, table: str, *, loose: bool = False) -> list[str]:
        """That the database has; `loose`: those too that nothing is ordered by."""
        of = COLUMNS[table]
        return sorted(name for name in of if self.oracle.has(name) and (loose or of[name] not in LOOSE))

    def column(self, table: str, alias: str, name: str) -> str:
        return self.oracle.column(f"{alias}.{name}", COLUMNS[table][name])

    def condition(self, table: str, alias: str, depth: int) -> Pair:
        kind = self.source.choice(["test", "and", "or", "not", "group", "dot", "one"]) if depth else "test"
        if kind in ("and", "or"):
            parts = [self.condition(table, alias, depth - 1) for _ in range(self.source.randint(2, 3))]
            ours, theirs = ("(" + f" {kind} ".join(side) + ")" for side in zip(*parts, strict=True))
            return ours, theirs
        if kind == "not":
            inner = self.condition(table, alias, depth - 1)
            return f"NOT ({inner[0]})", f"NOT ({inner[1]})"
        if kind == "test":
            return self.test(table, alias)
        return self.related(table, alias, depth, kind)

    def related(self, table: str, alias: str, depth: int, kind: str) -> Pair:
        ways = ONE[table] if (kind == "one" and ONE[table]) or not MANY[table] else MANY[table]
        relation = self.source.choice(sorted(ways))
        self._aliases += 1
        inner_alias = f"x{self._aliases}"
        to = ways[relation]
        inner = self.test(to, inner_alias) if kind == "dot" else self.condition(to, inner_alias, depth - 1)
        join = JOINS[table, relation].format(to=inner_alias, of=alias)
        theirs = f"EXISTS (SELECT 1 FROM {to} {inner_alias} WHERE {join} AND ({inner[1]}))"
        return f"{relation}.{inner[0]}" if kind == "dot" else f"{relation}({inner[0]})", theirs

    def test(self, table: str, alias: str) -> Pair:
        name = self.source.choice(self.columns(table, loose=True))
        kind = COLUMNS[table][name]
        column = self.column(table, alias, name)
        if self.source.random() < 0.1 or kind in LOOSE:
            word = self.source.choice(["IS NULL", "IS NOT NULL"])
            return f"{name} {word}", f"{column} {word}"
        if kind in ("text", "mood", "clock") and self.source.random() < 0.5:
            return self.likeness(name, column)
        if kind == "bool":
            sign, value = self.source.choice(["=", "!="]), self.source.choice(["true", "false"])
            return f"{name} {sign} {value}", f"{column} {sign} {value}"
        values = [self.value(table, name, kind) for _ in range(3)]
        sign = self.source.choice(SIGNS)
        ours, theirs = (signed(left, sign, [pair[side] for pair in values]) for side, left in ((0, name), (1, column)))
        return ours, theirs

    def likeness(self, name: str, column: str) -> Pair:
        pattern = self.source.choice(world.PATTERNS)
        negated, folded = self.source.random() < 0.3, self.source.random() < 0.3 and pattern.isascii()
        word = ("NOT " if negated else "") + ("ILIKE" if folded else "LIKE")
        return f"{name} {word} {self.ours(pattern)}", self.oracle.like(column, pattern, negated, folded)

    def value(self, table: str, name: str, kind: str) -> Pair:
        """A literal of ours, perhaps a parameter, and SQL's."""
        if kind == "number":
            number = self.number(table, name)
            return self.given(number, number), number
        if kind in ("day", "moment", "instant"):
            ours, theirs = getattr(self, kind)()
            return self.given(ours, f"'{ours}'"), f"'{theirs}'"
        if kind in ("text", "mood", "clock"):
            some = {"text": world.TEXTS, "mood": [*world.MOODS, "calm ", "wild"], "clock": [*world.CLOCKS, "12:34:56"]}
            text = self.source.choice(some[kind])
            return self.given(text, self.ours(text)), self.oracle.text(text)
        if kind == "uuid":
            text = self.source.choice(world.UUIDS)
            written = self.source.choice([text, text.upper(), text.replace("-", "")])
            return self.given(written, f"'{written}'"), f"'{text}'"
        data = self.source.choice([*world.BYTES, b"abd"])
        written = base64.b64encode(data).decode()
        return self.given(written, f"'{written}'"), f"'{data.hex().upper()}'"

    def number(self, table: str, name: str) -> str:
        if name in ("score", "balance", "price", "small"):
            return str(self.source.randrange(-42, 42) / 8)
        if name == "big":
            return str(self.source.choice([-(1 << 62), 1 << 53, (1 << 53) + 1, (1 << 53) - 1, 0, 2]))
        if name in ("wide", "huge"):
            return str(self.source.choice(world.WIDE if name == "wide" else [*world.HUGE, (1 << 64) - 2, -1, 1 << 64]))
        return str(self.source.randrange(-2, world.NUMBERS[table][name] + 1))

    def day(self) -> Pair:
        days = [date(2024, 1, 1) + timedelta(days=n) for n in range(-1, 7)]
        text = str(self.source.choice([*days, *world.DAYS]))
        return text, text

    def moment(self) -> Pair:
        if self.source.random() < 0.15:
            text = self.source.choice(world.MOMENTS).isoformat()
            return text, text.replace("T", " ")
        text = str(date(2024, 1, 1) + timedelta(days=self.source.randrange(-1, 7)))
        hours = f"{self.source.randrange(11, 17)}:00:00" + self.source.choice(["", ".000005"])
        return f"{text}T{hours}", f"{text} {hours}"

    def instant(self) -> Pair:
        """Said in some zone."""
        moment = world.NOON + timedelta(
            hours=self.source.randrange(-2, 32), microseconds=self.source.choice([0, 500_000])
        )
        minutes = self.source.choice([None, 0, 120, -330, 345])
        if minutes is None:
            zone = self.source.choice(["Z", ""])
        else:
            zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        there = moment + timedelta(minutes=minutes or 0)
        return there.isoformat() + zone, moment.isoformat(sep=" ")

    def given(self, value: str, literal: str) -> str:
        if self.source.random() < 0.9:
            return literal
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return "$" + name

    def ours(self, text: str) -> str:
        if self.source.random() < 0.5:
            return "'" + text.replace("'", "''") + "'"
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def signed(left: str, sign: str, values: list[str]) -> str:
    if sign.endswith("IN"):
        return f"{left} {sign} ({', '.join(values)})"
    if sign.endswith("BETWEEN"):
        return f"{left} {sign} {values[0]} AND {values[1]}"
    return f"{left} {sign} {values[0]}"
