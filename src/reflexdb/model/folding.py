"""Which texts a collation of a source takes for equal: a table from characters to elements.

Made by the sources, carried by the plan into the image, where the engine joins and compares keys by it
(engine/folding.h). Two texts are equal if their characters give the same elements. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Elements = tuple[int, ...]

UNICODE_END = 0x110000
"""Elements from here on stand for what no single character is equal to."""
ASCII = 128
LOOK_UP = 0xFFFFFFFF
"""In place of an ASCII character's element: it has none, or several."""
_SYLLABLES = range(0xAC00, 0xAC00 + 11_172)
_LEADING, _VOWELS, _TRAILING = 0x1100, 0x1161, 0x11A7
_VOWEL_COUNT, _TRAILING_COUNT = 21, 28


class FoldKind(IntEnum):
    SAME = 0
    """Each character gives the element `to`."""
    SHIFTED = 1
    """They give the elements from `to` on."""
    MANY = 2
    """The one character gives `count` of the folding's `elements`, from `to` on."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Characters from `first` to `last`, by their code points."""

    first: int
    last: int
    to: int
    count: int
    kind: FoldKind


@dataclass(frozen=True, slots=True)
class Folding:
    """A character that is not among `folds` is an element by itself."""

    name: str
    """The collation's, in the source."""
    folds: tuple[Fold, ...] = ()
    """In the order of their characters, and apart."""
    elements: Elements = ()
    pads: bool = False
    """Blanks at the end count for nothing."""
    hangul: bool = False
    """A syllable is equal to the letters that it is made of (The Unicode Standard, 3.12)."""

    def of(self, character: int) -> Elements:
        """What the character gives."""
        if self.hangul and character in _SYLLABLES:
            return tuple(element for part in jamo(character) for element in self.of(part))
        for fold in self.folds:
            if fold.first <= character <= fold.last:
                if fold.kind is FoldKind.MANY:
                    return self.elements[fold.to : fold.to + fold.count]
                return (fold.to + (character - fold.first if fold.kind is FoldKind.SHIFTED else 0),)
        return (character,)

    def blank(self) -> int:
        """The element of a blank."""
        return self.of(ord(" "))[0]

    def ascii(self) -> tuple[int, ...]:
        """The one element of each ASCII character, or LOOK_UP."""
        found = [self.of(character) for character in range(ASCII)]
        return tuple(elements[0] if len(elements) == 1 else LOOK_UP for elements in found)

    def to_json(self) -> dict[str, Any]:
        folds = [[fold.first, fold.last, fold.to, fold.count, int(fold.kind)] for fold in self.folds]
        return {
            "name": self.name,
            "folds": folds,
            "elements": list(self.elements),
            "pads": self.pads,
            "hangul": self.hangul,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Folding:
        """Raises KeyError, TypeError or ValueError on a document this version did not write."""
        folds = tuple(
            Fold(first, last, to, count, FoldKind(kind)) for first, last, to, count, kind in document["folds"]
        )
        return cls(document["name"], folds, tuple(document["elements"]), document["pads"], document["hangul"])


def jamo(syllable: int) -> list[int]:
    """The two or three letters that a Hangul syllable is made of."""
    index = syllable - _SYLLABLES.start
    parts = [
        _LEADING + index // (_VOWEL_COUNT * _TRAILING_COUNT),
        _VOWELS + index // _TRAILING_COUNT % _VOWEL_COUNT,
        _TRAILING + index % _TRAILING_COUNT,
    ]
    return parts if parts[2] != _TRAILING else parts[:2]


def folding(name: str, given: Mapping[int, Elements], *, pads: bool) -> Folding:
    """From what each character gives; one that is not named gives itself."""
    hangul = all(
        given.get(syllable) == tuple(element for part in jamo(syllable) for element in given.get(part, (part,)))
        for syllable in _SYLLABLES
    )
    kept = {
        character: elements
        for character, elements in given.items()
        if elements != (character,) and not (hangul and character in _SYLLABLES)
    }
    single = {character: elements[0] for character, elements in kept.items() if len(elements) == 1}
    folds = list(_runs(single))
    all_elements: list[int] = []
    for character, elements in kept.items():
        if len(elements) != 1:
            folds.append(Fold(character, character, len(all_elements), len(elements), FoldKind.MANY))
            all_elements += elements
    folds.sort(key=lambda fold: fold.first)
    return Folding(name, tuple(folds), tuple(all_elements), pads, hangul)


def _runs(single: Mapping[int, int]) -> Iterator[Fold]:
    """Neighbours that give one element, or neighbouring ones."""
    characters = sorted(single)
    at = 0
    while at < len(characters):
        first = characters[at]
        length = {kind: _run(single, first, step) for kind, step in ((FoldKind.SAME, 0), (FoldKind.SHIFTED, 1))}
        kind = max(length, key=length.__getitem__)
        yield Fold(first, first + length[kind] - 1, single[first], 1, kind)
        at += length[kind]


def _run(single: Mapping[int, int], first: int, step: int) -> int:
    length = 1
    while single.get(first + length) == single[first] + step * length:
        length += 1
    return length
