"""The rows that made-up queries are asked of: few, for ties everywhere, with nulls, and with texts that trip."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

TEXTS = [
    "",
    " ",
    "a",
    "A",
    "ab",
    "a ",
    "b%",
    "a_b",
    "a\\b",
    "é",
    "É",
    "e\u0301",
    "zz",
    "aba",
    "😀",
    "😀a",
    "\uffff",
    "it's",
    '"',
]
PATTERNS = ["%", "a%", "%a", "%a%", "_", "__", "a_", "\\%", "%\\%%", "a\\_b", "%\\\\%", "é", "_é%", "😀%", "", "%b_%"]
NUMBERS = {
    "users": {"id": 45, "age": 12, "boss_id": 45, "big": 3},
    "posts": {"id": 95, "user_id": 45, "views": 8},
    "tags": {"id": 9},
}
USERS, POSTS, TAGS = 40, 90, 8
NOON = datetime.fromisoformat("2024-01-01T12:00")


def rows(seed: int) -> dict[str, list[dict[str, Any]]]:
    source = random.Random(seed)

    def perhaps(value: Any, null: float = 0.2) -> Any:
        return None if source.random() < null else value

    def day() -> date:
        return date(2024, 1, 1) + timedelta(days=source.randrange(6))

    def exact() -> Decimal:
        return Decimal(source.randrange(-40, 40)) / 8

    users = [
        {
            "id": n,
            "name": perhaps(source.choice(TEXTS)),
            "age": perhaps(source.randrange(-2, 11)),
            "verified": perhaps(source.random() < 0.5),
            "boss_id": None,
            "score": perhaps(source.randrange(-8, 9) / 4),
            "balance": perhaps(exact()),
            "joined": perhaps(day()),
            "big": perhaps(source.choice([-(1 << 62), 1 << 53, (1 << 53) + 1, 0, 2])),
        }
        for n in source.sample(range(1, 45), USERS)
    ]
    users.sort(key=lambda row: row["id"])
    for at, row in enumerate(users):
        row["boss_id"] = perhaps(users[source.randrange(at + 1)]["id"], 0.3)
    known = [row["id"] for row in users]
    posts = [
        {
            "id": n,
            "user_id": perhaps(source.choice(known)),
            "title": perhaps(source.choice(TEXTS)),
            "views": perhaps(source.randrange(8)),
            "published": perhaps(source.random() < 0.6),
            "price": perhaps(exact()),
            "day": perhaps(day()),
            "at": perhaps(NOON + timedelta(hours=source.randrange(5), microseconds=source.choice([0, 5]))),
        }
        for n in sorted(source.sample(range(1, 95), POSTS))
    ]
    tags = [{"id": n, "name": perhaps(source.choice(TEXTS))} for n in range(1, TAGS + 1)]
    pairs = [{"post_id": post["id"], "tag_id": tag["id"]} for post in posts for tag in tags if source.random() < 0.15]
    return {"users": users, "posts": posts, "tags": tags, "post_tags": pairs}
