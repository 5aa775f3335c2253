"""Server-sent events out of the lines of an answer: kind, id and data, as the HTML standard reads them.

Used by the client for live logs. An event that was cut off by a broken connection is none. Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    id: str
    """Of this event, or of the last before it that had one."""
    data: str


def events(lines: Iterable[str]) -> Iterator[Event]:
    """An event is over with an empty line; comments are passed over."""
    kind, last, data = "message", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Event(kind, last, "\n".join(data))
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id":
            last = value
        elif name == "data":
            data.append(value)
