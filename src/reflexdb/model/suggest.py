"""Which known name a mistyped one most likely meant, for the last words of an error message.

Called wherever a name is looked up that a person wrote: keys and names in reflexdb.yaml. Pure, deterministic and
bounded: very long names and very long lists get no suggestion rather than seconds of comparing. It refuses to know
what the names stand for.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAME_CHARS = 64
MAX_KNOWN_NAMES = 1_000
SHOWN_CHARS = 80


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean "users"?` with its leading space, or nothing where no known name is close."""
    if len(name) > MAX_NAME_CHARS:
        return ""
    names = sorted(candidate for candidate in known if len(candidate) <= MAX_NAME_CHARS)[:MAX_KNOWN_NAMES]
    by_folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    exact = by_folded.get(name.casefold())
    close = [exact] if exact else get_close_matches(name, names, n=1, cutoff=0.6)
    return f" Did you mean {quoted(close[0])}?" if close else ""


def quoted(name: str) -> str:
    """A name as messages show it: in double quotes, on one line, control characters escaped, cut where it is long."""
    shown = name if len(name) <= SHOWN_CHARS else name[:SHOWN_CHARS] + "..."
    escaped = "".join(_shown(character) for character in shown)
    return f'"{escaped}"'


def _shown(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
