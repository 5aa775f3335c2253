"""The eight published query forms on the sample blog, each with the answer that plain SQL on the source gives.

Used by the demo to print curl lines and to check answers. The expectation is made without any part of ReflexDB: sqlite3
finds and orders the rows, and what a row looks like as JSON is written down here once for each table.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]

FIELDS: dict[str, dict[str, str]] = {
    "users": {
        "id": "id",
        "name": "name",
        "email": "email",
        "plan": "plan",
        "verified": "boolean",
        "balance": "decimal",
        "birthday": "birthday",
        "bio": "bio",
        "created_at": "datetime",
    },
    "posts": {
        "id": "id",
        "user_id": "author_id",
        "category_id": "category_id",
        "title": "title",
        "body": "body",
        "published": "boolean",
        "views": "views",
        "rating": "rating",
        "price": "decimal",
        "published_on": "published_on",
        "updated_at": "datetime",
    },
    "comments": {
        "id": "id",
        "post_id": "post_id",
        "user_id": "user_id",
        "body": "body",
        "approved": "boolean",
        "created_at": "datetime",
    },
}
"""Field of the API to the source's column, or to the kind of value where a conversion is needed."""

EVERY_ROW = {table: f"SELECT * FROM {table} ORDER BY id" for table in FIELDS}  # noqa: S608 - our own names

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "boolean": bool,
    "decimal": lambda value: Decimal(repr(value)),
    "datetime": lambda value: value.replace(" ", "T"),
}


class Blog:
    """The source as SQL sees it, read once."""

    def __init__(self, path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.row_factory = sqlite3.Row
            self.tables = {
                table: {row["id"]: as_json(table, row) for row in db.execute(EVERY_ROW[table])} for table in FIELDS
            }
        db.close()
        self._path = path

    def ids(self, sql: str) -> list[int]:
        db = sqlite3.connect(self._path)
        try:
            return [row[0] for row in db.execute(sql)]
        finally:
            db.close()

    def pick(self, table: str, fields: Sequence[str], ids: Sequence[int] | None = None) -> list[Row]:
        rows = self.tables[table]
        return [{field: rows[key][field] for field in fields} for key in (rows if ids is None else ids)]

    def children(self, table: str, column: str) -> dict[int, list[Row]]:
        """Rows of a table by the parent they point at, in the order of their keys."""
        groups: dict[int, list[Row]] = {}
        for row in self.tables[table].values():
            groups.setdefault(row[column], []).append(row)
        return groups


def as_json(table: str, row: sqlite3.Row) -> Row:
    made: Row = {}
    for field, kind in FIELDS[table].items():
        convert = CONVERSIONS.get(kind)
        value = row[field if convert else kind]
        made[field] = convert(value) if convert and value is not None else value
    return made


@dataclass(frozen=True, slots=True)
class Form:
    """One published form: what it shows, a query, and what SQL says it must answer."""

    number: int
    shows: str
    text: str
    expected: Callable[[Blog], list[Row]]
    ordered: bool = True
    """Whether the order of an object's keys is promised."""


def users_where(condition: str) -> Callable[[Blog], list[Row]]:
    sql = f"SELECT id FROM users WHERE {condition} ORDER BY id"  # noqa: S608 - conditions are written below
    return lambda blog: blog.pick("users", ["id", "name"], blog.ids(sql))


def users_wholly(blog: Blog) -> list[Row]:
    posts, comments = blog.children("posts", "user_id"), blog.children("comments", "user_id")
    return [
        {**row, "posts": posts.get(key, []), "comments": comments.get(key, [])}
        for key, row in blog.tables["users"].items()
    ]


def users_with_titles(blog: Blog) -> list[Row]:
    posts = blog.children("posts", "user_id")
    return [
        {**row, "posts": [{"id": post["id"], "title": post["title"]} for post in posts.get(key, [])]}
        for key, row in blog.tables["users"].items()
    ]


def posts_nested(blog: Blog) -> list[Row]:
    comments, users = blog.children("comments", "post_id"), blog.tables["users"]
    return [
        {
            "id": post["id"],
            "title": post["title"],
            "author": {"id": post["user_id"], "name": users[post["user_id"]]["name"]},
            "comments": [{"id": comment["id"], "body": comment["body"]} for comment in comments.get(key, [])],
        }
        for key, post in blog.tables["posts"].items()
    ]


OF_42 = "SELECT id FROM posts WHERE published AND author_id = 42 ORDER BY id"
WITH_PUBLISHED = "id IN (SELECT author_id FROM posts WHERE published)"
WITH_APPROVED = "id IN (SELECT author_id FROM posts JOIN comments c ON c.post_id = posts.id WHERE c.approved)"

FORMS: tuple[Form, ...] = (
    Form(1, "chosen fields", "users { id name email }", lambda blog: blog.pick("users", ["id", "name", "email"])),
    Form(2, "every scalar field", "users { * }", lambda blog: list(blog.tables["users"].values())),
    Form(3, "every field and one level of relations", "users { ... }", users_wholly, ordered=False),
    Form(4, "a relation beside a wildcard", "users { * posts { id title } }", users_with_titles),
    Form(5, "a filter", 'users(plan = "pro") { id name }', users_where("plan = 'pro'")),
    Form(
        5,
        "a filter with AND",
        "posts(published = true AND user_id = 42) { id title }",
        lambda blog: blog.pick("posts", ["id", "title"], blog.ids(OF_42)),
    ),
    Form(
        5,
        "a filter with OR and parentheses",
        'users(plan = "pro" OR (plan = "free" AND verified = true)) { id name }',
        users_where("plan = 'pro' OR (plan = 'free' AND verified)"),
    ),
    Form(6, "a filter by a relation", "users(posts.published = true) { id name }", users_where(WITH_PUBLISHED)),
    Form(7, "a chain of relations", "users(posts.comments.approved = true) { id name }", users_where(WITH_APPROVED)),
    Form(8, "nested relations", "posts { id title author { id name } comments { id body } }", posts_nested),
)


def difference(expected: Any, got: Any, *, ordered: bool, where: str = "answer") -> str | None:
    """The first place where two JSON values differ, in words; None where they are the same."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if (list(expected) != list(got)) if ordered else (set(expected) != set(got)):
            return f"{where} has the keys {list(got)}, SQL says {list(expected)}"
        places = [(f"{where}.{key}", expected[key], got[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{where} has {len(got)} items, SQL says {len(expected)}"
        places = [(f"{where}[{n}]", one, other) for n, (one, other) in enumerate(zip(expected, got, strict=True))]
    else:
        return None if same_scalar(expected, got) else f"{where} is {brief(got)}, SQL says {brief(expected)}"
    return next((found for place in places if (found := difference(*place[1:], ordered=ordered, where=place[0]))), None)


def same_scalar(expected: Any, got: Any) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool) or not isinstance(expected, int | float | Decimal):
        return type(expected) is type(got) and bool(expected == got)
    exact = Decimal(repr(expected)) if isinstance(expected, float) else Decimal(expected)
    return isinstance(got, int | Decimal) and exact == Decimal(got)


def brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
