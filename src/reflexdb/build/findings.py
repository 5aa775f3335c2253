"""Everything that keeps a schema from being planned, gathered so that a person sees all of it at once.

The planning passes add to it and go on; `finish` raises once at the end. Findings about reflexdb.yaml carry a place
in the file, those about the source do not. Notes are decisions worth a line in the build's log that are no reason to
stop, and so is what the image does not serve.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from reflexdb.model.document import Place
from reflexdb.model.errors import InvalidConfig, InvalidSchema
from reflexdb.model.not_served import NotServed
from reflexdb.model.suggest import did_you_mean

MAX_SHOWN = 100
MAX_HINTS = 10


@dataclass(slots=True)
class Findings:
    notes: list[str] = field(default_factory=list)
    not_served: list[NotServed] = field(default_factory=list)
    _hints: int = 0
    _schema: list[str] = field(default_factory=list)
    _config: list[tuple[Place, str]] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def leave_out(self, entry: NotServed) -> None:
        """Something that the source has and the image does not serve."""
        self.not_served.append(entry)

    def hint(self, name: str, known: Iterable[str]) -> str:
        """A suggestion for a mistyped name. Only for the first few: each is a search through all known names."""
        self._hints += 1
        return did_you_mean(name, known) if self._hints <= MAX_HINTS else ""

    def schema(self, sentence: str) -> None:
        """Something about the source itself."""
        self._schema.append(sentence)

    def config(self, place: Place, sentence: str) -> None:
        """Something about what is written at `place` of reflexdb.yaml."""
        self._config.append((place, place.error(sentence).message))

    def finish(self) -> None:
        """Raise what was found: InvalidConfig where the file alone is at fault, else InvalidSchema with everything."""
        located = sorted(self._config, key=lambda found: (found[0].line, found[0].column))
        sentences = [*self._schema, *(sentence for _, sentence in located)]
        if not sentences:
            return
        shown = sentences[:MAX_SHOWN]
        if len(sentences) > MAX_SHOWN:
            shown.append(f"And {len(sentences) - MAX_SHOWN:,} more.")
        if self._schema:
            raise InvalidSchema(tuple(shown))
        raise InvalidConfig("; ".join(shown), located[0][0].line, located[0][0].column)
