"""The mode that works with every source: read in one consistent view, send the tables that changed, swap.

A table whose change token is the same is not read; one whose frames have the same digest is read but not sent. Where
nothing changed at all the server is only told that its snapshot is still true. Knows no intervals: the loop does.

A server that begins with the checkpoint of another instance has that one's rows. Where that one still serves the very
same snapshot, what its sync process knows of the tables is true here too, and they need not be read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from reflexdb.model.errors import InstanceUnreachable, ReflexError, SourceError
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import SnapshotReader, Source, Watchable
from reflexdb.sync import in_place
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.commands import command
from reflexdb.sync.drift import SchemaChanged, drift
from reflexdb.sync.mode import GoOn, Interrupted
from reflexdb.sync.sending import Sending, frames, send_all
from reflexdb.sync.served import NOTHING, Served
from reflexdb.sync.spool import Digest, Spool
from reflexdb.sync.troubles import REFUSALS, Troubles, is_its_own
from reflexdb.sync.view_pace import ViewPace
from reflexdb.sync.watch import Watch


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is known of the table the server serves."""

    token: str | None
    digest: bytes


_UNKNOWN = _Mark(None, b"")
"""Of a table that could not be read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was true when the last reading ended; another thread may look at it."""

    version: int
    marks: list[_Mark]
    source: Source | None


