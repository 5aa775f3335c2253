"""The sample blog: a SQLite database made from a seed, the same bytes of data for the same seed and scale.

Made for the demo and the benchmark. It has what real data has: names of many scripts, quotes, emoji, nulls, decimals,
dates, booleans, a tree (categories), a many-to-many (post_tags) and optional keys. Its reflexdb.yaml shows an alias:
the column that the source calls `author_id` is the field `user_id` of a query, while the relation keeps the name
`author` that the column gives it.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from reflexdb.cli.demo.words import CATEGORIES, ENDINGS, FIRST_NAMES, LAST_NAMES, PHRASES, SUBJECTS

SCHEMA = """
CREATE TABLE users (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT UNIQUE,
  plan TEXT NOT NULL CHECK (plan IN ('free', 'pro', 'team')),
  verified BOOLEAN NOT NULL,
  balance DECIMAL(10,2) NOT NULL,
  birthday DATE,
  bio TEXT,
  created_at DATETIME NOT NULL
);
CREATE TABLE categories (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  parent_id INTEGER REFERENCES categories (id)
);
CREATE TABLE posts (
  id INTEGER PRIMARY KEY,
  author_id INTEGER NOT NULL REFERENCES users (id),
  category_id INTEGER REFERENCES categories (id),
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  published BOOLEAN NOT NULL,
  views INTEGER NOT NULL,
  rating REAL,
  price DECIMAL(8,2),
  published_on DATE,
  updated_at DATETIME NOT NULL
);
CREATE TABLE comments (
  id INTEGER PRIMARY KEY,
  post_id INTEGER NOT NULL REFERENCES posts (id),
  user_id INTEGER REFERENCES users (id),
  body TEXT NOT NULL,
  approved BOOLEAN NOT NULL,
  created_at DATETIME NOT NULL
);
CREATE TABLE tags (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);
CREATE TABLE post_tags (
  post_id INTEGER NOT NULL REFERENCES posts (id),
  tag_id INTEGER NOT NULL REFERENCES tags (id),
  PRIMARY KEY (post_id, tag_id)
);
"""

CONFIG = """\
version: 1
tables:
  - name: users
    field_notes: {email: "Where the user can be reached; some have none"}
  - name: categories
  - name: posts
    field_aliases: {author_id: user_id}
  - name: comments
  - name: tags
  - name: post_tags
sync:
  interval: 1
"""

EPOCH = datetime(2024, 1, 1)  # noqa: DTZ001 - the sample's times have no zone, as in most SQLite files


@dataclass(frozen=True, slots=True)
class Scale:
    """How many rows; everything else follows."""

    users: int = 2_000
    posts: int = 6_000
    comments: int = 15_000
    tags: int = 60


def create(path: Path, scale: Scale = Scale(), seed: int = 20_260_415) -> dict[str, int]:
    """Make the database file; it must not exist. Returns the number of rows of each table."""
    assert not path.exists(), path
    dice = random.Random(seed)  # noqa: S311 - a seed is the point
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(SCHEMA)
        db.executemany("INSERT INTO users VALUES (?,?,?,?,?,?,?,?,?)", users(dice, scale))
        db.executemany("INSERT INTO categories VALUES (?,?,?)", categories())
        db.executemany("INSERT INTO posts VALUES (?,?,?,?,?,?,?,?,?,?,?)", posts(dice, scale))
        db.executemany("INSERT INTO comments VALUES (?,?,?,?,?,?)", comments(dice, scale))
        db.executemany("INSERT INTO tags VALUES (?,?)", tags(scale))
        db.executemany("INSERT INTO post_tags VALUES (?,?)", post_tags(dice, scale))
        tables = ["users", "categories", "posts", "comments", "tags", "post_tags"]
        return {table: int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables}  # noqa: S608


def users(dice: random.Random, scale: Scale) -> Iterator[tuple[object, ...]]:
    for number in range(1, scale.users + 1):
        first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
        yield (
            number,
            f"{first} {last}",
            None if dice.random() < 0.05 else f"user{number}@example.com",
            dice.choices(("free", "pro", "team"), (70, 22, 8))[0],
            int(dice.random() < 0.6),
            f"{dice.randint(-5_000, 900_000) / 100:.2f}",
            None if dice.random() < 0.3 else (date(1950, 1, 1) + timedelta(days=dice.randint(0, 20_000))).isoformat(),
            None if dice.random() < 0.5 else text(dice, 1, 3),
            moment(dice),
        )


def categories() -> Iterator[tuple[object, ...]]:
    for number, name in enumerate(CATEGORIES, 1):
        yield number, name, None if number % 3 == 1 else (number - 1) // 3 * 3 + 1


def posts(dice: random.Random, scale: Scale) -> Iterator[tuple[object, ...]]:
    for number in range(1, scale.posts + 1):
        published = dice.random() < 0.8
        # The first posts go to user 42, whom the published examples ask for.
        author = 42 if number <= 6 and scale.users >= 42 else dice.randint(1, scale.users)
        yield (
            number,
            author,
            None if dice.random() < 0.1 else dice.randint(1, len(CATEGORIES)),
            f"{dice.choice(SUBJECTS)} {dice.choice(ENDINGS)}".strip(),
            text(dice, 2, 8),
            int(published),
            int(dice.paretovariate(0.6)) % 1_000_000,
            None if dice.random() < 0.2 else round(dice.uniform(0, 5), 3),
            None if dice.random() < 0.7 else f"{dice.randint(99, 99_999) / 100:.2f}",
            (EPOCH + timedelta(days=dice.randint(0, 800))).date().isoformat() if published else None,
            moment(dice),
        )


def comments(dice: random.Random, scale: Scale) -> Iterator[tuple[object, ...]]:
    for number in range(1, scale.comments + 1):
        # Low post ids get more comments, as old posts do; some posts have none.
        post = min(dice.randint(1, scale.posts), dice.randint(1, scale.posts))
        author = None if dice.random() < 0.15 else dice.randint(1, scale.users)
        yield number, post, author, text(dice, 1, 3), int(dice.random() < 0.7), moment(dice)


def tags(scale: Scale) -> Iterator[tuple[int, str]]:
    for number in tag_ids(scale):
        yield number, f"tag-{number}" if number % 7 else f"étiquette #{number}"


def tag_ids(scale: Scale) -> range:
    return range(1, scale.tags + 1)


def post_tags(dice: random.Random, scale: Scale) -> Iterator[tuple[int, int]]:
    for post in range(1, scale.posts + 1):
        for tag in sorted(dice.sample(tag_ids(scale), dice.randint(0, min(4, scale.tags)))):
            yield post, tag


def text(dice: random.Random, least: int, most: int) -> str:
    return " ".join(dice.choice(PHRASES) for _ in range(dice.randint(least, most)))


def moment(dice: random.Random) -> str:
    return (EPOCH + timedelta(seconds=dice.randint(0, 70_000_000))).isoformat(sep=" ")
