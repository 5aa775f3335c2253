"""Positions in a server's history as text: MariaDB's GTID list, MySQL's GTID set, or file and offset.

Parses and prints them, follows them as transactions pass, and answers whether one contains another. Pure; raises
InvalidRequest for text that is no position, since positions come from callers too.

    0-1-42,1-7-9                                    MariaDB: the last GTID of each domain
    3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7      MySQL: intervals of each server
    3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:1-5    MySQL: of the transactions with a tag
    binlog.000003:4711                              where the server has no GTIDs
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from reflexdb.model.errors import InvalidRequest

_MARIA = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,20})")
_FILE = re.compile(r"([^:\s]{1,200}\.\d{1,20}):(\d{1,20})")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_INTERVAL = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?")

_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_TAGGED = 1 << 56 | 1
"""Marks a set in which each server has a tag, which may be empty."""

Intervals = list[tuple[int, int]]


@dataclass(slots=True)
class MariaPosition:
    """The last transaction of each domain."""

    last: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Server id and sequence number by domain."""

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{number}" for domain, (server, number) in sorted(self.last.items()))

    def contains(self, other: MariaPosition) -> bool:
        """Whether everything up to `other` is at or before this position."""
        return all(self.last.get(domain, (0, 0))[1] >= number for domain, (_, number) in other.last.items())


@dataclass(slots=True)
class GtidSet:
    """Which transactions of which servers were executed."""

    done: dict[str, Intervals] = field(default_factory=dict)
    """By the server's UUID, or that and a tag with a colon between: intervals, first and last included, sorted, not
    touching."""

    def __str__(self) -> str:
        return ",".join(f"{source}:{_written(intervals)}" for source, intervals in sorted(self.done.items()))

    def add(self, source: str, number: int) -> None:
        """Take in one transaction; nearly always the next of its server."""
        intervals = self.done.setdefault(source, [])
        if intervals and intervals[-1][1] + 1 == number:
            intervals[-1] = (intervals[-1][0], number)
        else:
            self.done[source] = _merged([*intervals, (number, number)])

    def contains(self, other: GtidSet) -> bool:
        return all(
            any(first <= low and high <= last for first, last in self.done.get(source, ()))
            for source, intervals in other.done.items()
            for low, high in intervals
        )

    def encoded(self) -> bytes:
        """As COM_BINLOG_DUMP_GTID wants it: the intervals' ends are one past the last."""
        is_tagged = any(":" in source for source in self.done)
        count = len(self.done)
        parts = [(_TAGGED | count << 8 if is_tagged else count).to_bytes(8, "little")]
        for source, intervals in sorted(self.done.items()):
            server, _, tag = source.partition(":")
            parts.append(bytes.fromhex(server.replace("-", "")))
            if is_tagged:
                parts.append(bytes((len(tag) << 1,)) + tag.encode("ascii"))
            parts.append(len(intervals).to_bytes(8, "little"))
            parts += [low.to_bytes(8, "little") + (high + 1).to_bytes(8, "little") for low, high in intervals]
        return b"".join(parts)


@dataclass(slots=True)
class FilePosition:
    """A place in one server's own log files."""

    file: str
    offset: int

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"

    def contains(self, other: FilePosition) -> bool:
        """Raises InvalidRequest where the files are not of the same series."""
        base, number = self.file.rsplit(".", 1)
        other_base, other_number = other.file.rsplit(".", 1)
        if base != other_base:
            raise InvalidRequest(f"Position {other} is in another server's log than {self}; give a later one.")
        return (int(number), self.offset) >= (int(other_number), other.offset)


Position = MariaPosition | GtidSet | FilePosition


def parse(text: str) -> Position:
    """Read a position of any of the three forms. Raises InvalidRequest."""
    cleaned = "".join(text.split())
    in_file = _FILE.fullmatch(cleaned)
    if in_file and not _UUID.fullmatch(cleaned.split(":", 1)[0].lower()):
        return FilePosition(in_file[1], int(in_file[2]))
    if ":" in cleaned:
        return _gtid_set(cleaned)
    position = MariaPosition()
    for part in cleaned.split(",") if cleaned else ():
        found = _MARIA.fullmatch(part)
        if not found:
            raise _unreadable(text)
        domain, server, number = (int(group) for group in found.groups())
        if domain >= 1 << 32 or server >= 1 << 32 or number >= 1 << 64:
            raise _unreadable(text)
        if number >= position.last.get(domain, (0, 0))[1]:
            position.last[domain] = (server, number)
    if not position.last:
        raise _unreadable(text)
    return position


def _gtid_set(cleaned: str) -> GtidSet:
    gathered: dict[str, Intervals] = {}
    for part in cleaned.lower().split(","):
        source, _, rest = part.partition(":")
        if not _UUID.fullmatch(source):
            raise _unreadable(cleaned)
        digits = source.replace("-", "")
        name = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        source = name
        for interval in rest.split(":"):
            if _TAG.fullmatch(interval):
                source = f"{name}:{interval}"
                continue
            found = _INTERVAL.fullmatch(interval)
            low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
            if not 1 <= low <= high < 1 << 63:
                raise _unreadable(cleaned)
            gathered.setdefault(source, []).append((low, high))
    return GtidSet({source: _merged(intervals) for source, intervals in gathered.items()})


def _merged(intervals: Intervals) -> Intervals:
    merged: Intervals = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _written(intervals: Intervals) -> str:
    return ":".join(str(low) if low == high else f"{low}-{high}" for low, high in intervals)


def _unreadable(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text[:100]!r} is no position of a MySQL or MariaDB server; give what the server says, such as "
        "'0-1-42' (@@gtid_current_pos), '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5' (@@gtid_executed) or "
        "'binlog.000003:4711'."
    )
