"""The plan the engine's tests share: every storage, hostile names, keys of two columns, relations of every kind."""

from __future__ import annotations

from reflexdb.model.not_served import Cause, NotServed
from reflexdb.model.plan import ForwardRelation, Plan, PlannedColumn, PlannedTable, ReverseRelation
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage

USERS, POSTS, COMMENTS, KINDS, SEATS, TICKETS, LOGS, SECRETS, TAGS, POST_TAGS, FOLLOWS = range(11)


def column(name: str, storage: Storage, nullable: bool = True, visible: bool = True) -> PlannedColumn:
    return PlannedColumn(name, name, storage, f"{storage.name.lower()} type", nullable, visible)


def table(
    name: str,
    columns: list[PlannedColumn],
    key: tuple[int, ...] = (0,),
    forward: tuple[ForwardRelation, ...] = (),
    reverse: tuple[ReverseRelation, ...] = (),
) -> PlannedTable:
    return PlannedTable(name, name, tuple(columns), key, forward, reverse)


users = table(
    "users",
    [
        column("id", Storage.I32, nullable=False),
        column("name", Storage.TEXT),
        column("plan", Storage.ENUM),
        column("verified", Storage.BOOL),
        column("age", Storage.I16),
        column("boss_id", Storage.I32),
        column("email", Storage.TEXT),
    ],
    forward=(ForwardRelation("boss", (5,), USERS, (0,)),),
    reverse=(
        ReverseRelation("posts", POSTS, 0),
        ReverseRelation("users", USERS, 0),
        ReverseRelation("comments", COMMENTS, 1),
        ReverseRelation("follows_by_follower", FOLLOWS, 0),
        ReverseRelation("follows_by_followed", FOLLOWS, 1),
    ),
)
posts = table(
    "posts",
    [
        column("id", Storage.I64, nullable=False),
        column("user_id", Storage.I32),
        column("title", Storage.TEXT),
        column("views", Storage.I64),
        column("published", Storage.BOOL),
        column("price", Storage.DECIMAL),
        column("score", Storage.F64),
        column("day", Storage.DATE),
    ],
    forward=(ForwardRelation("user", (1,), USERS, (0,)),),
    reverse=(ReverseRelation("comments", COMMENTS, 0), ReverseRelation("post_tags", POST_TAGS, 0)),
)
comments = table(
    "comments",
    [
        column("id", Storage.I32, nullable=False),
        column("post_id", Storage.I64),
        column("author", Storage.TEXT),
        column("body", Storage.TEXT),
        column("approved", Storage.BOOL),
    ],
    forward=(ForwardRelation("post", (1,), POSTS, (0,)), ForwardRelation("author", (2,), USERS, (6,))),
)
kinds = table(
    "kinds",
    [
        column("id", Storage.TEXT, nullable=False),
        *(column(storage.name.lower(), storage) for storage in Storage),
    ],
)
seats = table(
    "seats",
    [
        column("row", Storage.TEXT, nullable=False),
        column("number", Storage.I32, nullable=False),
        column("order", Storage.TEXT),
    ],
    key=(0, 1),
    reverse=(ReverseRelation("tickets", TICKETS, 0),),
)
tickets = table(
    "tickets",
    [
        column("id", Storage.U64, nullable=False),
        column("seat_number", Storage.I64),
        column("seat_row", Storage.TEXT),
    ],
    forward=(ForwardRelation("seats", (1, 2), SEATS, (1, 0)),),
)
logs = table(
    "logs", [column("line", Storage.TEXT), column('"); system("x");//', Storage.I32), column("é", Storage.I32)], key=()
)
secrets = table(
    "secrets",
    [column("id", Storage.UUID, nullable=False, visible=False), column("hint", Storage.TEXT)],
)
tags = table(
    "tags",
    [column("id", Storage.I32, nullable=False), column("name", Storage.TEXT)],
    reverse=(ReverseRelation("post_tags", POST_TAGS, 1),),
)
post_tags = table(
    "post_tags",
    [column("post_id", Storage.I64), column("tag_id", Storage.I32)],
    key=(),
    forward=(ForwardRelation("post", (0,), POSTS, (0,)), ForwardRelation("tag", (1,), TAGS, (0,))),
)
follows = table(
    "follows",
    [column("follower_id", Storage.I32, nullable=False), column("followed_id", Storage.I32, nullable=False)],
    key=(0, 1),
    forward=(ForwardRelation("follower", (0,), USERS, (0,)), ForwardRelation("followed", (1,), USERS, (0,))),
)

PLAN = Plan(
    Backend.SQLITE,
    "main",
    (users, posts, comments, kinds, seats, tickets, logs, secrets, tags, post_tags, follows),
    not_served=(
        NotServed.of_table('gr"ant', Cause.NO_PRIVILEGE, "The user may not SELECT from it.", "Run: GRANT SELECT;"),
        NotServed.of_column("users", "sh\nape", Cause.UNSUPPORTED_TYPE, 'Its type "shape" is not supported.', ""),
        NotServed.of_relation("users", "ü", Cause.OTHER_SCHEMA, "It refers to elsewhere.", ""),
    ),
)
