"""Queries from a number: the same in our language and in SQL, and how the answers are laid side by side.

A `Case` is made from a seed and an index alone, so that one that does not agree can be asked again by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.tables import COLUMNS, JOINS, LOOSE, MANY, ONE
from tests.oracle.testing import Pair, Tests

HAVING = ["", "", "count() > 1", "NOT max(id) < 20", "sum(id) BETWEEN 10 AND 60 OR count() = 1"]


@dataclass
class Case:
    """What is asked, and what is to come of it: `rows` of SQL under `names`, each of a kind in_json() knows."""

    query: str
    sql: str
    names: list[str]
    kinds: list[str]
    form: str = "rows"
    """`rows`; one `single` object; the rows `inner` of one row; rows that are `flat` once their inner object is; or
    `pages`, which are walked to their end."""
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass
class Fields:
    names: list[str]
    kinds: list[str]
    sql: str


class Maker(Tests):
    def case(self) -> Case:
        make: Callable[[], Case] = self.source.choice(
            [
                *(self.selection, self.selection, self.pages, self.included, self.leading, self.folded),
                *(self.aggregates, self.groups, self.groups, self.by_related),
            ]
        )
        made = make()
        made.parameters |= self.parameters
        return made

    # What is asked.

    def selection(self) -> Case:
        table = self.source.choice(["users", "posts", "posts", "tags", "kinds", "kinds"])
        condition, clauses, fields = self.condition(table, "t", 3), self.clauses(table, "t"), self.fields(table, "t")
        return Case(
            f"{table}({condition[0]} {clauses[0]}) {{ {' '.join(fields.names)} }}",
            f"SELECT {fields.sql} FROM {table} t WHERE {condition[1]} {clauses[1]}",
            fields.names,
            fields.kinds,
        )

    def pages(self) -> Case:
        """A few rows at a time, to the end: the whole list."""
        table = self.source.choice(["users", "posts", "kinds"])
        condition, order, fields = self.condition(table, "t", 1), self.order(table, "t", 1), self.fields(table, "t")
        return Case(
            f"{table}({condition[0]} {order[0]} LIMIT {self.source.randint(1, 40)} AFTER $after)"
            f" {{ {' '.join(fields.names)} }}",
            f"SELECT {fields.sql} FROM {table} t WHERE {condition[1]} {order[1]}",
            fields.names,
            fields.kinds,
            form="pages",
            parameters={"after": ""},
        )

    def included(self) -> Case:
        """One parent's related rows."""
        table, relation, to, join = self.to_many("r")
        condition, clauses, fields = self.condition(to, "r", 1), self.clauses(to, "r"), self.fields(to, "r")
        key = self.source.randrange(1, 45)
        return Case(
            f"{table}(id = {key}) {{ inner: {relation}({condition[0]} {clauses[0]}) {{ {' '.join(fields.names)} }} }}",
            f"SELECT {fields.sql} FROM {table} t JOIN {to} r ON {join}"
            f" WHERE t.id = {key} AND {condition[1]} {clauses[1]}",
            fields.names,
            fields.kinds,
            form="inner",
        )

    def leading(self) -> Case:
        """Every row with the one it leads to, or null."""
        table = self.source.choice(["users", "posts", "kinds"])
        way, to = next(iter(ONE[table].items()))
        condition, clauses, fields = self.condition(table, "t", 1), self.clauses(table, "t"), self.fields(to, "o")
        return Case(
            f"{table}({condition[0]} {clauses[0]}) {{ key: id inner: {way} {{ {' '.join(fields.names)} }} }}",
            f"SELECT t.id, {fields.sql} FROM {table} t LEFT JOIN {to} o ON {JOINS[table, way].format(to='o', of='t')}"
            f" WHERE {condition[1]} {clauses[1]}",
            ["key", *fields.names],
            ["number", *fields.kinds],
            form="flat",
        )

    def folded(self) -> Case:
        """Every row with aggregates of its related rows."""
        table, relation, to, join = self.to_many("r")
        condition, inner = self.condition(table, "t", 1), self.condition(to, "r", 1)
        clauses, calls = self.clauses(table, "t"), self.calls(to, 3)
        of = f"FROM {to} r WHERE {join} AND ({inner[1]})"
        columns = ", ".join(f"(SELECT {self.call(to, call, 'r')} {of})" for call in calls)
        return Case(
            f"{table}({condition[0]} {clauses[0]}) {{ key: id inner: {relation}({inner[0]}) {{ {' '.join(calls)} }} }}",
            f"SELECT t.id, {columns} FROM {table} t WHERE {condition[1]} {clauses[1]}",
            ["key", *(self.key(call) for call in calls)],
            ["number", *(self.kind(to, call) for call in calls)],
            form="flat",
        )

    def aggregates(self) -> Case:
        table = self.source.choice(["users", "posts", "kinds"])
        condition = self.condition(table, "t", 2)
        calls = self.calls(table, 5)
        return Case(
            f"{table}({condition[0]}) {{ {' '.join(calls)} }}",
            f"SELECT {', '.join(self.call(table, call, 't') for call in calls)} FROM {table} t WHERE {condition[1]}",
            [self.key(call) for call in calls],
            [self.kind(table, call) for call in calls],
            form="single",
        )

    def groups(self) -> Case:
        table = self.source.choice(["users", "posts", "kinds"])
        condition, calls = self.condition(table, "t", 1), self.calls(table, 3)
        relation, to = next(iter(ONE[table].items()))
        join = f"LEFT JOIN {to} o ON {JOINS[table, relation].format(to='o', of='t')}"
        own = [(name, self.column(table, "t", name), COLUMNS[table][name]) for name in self.columns(table)]
        other = [(f"{relation}.{name}", self.column(to, "o", name), COLUMNS[to][name]) for name in self.columns(to)]
        by = self.some([*own, *other], 1, 2)
        having = self.having(table, [name for name, _, _ in by if "." not in name])
        order = self.source.choice([None, *(call for call in calls if not call.startswith("avg"))])
        word = self.source.choice(["", " DESC"])
        limit = f"LIMIT {self.source.randrange(9)} OFFSET {self.source.randrange(3)}"
        ours = [f"{table}({condition[0]} GROUP BY {', '.join(name for name, _, _ in by)}"]
        ours += [f"HAVING {having[0]}" if having[0] else "", f"ORDER BY {order}{word}" if order else ""]
        keys_of = [name.replace(".", "_of_") for name, _, _ in by]  # boss.id and boss_id would have one key
        fields = [f"{key}: {name}" for key, (name, _, _) in zip(keys_of, by, strict=True)]
        keys = self.ordered(self.call(table, order, "t"), word, "") if order else []
        keys += [part for _, column, _ in by for part in self.ordered(column, "", "")]
        columns = ", ".join(column for _, column, _ in by)
        return Case(
            " ".join([*ours, f"{limit}) {{ {' '.join([*fields, *calls])} }}"]),
            f"SELECT {', '.join([columns, *(self.call(table, call, 't') for call in calls)])} FROM {table} t {join}"
            f" WHERE {condition[1]} GROUP BY {columns} {'HAVING ' + having[1] if having[1] else ''}"
            f" ORDER BY {', '.join(keys)} {limit}",
            [*keys_of, *(self.key(call) for call in calls)],
            [*(kind for _, _, kind in by), *(self.kind(table, call) for call in calls)],
        )

    def by_related(self) -> Case:
        """In the order of related values, with conditions on aggregates."""
        table, relation, to, join = self.to_many("r")
        call = self.source.choice([call for call in self.calls(to, 9) if not call.startswith("avg")] or ["count()"])
        folded = f"(SELECT {self.call(to, call, 'r')} FROM {to} r WHERE {join})"
        condition = ("", "1 = 1")
        if self.kind(to, call) == "number":
            sign, value = self.source.choice(["=", "!=", ">", "<="]), self.source.randrange(-2, 60)
            condition = f"{relation}.{call} {sign} {value}", f"{folded} {sign} {value}"
        word, nulls = self.source.choice(["", " DESC"]), self.source.choice(["", " NULLS FIRST", " NULLS LAST"])
        first = self.ordered(folded, word, nulls)
        ours, joined = f"{relation}.{call}{word}{nulls}", ""
        if ONE[table] and self.source.random() < 0.6:
            way, parent = next(iter(ONE[table].items()))
            name = self.source.choice(self.columns(parent))
            ours = f"{way}.{name}, {ours}"
            first = [*self.ordered(self.column(parent, "o", name), "", ""), *first]
            joined = f"LEFT JOIN {parent} o ON {JOINS[table, way].format(to='o', of='t')}"
        limit = self.source.randrange(25)
        return Case(
            f"{table}({condition[0]} ORDER BY {ours} LIMIT {limit}) {{ id }}",
            f"SELECT t.id FROM {table} t {joined} WHERE {condition[1]}"
            f" ORDER BY {', '.join([*first, 't.id'])} LIMIT {limit}",
            ["id"],
            ["number"],
        )

    # Its parts.

    def some(self, of: list[Any], least: int, most: int) -> list[Any]:
        return self.source.sample(of, self.source.randint(least, min(most, len(of))))

    def fields(self, table: str, alias: str) -> Fields:
        names = self.some(self.columns(table, loose=True), 1, 4)
        columns = ", ".join(self.column(table, alias, name) for name in names)
        return Fields(names, [COLUMNS[table][name] for name in names], columns)

    def to_many(self, alias: str) -> tuple[str, str, str, str]:
        """A table, one of its relations to many rows, where that leads, and how the two are joined."""
        table = self.source.choice(sorted(name for name in MANY if MANY[name]))
        relation = self.source.choice(sorted(MANY[table]))
        to = MANY[table][relation]
        return table, relation, to, JOINS[table, relation].format(to=alias, of="t")

    def having(self, table: str, grouped: list[str]) -> Pair:
        grouped = [name for name in grouped if self.column(table, "t", name) == f"t.{name}"]
        if grouped and self.source.random() < 0.4:
            while True:  # until it is about a column that is grouped by
                ours, theirs = self.test(table, "t")
                if ours.split()[0] in grouped:
                    return f"count() > 0 AND {ours}", f"count(*) > 0 AND {theirs}"
        ours = self.source.choice(HAVING)
        return ours, ours.replace("count()", "count(*)").replace("(id)", "(t.id)")

    def calls(self, table: str, most: int) -> list[str]:
        kinds = {"number": ["count", "sum", "avg", "min", "max"], **{key: ["count"] for key in ("bool", *LOOSE)}}
        all_calls = [
            f"{name}({column})"
            for column in self.columns(table, loose=True)
            for name in kinds.get(COLUMNS[table][column], ["count", "min", "max"])
            if (self.oracle.kind, name, column) != ("sqlite", "sum", "big")
        ]
        return self.some(["count()", *all_calls], 1, most)

    def call(self, table: str, call: str, alias: str) -> str:
        name, column = call[:-1].split("(")
        return f"{name}({self.column(table, alias, column)})" if column else "count(*)"

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
        ours, theirs = self.order(table, alias, 0)
        limit = f"LIMIT {self.source.randrange(13)} OFFSET {self.source.randrange(6)}"
        return f"{ours} {limit}", f"{theirs} {limit}"

    def order(self, table: str, alias: str, least: int) -> Pair:
        items = [
            (name, self.source.choice(["", " ASC", " DESC"]), self.source.choice(["", " NULLS FIRST", " NULLS LAST"]))
            for name in self.some(self.columns(table), least, 3)
        ]
        ours = "ORDER BY " + ", ".join(name + word + nulls for name, word, nulls in items) if items else ""
        theirs = [
            part for name, word, nulls in items for part in self.ordered(self.column(table, alias, name), word, nulls)
        ]
        return ours, f"ORDER BY {', '.join([*theirs, f'{alias}.id'])}"
