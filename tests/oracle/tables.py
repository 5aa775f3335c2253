"""What the made-up queries are about: columns with the kind of their values, and how tables lead to others."""

from __future__ import annotations

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
    "kinds": {
        "id": "number", "post_id": "number", "uid": "uuid", "doc": "json", "raw": "bytes", "mood": "mood",
        "marks": "set", "clock": "clock", "instant": "instant", "wide": "number", "huge": "number", "small": "number",
    },
}  # fmt: skip
MANY = {
    "users": {"posts": "posts", "users": "users", "users_by_follower": "users", "users_by_followed": "users"},
    "posts": {"tags": "tags", "kinds": "kinds"},
    "tags": {"posts": "posts"},
    "kinds": {},
}
ONE = {"users": {"boss": "users"}, "posts": {"user": "users"}, "tags": {}, "kinds": {"post": "posts"}}
JOINS = {
    ("users", "posts"): "{to}.user_id = {of}.id",
    ("users", "users"): "{to}.boss_id = {of}.id",
    ("users", "boss"): "{to}.id = {of}.boss_id",
    ("posts", "user"): "{to}.id = {of}.user_id",
    ("posts", "kinds"): "{to}.post_id = {of}.id",
    ("kinds", "post"): "{to}.id = {of}.post_id",
    ("users", "users_by_follower"): "EXISTS (SELECT 1 FROM follows j WHERE j.follower_id = {of}.id"
    " AND j.followed_id = {to}.id)",
    ("users", "users_by_followed"): "EXISTS (SELECT 1 FROM follows j WHERE j.followed_id = {of}.id"
    " AND j.follower_id = {to}.id)",
    ("posts", "tags"): "EXISTS (SELECT 1 FROM post_tags j WHERE j.post_id = {of}.id AND j.tag_id = {to}.id)",
    ("tags", "posts"): "EXISTS (SELECT 1 FROM post_tags j WHERE j.tag_id = {of}.id AND j.post_id = {to}.id)",
}
LOOSE = ("json", "set")
"""Kinds that nothing is ordered by, grouped by or compared with."""
