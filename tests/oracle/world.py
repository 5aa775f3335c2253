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
    "kinds": {"id": 90, "post_id": 95},
}
USERS, POSTS, TAGS, KINDS = 40, 90, 8, 60
MOODS = ["calm", "Wild", "ärgerlich", "a b"]
"""Of an enumeration: declared in another order than that of their bytes."""
MARKS = ["x", "Y", "zé"]
DOCUMENTS = [
    "[]",
    "{}",
    "null",
    "true",
    '"it\'s é"',
    "-12.5",
    '{"a": [1, 2.5, "\\u00e9"], "b": {"c": null}}',
    "[[], [0]]",
]
WIDE = ["0", "0.5", "-0.0000000001", "1234567890123456789012345678.0123456789", "-9999999999999999999999999999", "7.25"]
HUGE = [0, 1, 1 << 63, (1 << 64) - 1, (1 << 53) + 1]
UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-4000-8000-0000000000ff",
    "3f2b9c1e-7a4d-4e5f-8a6b-0c1d2e3f4a5b",
    "3f2b9c1e-7a4d-1e5f-8a6b-0c1d2e3f4a5b",
    "ffffffff-0000-4000-8000-000000000000",
]
BYTES = [b"", b"\0", b"\0\xff", b"abc", b"ab", b"\xff\xfe", b"ABC"]
CLOCKS = ["00:00:00", "09:05:00", "10:00:01", "23:59:59"]
DAYS = [date(1, 1, 1), date(1969, 12, 31), date(2000, 2, 29), date(9999, 12, 31)]
MOMENTS = [datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]  # noqa: DTZ001
NOON = datetime.fromisoformat("2024-01-01T12:00")


def rows(seed: int) -> dict[str, list[dict[str, Any]]]:
    source = random.Random(seed)

    def perhaps(value: Any, null: float = 0.2) -> Any:
        return None if source.random() < null else value

    def day() -> date:
        if source.random() < 0.1:
            return source.choice(DAYS)
        return date(2024, 1, 1) + timedelta(days=source.randrange(6))

    def moment() -> datetime:
        if source.random() < 0.1:
            return source.choice(MOMENTS)
        return NOON + timedelta(hours=source.randrange(5), microseconds=source.choice([0, 5]))

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
            "at": perhaps(moment()),
        }
        for n in sorted(source.sample(range(1, 95), POSTS))
    ]
    tags = [{"id": n, "name": perhaps(source.choice(TEXTS))} for n in range(1, TAGS + 1)]
    pairs = [{"post_id": post["id"], "tag_id": tag["id"]} for post in posts for tag in tags if source.random() < 0.15]
    kinds = [
        {
            "id": n,
            "post_id": perhaps(source.choice(posts)["id"]),
            "uid": perhaps(source.choice(UUIDS)),
            "doc": perhaps(source.choice(DOCUMENTS)),
            "raw": perhaps(source.choice(BYTES)),
            "mood": perhaps(source.choice(MOODS)),
            "marks": perhaps([mark for mark in MARKS if source.random() < 0.5]),
            "clock": perhaps(source.choice(CLOCKS)),
            "instant": perhaps(NOON + timedelta(hours=source.randrange(30), microseconds=source.choice([0, 500_000]))),
            "wide": perhaps(Decimal(source.choice(WIDE))),
            "huge": perhaps(source.choice(HUGE)),
            "small": perhaps(source.randrange(-8, 8) / 8),
        }
        for n in sorted(source.sample(range(-5, 90), KINDS))
    ]
    follows = [{"follower_id": a, "followed_id": b} for a in known for b in known if source.random() < 0.06]
    return {
        "users": users,
        "posts": posts,
        "tags": tags,
        "post_tags": pairs,
        "kinds": kinds,
        "follows": follows,
    }
