"""What is written down of tables whose rows missed changes: `left.json` in the instance directory.

    {"left": ["posts"], "settled": {"users": "0-1-4711"}}

A table is left while its definition does not fit, and settled with the position at which it was read again. It stays
in the file then: the server may be started again with a checkpoint from before that position, whose rows lack what the
table missed. So a table is owed its rows if it is left, or if what the server holds is not beyond the position: at it
may be the rows from before too, for a position moves on also where no row does.

Written by a sync process, read by the next one, and by the deployer where it takes a checkpoint to another instance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reflexdb.model.errors import ReflexError
from reflexdb.sync.settings import replace_file

LEFT_NAME = "left.json"


@dataclass(frozen=True, slots=True)
class Left:
    names: frozenset[str] = frozenset()
    settled: Mapping[str, str] = field(default_factory=dict)
    """By name, the position at which the table was read again."""

    @classmethod
    def read(cls, directory: Path) -> Left:
        """Nothing where there is no such file. Raises OSError, and ValueError where it is damaged."""
        try:
            document = json.loads((directory / LEFT_NAME).read_bytes())
        except FileNotFoundError:
            return cls()
        if isinstance(document, list):  # before tables were settled with a position
            document = {"left": document, "settled": {}}
        try:
            names, settled = document["left"], document["settled"].items()
            return cls(frozenset(map(_text, names)), {_text(name): _text(position) for name, position in settled})
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"{LEFT_NAME} is damaged") from exc

    def write(self, directory: Path) -> None:
        """Raises OSError."""
        if not self and not (directory / LEFT_NAME).exists():
            return
        document = {"left": sorted(self.names), "settled": dict(self.settled)}
        replace_file(directory / LEFT_NAME, json.dumps(document).encode())

    def __bool__(self) -> bool:
        return bool(self.names or self.settled)

    def leave(self, names: Iterable[str]) -> Left:
        """These, and no others, are left now."""
        return Left(frozenset(names), self.settled)

    def settle(self, names: Collection[str], position: str) -> Left:
        """These were read again there."""
        return Left(self.names - frozenset(names), {**self.settled, **dict.fromkeys(names, position)})

    def joined(self, later: Left) -> Left:
        """What was left at either time is left."""
        return Left(self.names | later.names, {**self.settled, **later.settled})

    def owed(self, reached: Callable[[str], bool]) -> frozenset[str]:
        """Names of tables that miss changes in what has `reached` some positions and not others."""
        return self.names | {name for name, position in self.settled.items() if not _is_reached(reached, position)}


def _is_reached(reached: Callable[[str], bool], position: str) -> bool:
    """Not where it can't be told: reading a table once too often costs nothing but time."""
    try:
        return reached(position)
    except ReflexError:
        return False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