class Poll:
    """See Mode."""

    name = "poll"

    def __init__(
        self,
        plan: Plan,
        open_source: Callable[[], Source],
        directory: Path,
        watch: Watch | None = None,
        former: Path | None = None,
    ) -> None:
        self._former = former
        """Of the instance whose checkpoint the server may have begun with."""
        self._known: _Known | None = None
        self._watch = watch
        """Where the source can say cheaply that nothing was committed."""
        self._plan = plan
        self._open_source = open_source
        self._directory = directory
        self._source: Source | None = None
        self._marks: list[_Mark] = []
        self._content = NOTHING
        """What the server holds, as it told last; the marks are true of nothing else."""
        self._troubles = Troubles(plan)
        self._pace = ViewPace()
        self._read: frozenset[int] = frozenset()
        """Tables of the reading under way that could be read."""
        self._refused = False
        """The last commit did not go through."""
        self._log = structlog.get_logger()

    def found(self, server: Served) -> bool:
        if server.content != self._content:
            self.forget()
        self._content = server.content
        if server.restored and not self._marks:
            self._inherit()
        return server.restored

    def forget(self) -> None:
        self._marks, self._known = [], None
        self._troubles.forget()
        self._pace.forget()

    def known(self) -> dict[str, Any] | None:
        known = self._known
        if known is None:
            return None
        state = known.source.state() if isinstance(known.source, Watchable) else None
        tables = [
            {"digest": mark.digest.hex(), "unchanged": mark.token is not None and mark.token == state}
            for mark in known.marks
        ]
        return {"version": known.version, "tables": tables}

    def _inherit(self) -> None:
        """What the former instance knows of the snapshot that both have. Our word for the source's state is from before
        it was asked, and what it says is from after: what it calls unchanged has not changed since."""
        if self._former is None or (state := self._state()) is None:
            return
        try:
            known = command(self._former, "known").get("known")
            if (
                known is None
                or known["version"] != self._content.version
                or len(known["tables"]) != len(self._plan.tables)
            ):
                return
            self._marks = [
                _Mark(state if told["unchanged"] else None, bytes.fromhex(told["digest"])) for told in known["tables"]
            ]
        except (InstanceUnreachable, KeyError, TypeError, ValueError):  # it may be of another version
            return
        self._log.info("rows_known", tables=sum(mark.token is not None for mark in self._marks))

    def _state(self) -> str | None:
        try:
            source = self._opened()
        except SourceError:
            return None
        return source.state() if isinstance(source, Watchable) else None

    def _opened(self) -> Source:
        if self._source is None:
            self._source = self._open_source()
        return self._source

    def _keep(self, marks: list[_Mark]) -> None:
        self._marks, self._known = marks, _Known(self._content.version, marks, self._source)

    @property
    def follows(self) -> bool:
        return self._watch is not None

    def follow(self, channel: PrivateChannel, go_on: GoOn, seconds: float) -> None:
        assert self._watch is not None, "asked before"

        def is_due() -> bool:
            return bool(self._troubles.due()) or self._pace.is_due()

        if self._watch.wait(lambda: go_on() and not channel.is_closed() and not is_due(), seconds) or is_due():
            raise Interrupted

    def status(self) -> dict[str, Any]:
        return self._troubles.told({})

    def definitions(self) -> str | None:
        return None

    def suspect(self) -> None:
        pass  # each poll sees it

    def problem(self) -> ReflexError | None:
        return self._troubles.problem()

    def pause(self) -> None:
        pass

    def load(self, channel: PrivateChannel, go_on: GoOn) -> int:
        return self._work(channel, go_on, self._send_all) or self._content.version

    def refresh(self, channel: PrivateChannel, go_on: GoOn, thorough: bool) -> int | None:
        if not self._marks:
            return self.load(channel, go_on)
        return self._work(channel, go_on, lambda sending, reader: self._compare_all(sending, reader, thorough))

    def _work(
        self, channel: PrivateChannel, go_on: GoOn, send: Callable[[Sending, SnapshotReader], list[_Mark]]
    ) -> int | None:
        """One reading. Where the server refuses the rows of one table, another one without it."""
        began = time.monotonic()
        try:
            with self._watched(), self._view() as reader:
                sending = Sending(channel, reader, go_on)
                with sending:
                    marks = send(sending, reader)
                    if self._refused:
                        sending.begin()  # only a commit tells the server that all is well again
                    version = self._commit(sending, reader) if sending.begun else None
                    if version is None:
                        sending.confirm()
                self._keep(marks)
            self._troubles.mended(self._read)
            return version
        except REFUSALS as exc:
            if not self._content.version or not self._troubles.refused(exc, time.monotonic() - began):
                raise
        return self._work(channel, go_on, send)

    def _send_all(self, sending: Sending, reader: SnapshotReader) -> list[_Mark]:
        """Read and send in one go: there is nothing to compare with."""
        tokens = [reader.change_token(table) for table in self._plan.tables]
        digests = [Digest() for _ in tokens]
        missing = send_all(sending, reader, self._plan, self._troubles, self._content.version > 0, digests)
        self._read = frozenset(range(len(tokens))) - missing
        return [
            _UNKNOWN if index in missing else _Mark(token, digest.value())
            for index, (token, digest) in enumerate(zip(tokens, digests, strict=True))
        ]

    def _rests(self, index: int, table: PlannedTable, position: str, thorough: bool) -> bool:
        """Whether the table is not read this time."""
        if index in self._troubles:
            return index not in self._troubles.due()
        return table.is_view and not thorough and self._pace.rests(index, position)

    def _compare_all(self, sending: Sending, reader: SnapshotReader, thorough: bool) -> list[_Mark]:
        marks, read = [], set()
        for index, table in enumerate(self._plan.tables):
            began = time.monotonic()
            mark = self._marks[index]
            try:
                if self._rests(index, table, reader.position, thorough):
                    sending.keep(index)
                else:
                    mark = self._compare(sending, reader, index, table, thorough)
                    read.add(index)
                    if table.is_view:
                        self._pace.read(index, reader.position, time.monotonic() - began)
            except SourceError as exc:
                if not is_its_own(exc) and not self._troubles.lost(index):
                    raise
                took = time.monotonic() - began
                self._troubles.failed(index, exc if exc.temporary else self._changed(table) or exc, took)
                if not is_its_own(exc):
                    raise
                sending.keep(index)
            marks.append(mark)
        self._read = frozenset(read)
        return marks

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            with contextlib.suppress(SourceError):
                source.close()

    def _commit(self, sending: Sending, reader: SnapshotReader) -> int:
        self._refused = True
        version = in_place.commit(sending, reader, self._plan, self._content.version, doubts=False)
        self._refused = False
        self._content = self._content._replace(version=version)
        return version

    def _watched(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._watch is None else self._watch.reading()

    def _compare(
        self, sending: Sending, reader: SnapshotReader, index: int, table: PlannedTable, thorough: bool
    ) -> _Mark:
        known = self._marks[index]
        token = reader.change_token(table)
        same = token is not None and token == known.token
        if same and not thorough:
            sending.keep(index)
            return known
        with Spool(self._directory) as spool:
            for frame in frames(reader, index, table, sending.check):
                spool.add(frame)
            mark = _Mark(token, spool.digest())
            if mark.digest == known.digest:
                sending.keep(index)
                return mark
            if same:
                self._log.warning("difference_found", table=table.source_name)
            sending.replace(index)
            for chunk in spool.chunks():
                sending.channel.send_bytes(chunk)
        return mark

    @contextlib.contextmanager
    def _view(self) -> Iterator[SnapshotReader]:
        """One consistent view; after any error the next one starts with a new connection to the source."""
        try:
            with self._opened().snapshot(self._plan) as reader:
                yield reader
        except SourceError as exc:
            changed = None if exc.temporary else self._changed(*self._plan.tables)
            self.close()
            if changed is not None:
                raise changed from exc
            raise
        except BaseException:
            self.close()
            raise

    def _changed(self, *tables: PlannedTable) -> SchemaChanged | None:
        """What a rebuild would have to take in of these; None where that is nothing, or the source can't be asked."""
        try:
            source = self._open_source()
            try:
                findings = drift(replace(self._plan, tables=tables), source.introspect(self._plan.schema))
            finally:
                source.close()
        except Exception as exc:  # what it was asked for is told already
            if not isinstance(exc, ReflexError):
                self._log.exception("definitions_not_compared")
            return None
        return SchemaChanged(findings) if findings else None
