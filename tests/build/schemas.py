"""Source schemas for the build's tests, in few words."""

from __future__ import annotations

from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.model.storage import Storage


def column(name: str, storage: Storage | None = Storage.I32, declared: str = "int", **more: object) -> SourceColumn:
    return SourceColumn(name, declared, storage, nullable=name != "id", **more)  # type: ignore[arg-type]


def table(name: str, *columns: str | SourceColumn, keys: tuple[ForeignKey, ...] = (), **more: object) -> SourceTable:
    full = tuple(column(one) if isinstance(one, str) else one for one in columns)
    primary = ("id",) if any(one.name == "id" for one in full) else ()
    return SourceTable(name, full, **({"primary_key": primary, "foreign_keys": keys} | more))  # type: ignore[arg-type]


def key(columns: str, references: str, referenced: str = "id") -> ForeignKey:
    return ForeignKey(f"fk_{columns}", tuple(columns.split(",")), references, tuple(referenced.split(",")))


def schema(*tables: SourceTable) -> SourceSchema:
    return SourceSchema(Backend.SQLITE, "main", "3.40", tuple(sorted(tables, key=lambda one: one.name)))


def blog() -> SourceSchema:
    return schema(
        table("users", "id", column("name", Storage.TEXT, "varchar(40)")),
        table("posts", "id", "author_id", column("title", Storage.TEXT, "text"), keys=(key("author_id", "users"),)),
        table("comments", "id", "post_id", "user", keys=(key("post_id", "posts"), key("user", "users"))),
    )
