"""Queries from a number: the same in our language and in SQL, and how the answers are laid side by side.

A `Case` is made from a seed and an index alone, so that one that does not agree can be asked again by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from tests.oracle import world
from tests.oracle.dialects import Oracle

COLUMNS = {
    "users": {
        "id": "number", "name": "text", "age": "number", "verified": "bool", "boss_id": "number", "score": "number",
        "balance": "number", "joined": "day", "big": "number",
    },
    "posts": {
        "id": "number", "user_id": "number", "title": "text", "views": "number", "published": "bool", "price": "number",
        "day": "day", "at": "moment",
    },
    "tags": {"id": "number", "name": "text"},
}  # fmt: skip
MANY = {"users": {"posts": "posts", "users": "users"}, "posts": {"tags": "tags"}, "tags": {"posts": "posts"}}
ONE = {"users": {"boss": "users"}, "posts": {"user": "users"}, "tags": {}}
JOINS = {
    ("users", "posts"): "{to}.user_id = {of}.id",
    ("users", "users"): "{to}.boss_id = {of}.id",
    ("users", "boss"): "{to}.id = {of}.boss_id",
    ("posts", "user"): "{to}.id = {of}.user_id",
    ("posts", "tags"): "EXISTS (SELECT 1 FROM post_tags j WHERE j.post_id = {of}.id AND j.tag_id = {to}.id)",
    ("tags", "posts"): "EXISTS (SELECT 1 FROM post_tags j WHERE j.tag_id = {of}.id AND j.post_id = {to}.id)",
}
HAVING = ["", "", "count() > 1", "NOT max(id) < 20", "sum(id) BETWEEN 10 AND 60 OR count() = 1"]
Pair = tuple[str, str]


@dataclass
class Case:
    """What is asked, and what is to come of it: `rows` of SQL under `names`, each of a kind in_json() knows."""

    query: str
    sql: str
    names: list[str]
    kinds: list[str]
    single: bool = False
    """One object instead of an array."""
    parameters: dict[str, str] = field(default_factory=dict)


class Maker:
    def __init__(self, oracle: Oracle, seed: int, index: int) -> None:
        self.oracle = oracle
        self.source = random.Random(f"{seed}:{index}")
        self.parameters: dict[str, str] = {}
        self._aliases = 0

    def case(self) -> Case:
        make: Callable[[], Case] = self.source.choice(
            [self.selection, self.selection, self.included, self.aggregates, self.groups, self.groups, self.by_related]
        )
        made = make()
        made.parameters = self.parameters
        return made

    # What is asked.

    def selection(self) -> Case:
        table = self.source.choice(["users", "posts", "posts", "tags"])
        condition = self.condition(table, "t", 3)
        clauses = self.clauses(table, "t")
        names = self.some(sorted(COLUMNS[table]), 1, 4)
        return Case(
            f"{table}({condition[0]} {clauses[0]}) {{ {' '.join(names)} }}",
            f"SELECT {', '.join(f't.{name}' for name in names)} FROM {table} t WHERE {condition[1]} {clauses[1]}",
            names,
            [COLUMNS[table][name] for name in names],
        )

    def included(self) -> Case:
        """One parent's related rows: the answer is unwrapped by `inner`."""
        table = self.source.choice(sorted(MANY))
        relation = self.source.choice(sorted(MANY[table]))
        to = MANY[table][relation]
        condition = self.condition(to, "r", 1)
        clauses = self.clauses(to, "r")
        key = self.source.randrange(1, 45)
        names = self.some(sorted(COLUMNS[to]), 1, 3)
        join = JOINS[table, relation].format(to="r", of="t")
        return Case(
            f"{table}(id = {key}) {{ inner: {relation}({condition[0]} {clauses[0]}) {{ {' '.join(names)} }} }}",
            f"SELECT {', '.join(f'r.{name}' for name in names)} FROM {table} t JOIN {to} r ON {join}"
            f" WHERE t.id = {key} AND {condition[1]} {clauses[1]}",
            names,
            [COLUMNS[to][name] for name in names],
        )

    def aggregates(self) -> Case:
        table = self.source.choice(["users", "posts"])
        condition = self.condition(table, "t", 2)
        calls = self.calls(table, 5)
        return Case(
            f"{table}({condition[0]}) {{ {' '.join(calls)} }}",
            f"SELECT {', '.join(self.call(call, 't') for call in calls)} FROM {table} t WHERE {condition[1]}",
            [self.key(call) for call in calls],
            [self.kind(table, call) for call in calls],
            single=True,
        )

    def groups(self) -> Case:
        table = self.source.choice(["users", "posts"])
        condition = self.condition(table, "t", 1)
        relation, to = next(iter(ONE[table].items()))
        join = f"LEFT JOIN {to} o ON {JOINS[table, relation].format(to='o', of='t')}"
        own = [(name, f"t.{name}", kind) for name, kind in COLUMNS[table].items()]
        other = [(f"{relation}.{name}", f"o.{name}", kind) for name, kind in COLUMNS[to].items()]
        by = self.some([*own, *other], 1, 2)
        calls = self.calls(table, 3)
        having = self.source.choice(HAVING)
        order = self.source.choice([None, *(call for call in calls if not call.startswith("avg"))])
        word = self.source.choice(["", " DESC"])
        limit, offset = self.source.randrange(9), self.source.randrange(3)
        ours = [f"{table}({condition[0]} GROUP BY {', '.join(name for name, _, _ in by)}"]
        ours += [f"HAVING {having}" if having else "", f"ORDER BY {order}{word}" if order else ""]
        keys_of = [name.replace(".", "_of_") for name, _, _ in by]  # boss.id and boss_id would have one key
        fields = [f"{key}: {name}" for key, (name, _, _) in zip(keys_of, by, strict=True)]
        ours += [f"LIMIT {limit} OFFSET {offset}) {{ {' '.join([*fields, *calls])} }}"]
        keys = self.ordered(self.call(order, "t"), word, "") if order else []
        keys += [part for _, column, _ in by for part in self.ordered(column, "", "")]
        columns = ", ".join(column for _, column, _ in by)
        sql_having = having.replace("count()", "count(*)").replace("(id)", "(t.id)")
        return Case(
            " ".join(ours),
            f"SELECT {', '.join([columns, *(self.call(call, 't') for call in calls)])} FROM {table} t {join}"
            f" WHERE {condition[1]} GROUP BY {columns} {'HAVING ' + sql_having if having else ''}"
            f" ORDER BY {', '.join(keys)}"
            f" LIMIT {limit} OFFSET {offset}",
            [*keys_of, *(self.key(call) for call in calls)],
            [*(kind for _, _, kind in by), *(self.kind(table, call) for call in calls)],
        )

    def by_related(self) -> Case:
        """In the order of related values, with conditions on aggregates."""
        table = self.source.choice(sorted(MANY))
        relation = self.source.choice(sorted(MANY[table]))
        to = MANY[table][relation]
        call = self.source.choice([call for call in self.calls(to, 9) if not call.startswith("avg")] or ["count()"])
        folded = f"(SELECT {self.call(call, 'r')} FROM {to} r WHERE {JOINS[table, relation].format(to='r', of='t')})"
        condition = ("", "1 = 1")
        if self.kind(to, call) == "number":
            sign, value = self.source.choice(["=", "!=", ">", "<="]), self.source.randrange(-2, 60)
            condition = f"{relation}.{call} {sign} {value}", f"{folded} {sign} {value}"
        word, nulls = self.source.choice(["", " DESC"]), self.source.choice(["", " NULLS FIRST", " NULLS LAST"])
        first = self.ordered(folded, word, nulls)
        ours, join = f"{relation}.{call}{word}{nulls}", ""
        if ONE[table] and self.source.random() < 0.6:
            way, parent = next(iter(ONE[table].items()))
            name = self.source.choice(sorted(COLUMNS[parent]))
            ours = f"{way}.{name}, {ours}"
            first = [*self.ordered(f"o.{name}", "", ""), *first]
            join = f"LEFT JOIN {parent} o ON {JOINS[table, way].format(to='o', of='t')}"
        limit = self.source.randrange(25)
        return Case(
            f"{table}({condition[0]} ORDER BY {ours} LIMIT {limit}) {{ id }}",
            f"SELECT t.id FROM {table} t {join} WHERE {condition[1]}"
            f" ORDER BY {', '.join([*first, 't.id'])} LIMIT {limit}",
            ["id"],
            ["number"],
        )

    # Its parts.

    def some(self, of: list[Any], least: int, most: int) -> list[Any]:
        return self.source.sample(of, self.source.randint(least, min(most, len(of))))

    def calls(self, table: str, most: int) -> list[str]:
        kinds = {"number": ["count", "sum", "avg", "min", "max"], "text": ["count", "min", "max"], "bool": ["count"]}
        all_calls = [
            f"{name}({column})"
            for column, kind in COLUMNS[table].items()
            for name in kinds.get(kind, ["min", "max"])
            if (self.oracle.kind, name, column) != ("sqlite", "sum", "big")
        ]
        return self.some(["count()", *all_calls], 1, most)

    @staticmethod
    def call(call: str, alias: str) -> str:
        name, column = call[:-1].split("(")
        return f"{name}({alias}.{column})" if column else "count(*)"

    @staticmethod
    def key(call: str) -> str:
        name, column = call[:-1].split("(")
        return f"{name}_{column}" if column else name

    @staticmethod
    def kind(table: str, call: str) -> str:
        name, column = call[:-1].split("(")
        if name in ("count", "sum"):
            return "number"
        return "average" if name == "avg" else COLUMNS[table][column]

    @staticmethod
    def ordered(column: str, word: str, nulls: str) -> list[str]:
        """By nulls first, and then by values: so every database means the same."""
        first = nulls == " NULLS FIRST" or (not nulls and word == " DESC")
        return [f"CASE WHEN {column} IS NULL THEN {0 if first else 1} ELSE {1 if first else 0} END", column + word]

    def clauses(self, table: str, alias: str) -> Pair:
        items = [
            (name, self.source.choice(["", " ASC", " DESC"]), self.source.choice(["", " NULLS FIRST", " NULLS LAST"]))
            for name in self.some(sorted(COLUMNS[table]), 0, 3)
        ]
        ours = "ORDER BY " + ", ".join(name + word + nulls for name, word, nulls in items) if items else ""
        theirs = [part for name, word, nulls in items for part in self.ordered(f"{alias}.{name}", word, nulls)]
        limit, offset = self.source.randrange(13), self.source.randrange(6)
        return (
            f"{ours} LIMIT {limit} OFFSET {offset}",
            f"ORDER BY {', '.join([*theirs, f'{alias}.id'])} LIMIT {limit} OFFSET {offset}",
        )

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
        ways = ONE[table] if kind == "one" and ONE[table] else MANY[table]
        relation = self.source.choice(sorted(ways))
        self._aliases += 1
        inner_alias = f"x{self._aliases}"
        to = ways[relation]
        inner = self.test(to, inner_alias) if kind == "dot" else self.condition(to, inner_alias, depth - 1)
        join = JOINS[table, relation].format(to=inner_alias, of=alias)
        theirs = f"EXISTS (SELECT 1 FROM {to} {inner_alias} WHERE {join} AND ({inner[1]}))"
        return f"{relation}.{inner[0]}" if kind == "dot" else f"{relation}({inner[0]})", theirs

    def test(self, table: str, alias: str) -> Pair:
        name = self.source.choice(sorted(COLUMNS[table]))
        kind = COLUMNS[table][name]
        column = f"{alias}.{name}"
        if self.source.random() < 0.1:
            word = self.source.choice(["IS NULL", "IS NOT NULL"])
            return f"{name} {word}", f"{column} {word}"
        if kind == "text" and self.source.random() < 0.5:
            pattern = self.source.choice(world.PATTERNS)
            negated, folded = self.source.random() < 0.3, self.source.random() < 0.3 and pattern.isascii()
            word = ("NOT " if negated else "") + ("ILIKE" if folded else "LIKE")
            return f"{name} {word} {self.ours(pattern)}", self.oracle.like(column, pattern, negated, folded)
        if kind == "bool":
            sign, value = self.source.choice(["=", "!="]), self.source.choice(["true", "false"])
            return f"{name} {sign} {value}", f"{column} {sign} {value}"
        values = [self.value(table, name, kind) for _ in range(3)]
        sign = self.source.choice(["=", "!=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN", "BETWEEN", "NOT BETWEEN"])
        side: Callable[[int], str]
        parts = []
        for which, left in ((0, name), (1, column)):
            side = lambda i, which=which: values[i][which]  # type: ignore[misc]  # noqa: E731
            if sign.endswith("IN"):
                parts.append(f"{left} {sign} ({side(0)}, {side(1)}, {side(2)})")
            elif sign.endswith("BETWEEN"):
                parts.append(f"{left} {sign} {side(0)} AND {side(1)}")
            else:
                parts.append(f"{left} {sign} {side(0)}")
        return parts[0], parts[1]

    def value(self, table: str, name: str, kind: str) -> Pair:
        """A literal of ours, perhaps a parameter, and SQL's."""
        if kind == "text":
            text = self.source.choice(world.TEXTS)
            return self.given(text, self.ours(text)), self.oracle.text(text)
        if kind in ("day", "moment"):
            text = str(date(2024, 1, 1) + timedelta(days=self.source.randrange(-1, 7)))
            hours = f"{self.source.randrange(11, 17)}:00:00" + self.source.choice(["", ".000005"])
            ours, theirs = (f"{text}T{hours}", f"{text} {hours}") if kind == "moment" else (text, text)
            return self.given(ours, f"'{ours}'"), f"'{theirs}'"
        if name in ("score", "balance", "price"):
            number = str(self.source.randrange(-42, 42) / 8)
        elif name == "big":
            number = str(self.source.choice([-(1 << 62), 1 << 53, (1 << 53) + 1, (1 << 53) - 1, 0, 2]))
        else:
            number = str(self.source.randrange(-2, world.NUMBERS[table][name] + 1))
        return self.given(number, number), number

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
