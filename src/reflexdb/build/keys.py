"""Foreign keys between shown tables, as the planning passes hand them on.

Made by build/relations.py, named by build/names.py, turned into positions by build/plan.py. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from reflexdb.model.suggest import quoted


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one end of a key in the query API."""

    name: str
    """The one that `...` and the instance's description use."""
    also: tuple[str, ...] = ()
    """Others that queries may use."""

    def all(self) -> tuple[str, ...]:
        return (self.name, *self.also)


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key between two shown tables, by source names."""

    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    added: bool = False
    """True where reflexdb.yaml declares it, not the source."""
    forward: Names = Names("")
    reverse: Names = Names("")
    forward_visible: bool = True
    reverse_visible: bool = True

    def described(self) -> str:
        columns = ", ".join(quoted(column) for column in self.columns)
        parent_columns = ", ".join(quoted(column) for column in self.parent_columns)
        return f"the key ({columns}) of {quoted(self.child)} to {quoted(self.parent)} ({parent_columns})"
