"""A model of what a source does to its rows, and the frames that tell an engine of it."""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reflexdb.sources.changes import UNCHANGED, Op, Row, Rows
from reflexdb.sync.change_frames import changes
from tests.engine.harness import Cli
from tests.engine.plans import COMMENTS, LOGS, PLAN, POSTS, SEATS, TICKETS, USERS

TEXTS = ["", "a", 'q"uote', "é", "zz", "long " * 40, None]


class Model:
    """The tables as a source would have them, by table and key; every change is noted as the stream would tell it."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.rows: dict[int, dict[Row, dict[str, Any]]] = {index: {} for index in range(len(PLAN.tables))}
        self.log: list[Rows] = []

    def key(self, table: int, row: dict[str, Any]) -> Row:
        planned = PLAN.tables[table]
        return tuple(row[planned.columns[i].name] for i in planned.primary_key)

    def values(self, table: int, row: dict[str, Any]) -> Row:
        return tuple(row.get(column.name) for column in PLAN.tables[table].columns)

    def note(self, table: int, op: Op, key: Row | None, row: Row | None) -> None:
        if not self.log or self.log[-1].table != table:
            self.log.append(Rows(table))
        self.log[-1].ops.append(op)
        self.log[-1].keys.append(key)
        self.log[-1].rows.append(row)

    def insert(self, table: int, row: dict[str, Any]) -> None:
        if not PLAN.tables[table].primary_key:
            self.rows[table][(len(self.rows[table]),)] = row
            return self.note(table, Op.INSERT, None, self.values(table, row))
        key = self.key(table, row)
        if key in self.rows[table]:
            return None
        self.rows[table][key] = row
        return self.note(table, Op.INSERT, None, self.values(table, row))

    def delete(self, table: int) -> None:
        if self.rows[table] and PLAN.tables[table].primary_key:
            key = self.dice.choice(sorted(self.rows[table]))
            del self.rows[table][key]
            self.note(table, Op.DELETE, key, None)

    def update(self, table: int, fresh: dict[str, Any]) -> None:
        """Some columns of a row get the values of `fresh`; of the others some are not sent."""
        if not self.rows[table] or not PLAN.tables[table].primary_key:
            return
        key = self.dice.choice(sorted(self.rows[table]))
        row = dict(self.rows[table][key])
        changed = {name for name in fresh if self.dice.random() < 0.4}
        row.update({name: fresh[name] for name in changed})
        now = self.key(table, row)
        if now != key and now in self.rows[table]:
            return
        del self.rows[table][key]
        self.rows[table][now] = row
        kept = {n for n in row if n not in changed and self.dice.random() < 0.3 and n not in self.key_names(table)}
        sent = tuple(
            UNCHANGED if column.name in kept else row.get(column.name) for column in PLAN.tables[table].columns
        )
        self.note(table, Op.UPDATE, key, sent)

    def key_names(self, table: int) -> list[str]:
        planned = PLAN.tables[table]
        return [planned.columns[i].name for i in planned.primary_key]

    def fresh(self, table: int, keys: int) -> dict[str, Any]:
        """A random row; foreign keys often lead nowhere."""
        pick = self.dice
        number, other = pick.randrange(keys), pick.choice([None, *range(keys)])
        text = pick.choice(TEXTS)
        if table == USERS:
            emails = [None, *(f"e{n}" for n in range(keys // 2))]
            return {
                "id": number,
                "name": text,
                "age": pick.randrange(9),
                "boss_id": other,
                "email": pick.choice(emails),
            }
        if table == POSTS:
            return {"id": number, "user_id": other, "title": text, "views": pick.randrange(9), "price": "1.50"}
        if table == COMMENTS:
            return {"id": number, "post_id": other, "author": f"e{pick.randrange(keys)}", "body": text}
        if table == SEATS:
            return {"row": f"r{number % 7}", "number": number, "order": text}
        if table == TICKETS:
            return {"id": number, "seat_number": other, "seat_row": None if other is None else f"r{other % 7}"}
        assert table == LOGS
        return {"line": text, "é": number}

    def change(self, keys: int) -> None:
        table = self.dice.choice([USERS, POSTS, COMMENTS, SEATS, TICKETS, LOGS])
        kind = self.dice.random()
        if kind < 0.45:
            self.insert(table, self.fresh(table, keys))
        elif kind < 0.75:
            self.update(table, self.fresh(table, keys))
        else:
            self.delete(table)

    def take_log(self) -> list[Rows]:
        log, self.log = self.log, []
        return log

    def listed(self) -> dict[str, list[dict[str, Any]]]:
        return {PLAN.tables[table].name: list(rows.values()) for table, rows in self.rows.items()}


def bodies_of(log: Sequence[Rows], wanted: int = 4 << 20) -> list[bytes]:
    return [
        b"".join(bytes(part) for part in frame.parts)
        for rows in log
        for frame in changes(PLAN.tables[rows.table], rows, wanted)
    ]


def apply(cli: Cli, log: Sequence[Rows], cap: int = 0, wanted: int = 4 << 20) -> None:
    """One committed group of changes."""
    cli.do("X", struct.pack("<Q", cap))
    for body in bodies_of(log, wanted):
        cli.do("D", body)
    cli.do("E")


QUERIES = (
    "users { * boss { id name } posts { id title } users { id } comments { id author } }",
    "posts { * user { id email } comments { id body } }",
    "comments { * post { id user { id } } author { id } }",
    "seats { * tickets { id } }",
    "tickets { * seats { row number } }",
    "logs { * }",
    "users(posts.views > 3) { id }",
    "users(NOT posts(views > 3)) { id }",
    "users(posts.count() > 1) { id posts(ORDER BY views DESC LIMIT 2) { id } }",
    "posts(user.age > 4) { id }",
    "posts(views > 3 ORDER BY views DESC LIMIT 5) { id views }",
    "users(ORDER BY age, name) { id age }",
    "users(ORDER BY id DESC LIMIT 4) { id }",
    "posts(ORDER BY user.age DESC, views) { id }",
    "posts(user_id = 3) { id }",
    "posts(user_id IN (1, 2, 3, 4, 5)) { id }",
    "users(id IN (9, 3, 5, 1)) { id name }",
    "users(name = 'a') { id }",
    "users(name != 'a' LIMIT 3 OFFSET 2) { id name }",
    "users(GROUP BY age) { age count() min(name) max(id) }",
    "comments(post.user.age > 3) { id }",
)
"""Every way rows are found and ordered."""


def answers(cli: Cli) -> dict[str, Any]:
    return {query: cli.rows(query) for query in QUERIES}


def changed_unseen(cli: Cli, seed: int, unseen: int) -> tuple[Model, dict[int, dict[Row, dict[str, Any]]]]:
    """A model that changed so often since the engine was loaded with its rows, and those rows."""
    model = Model(random.Random(seed))
    for _ in range(60):
        model.change(25)
    model.take_log()
    served = copy.deepcopy(model.rows)
    cli.load(model.listed())
    for _ in range(unseen):
        model.change(25)
    model.take_log()
    return model, served


def tell_later(cli: Cli, model: Model) -> None:
    """Some more changes, within the group that is open."""
    for _ in range(20):
        model.change(25)
    for body in bodies_of(model.take_log()):
        cli.do("D", body)


def check_as_loaded(cli: Cli, program: Path, model: Model) -> None:
    """The engine answers what another one answers that is loaded with the model's rows."""
    other = Cli(program, PLAN)
    try:
        other.load(model.listed())
        assert answers(cli) == answers(other)
        assert cli.facts()["rows"] == other.facts()["rows"]
    finally:
        other.close()
