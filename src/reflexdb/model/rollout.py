"""How a new instance comes into the place of an old one: at once or in steps, and when it has to give it back.

Pure: control asks `verdict` with what both instances count, and carries out what it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from reflexdb.model.errors import InvalidRequest

MAX_STEPS = 20
MAX_STEP_S = 86_400
DEFAULT_STEPS: tuple[tuple[int, float], ...] = ((50, 60), (250, 60), (500, 60))
"""Shares in thousandths, each with its seconds; after the last the new instance takes everything."""
FEWEST = 20
"""So many requests are needed for a judgement."""
FEWEST_BAD = 5


class Strategy(StrEnum):
    IMMEDIATE = "immediate"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """What the operator may choose."""

    standby_s: float = 0.0
    """How long a replaced instance stands by, to be put back at once; 0: not at all. It costs its memory."""
    error_rate: float = 0.05
    """An instance whose rate of failed and refused requests is higher than the other's by more than this gives way."""


class Counted(Protocol):
    @property
    def answered(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def error_rate(self) -> float | None: ...


def verdict(new: Counted, old: Counted | None, limit: float) -> str | None:
    """Why the new instance is worse than the old one was or is, in one sentence; None where it is not known to be."""
    rate, bad = new.error_rate, new.failed + new.refused
    if rate is None or new.answered < FEWEST or bad < FEWEST_BAD:
        return None
    before = (old.error_rate or 0.0) if old is not None else 0.0
    if rate <= before + limit:
        return None
    return (
        f"{rate:.1%} of its {new.answered} requests failed or were refused, of the one before {before:.1%}; "
        f"{limit:.1%} more is the limit"
    )


def parse_steps(text: str) -> tuple[tuple[int, float], ...]:
    """`5:60,25:60`: percent and seconds, rising. Raises InvalidRequest."""
    what = "steps must be percent:seconds, rising, like 5:60,25:120,50:60"
    steps: list[tuple[int, float]] = []
    for part in text.split(","):
        percent, colon, seconds = part.strip().partition(":")
        if not colon or not _is_number(percent) or not _is_number(seconds):
            raise InvalidRequest(f"{what}; {part.strip()[:40]!r} is no step")
        share, lasts = round(float(percent) * 10), float(seconds)
        if not 1 <= share <= 999 or not 0 < lasts <= MAX_STEP_S:
            raise InvalidRequest(f"{what}; a share is from 0.1 to 99.9 percent, for up to {MAX_STEP_S} seconds")
        if steps and share <= steps[-1][0]:
            raise InvalidRequest(f"{what}; {percent} is not more than the step before")
        steps.append((share, lasts))
    if len(steps) > MAX_STEPS:
        raise InvalidRequest(f"{what}; at most {MAX_STEPS}")
    return tuple(steps)


def _is_number(text: str) -> bool:
    whole, _, part = text.partition(".")
    return text.isascii() and whole.isdigit() and len(text) <= 12 and (part.isdigit() or "." not in text)
