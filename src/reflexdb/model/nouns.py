"""Table names as English nouns: their singular forms, and the part of a column's name that is a table's.

Called where names of relations are derived and where relations are proposed. Pure; a word that is no English noun
has itself as its only form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "indices": "index",
    "vertices": "vertex",
    "matrices": "matrix",
    "criteria": "criterion",
    "data": "datum",
    "media": "medium",
    "analyses": "analysis",
    "lives": "life",
    "wives": "wife",
    "leaves": "leaf",
    "shelves": "shelf",
}
_KEY_SUFFIX = re.compile(r"(?:_?(?:ID|Id|id)|_no|_code|_key)\Z")


def singulars(noun: str) -> tuple[str, ...]:
    """The noun itself, then every form that English may give its singular: `boxes` is of `box`, or of `boxe`."""
    found = [noun]
    head, last = _last_word(noun)
    lower = last.lower()
    if lower in _IRREGULAR:
        single = _IRREGULAR[lower]
        found.append(head + (single.capitalize() if last[:1].isupper() else single))
    if lower.endswith("ies") and len(last) > 3:
        found.append(head + last[:-3] + ("Y" if last.isupper() else "y"))
    if re.search(r"(?:s|x|z|ch|sh|o)es\Z", lower):
        found.append(head + last[:-2])
    if lower.endswith("s") and not lower.endswith("ss") and len(last) > 1:
        found.append(head + last[:-1])
    return tuple(dict.fromkeys(found))


def _last_word(noun: str) -> tuple[str, str]:
    """`OrderItems` ends in `Items`, `order_items` in `items`."""
    start = re.search(r"(?:[A-Z]?[^A-Z_\W]+|[A-Z]+)\Z", noun)
    at = start.start() if start else 0
    return noun[:at], noun[at:]


def without_key_suffix(column: str) -> str | None:
    """`AlbumId` is `Album`, `emp_no` is `emp`; None where the name has no such end. `id` alone is the empty text."""
    match = _KEY_SUFFIX.search(column)
    return column[: match.start()] if match else None


def ends_in_table(stem: str, table_names: Iterable[str]) -> bool:
    """Whether a stem is the name of a table or its singular, perhaps behind other words: `BillToAddress`."""
    flat = _flat(stem)
    for form in (form for name in table_names for form in singulars(name)):
        wanted = _flat(form)
        if not wanted or not flat.endswith(wanted):
            continue
        if len(flat) == len(wanted) or _begins_a_word(stem, len(wanted)):
            return True
    return False


def _begins_a_word(stem: str, letters: int) -> bool:
    """Whether the last so many letters, `_` aside, stand behind `_` or begin with a capital behind a small letter."""
    at = len(stem)
    while letters:
        at -= 1
        letters -= stem[at] != "_"
    return stem[at - 1] == "_" or (stem[at].isupper() and not stem[at - 1].isupper())


def _flat(name: str) -> str:
    return name.replace("_", "").lower()
