"""Dates and times as the numbers Arrow keeps them as."""

from __future__ import annotations

from datetime import UTC, date, datetime


def micros(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> int:
    """Microseconds since 1970-01-01T00:00:00."""
    delta = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01."""
    return (date(year, month, day) - date(1970, 1, 1)).days
