"""A table as its description in the binary log, a TABLE_MAP, and the plan make it: how to decode rows of it.

Compiled once for each form of the description. One that is not understood makes the table, and those that depend on its
rows, stale with every change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from reflexdb.model.plan import PlannedTable
from reflexdb.sources.mysql.binlog.images import MALFORMED, Image, image, raw_image
from reflexdb.sources.mysql.binlog.layout import Drift, Hidden, Layout, bare_layout, layout, some_layout
from reflexdb.sources.mysql.binlog.reader import Reader
from reflexdb.sources.mysql.binlog.tablemap import JSON, TableMap
from reflexdb.sources.mysql.binlog.tables import Watch, Watched

_PARTIAL_JSON = 1
"""Among the options of a row."""


class LoggedTable:
    """A table as one TABLE_MAP describes it."""

    def __init__(self, watched: Watched, found: TableMap, watch: Watch) -> None:
        self.watched = watched
        self.width = len(found.columns)
        self.drift: str | None = None
        self.stale = watched.stale
        self.by_key = watched.by_key
        """Of a stale table: the keys of the changed rows can be told."""
        self.is_blind = False
        """Which column is which cannot be told."""
        self.planned: PlannedTable | None = None if watched.index is None else watch.plan.tables[watched.index]
        self._map, self._described = found, watch.described(watched.name)
        self._charsets, self._mariadb = watch.catalog.charsets, watch.mariadb
        self._json_columns = sum(column.kind == JSON for column in found.columns)
        self._some: dict[tuple[str, ...], Layout | None] = {}
        described = self._described
        try:
            if self.planned is None or (watched.stale is not None and not watched.by_key):
                self.layout = bare_layout(found, described)
            elif watch.is_partly_visible(watched.name) and any(column.name is None for column in found.columns):
                raise Hidden("rows changed, the log names no columns, and the user may see some of them only")
            else:
                self.layout = layout(found, self.planned, described, watch.catalog.charsets, mariadb=watch.mariadb)
        except (Drift, Hidden) as error:
            self.layout = Layout((), (), {})
            self.is_blind, self.by_key = True, False
            if isinstance(error, Hidden):
                self.stale = str(error)
            elif self.stale is None:
                self.drift = str(error)
        self._images: dict[tuple[bytes, str], Image] = {}
        self.key_columns: tuple[int, ...] = ()
        if self.planned is not None and self.layout.planned:
            self.key_columns = tuple(self.layout.planned[index] for index in self.planned.primary_key)

    def rows(self, present: bytes) -> Image:
        return self._made(present, "rows", lambda: image(self.layout.fields, self.layout.planned, present))

    def keys(self, present: bytes) -> Image:
        return self._made(present, "keys", lambda: image(self.layout.fields, self.key_columns, present))

    def raw(self, names: tuple[str, ...], present: bytes) -> Image:
        """The bytes of named columns; a column that is not known counts as changed with any other."""
        wanted = [self.layout.by_name[name] for name in names if name in self.layout.by_name]
        return self._made(present, "\0".join(names), lambda: raw_image(self.layout.fields, wanted, present))

    def without_options(self, present: tuple[bytes, bytes], data: bytes) -> bytes:
        """The rows of a partial update as those of another: each image after the change has before it options and, for
        each JSON column, whether the image has only what changed of it. Of these, values of a form of their own are
        left. Raises one of MALFORMED."""
        before, after = (self._made(bits, "none", partial(image, self.layout.fields, (), bits)) for bits in present)
        bitmap, rows, at = (self._json_columns + 7) // 8, [], 0
        while at < len(data):
            middle = before(data, at)[1]
            options = Reader(data, middle)
            if options.packed() & _PARTIAL_JSON:
                options.take(bitmap)
            start = len(data) - options.left
            end = after(data, start)[1]
            rows += [data[at:middle], data[start:end]]
            at = end
        return b"".join(rows)

    def former(self, names: tuple[str, ...], present: bytes) -> Image | None:
        """The values of named columns, whether or not they are planned; None where they cannot be read."""
        if names not in self._some:
            found = None if self.is_blind else some_layout(
                self._map, self._described, names, self._charsets, mariadb=self._mariadb
            )  # fmt: skip
            self._some[names] = found
        some = self._some[names]
        if some is None:
            return None
        return self._made(present, "former\0" + "\0".join(names), lambda: image(some.fields, some.planned, present))

    def _made(self, present: bytes, what: str, make: Callable[[], Image]) -> Image:
        if (present, what) not in self._images:
            if len(self._images) > 256:
                self._images.clear()
            self._images[present, what] = make()
        return self._images[present, what]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A table whose description in the log is not understood."""

    watched: Watched
    reason: str


def cannot(watched: Watched, error: Exception) -> str:
    why = str(error) if isinstance(error, MALFORMED) else type(error).__name__
    return f"a change of table {watched.name[1]!r} in the binary log can't be decoded ({why})"


def affected(watched: Watched) -> list[int]:
    """The planned tables that rows of a table may change."""
    consequences = (*watched.deletes, *watched.updates)
    found = {*watched.views, *(index for each in consequences for index in each.all_tables)}
    return sorted(found if watched.index is None else found | {watched.index})
