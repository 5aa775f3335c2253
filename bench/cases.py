"""What is asked of everybody: five questions about the blog, each with arguments so that no answer is the last one's.

A contender has its own words for each (bench/contenders); here stand ours, and what an answer must be like, whoever
gave it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from reflexdb.cli.demo.blog import Scale

DIFFERENT = 1_000
"""Different requests of a case, asked in turn."""
CHECKED = 25
"""Of these, whose answers must be the same from everybody before anything is timed."""


@dataclass(frozen=True, slots=True)
class Case:
    key: str
    name: str
    query: str
    """Ours, with {n} where the argument goes."""
    argument: Callable[[random.Random, Scale], int] | None = None

    def arguments(self, scale: Scale) -> list[int]:
        if self.argument is None:
            return [0]
        dice = random.Random(7)
        return [self.argument(dice, scale) for _ in range(DIFFERENT)]

    def ours(self, argument: int) -> str:
        return self.query.replace("{n}", str(argument))


def _user(dice: random.Random, scale: Scale) -> int:
    return dice.randint(1, scale.users)


def _views(dice: random.Random, scale: Scale) -> int:
    """A few posts have one of these; finding them takes a look at all."""
    return dice.randint(scale.posts // 500, scale.posts // 200)


CASES = (
    Case("point", "one row by key", "users(id = {n}) { id name email plan }", _user),
    Case(
        "nested",
        "a row with two levels of relations",
        "users(id = {n}) { id name posts { id title comments { id body approved } } }",
        _user,
    ),
    Case("filter", "posts by an unindexed integer", "posts(views = {n}) { id title }", _views),
    Case("top", "the 100 posts with most views", "posts(ORDER BY views DESC LIMIT 100) { id title views }"),
    Case("dump", "every comment, whole", "comments { * }"),
)
