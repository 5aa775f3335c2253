"""The mode that follows a source: one snapshot, then every committed transaction, in order and exactly once.

The position of what the server holds is the server's: it comes with HELLO and changes with each commit. So whatever
fails, the way back is the same: drop the stream, open it again after the last position that the server has.
Transactions that come fast are sent as one group; a query never sees a part of one. A table that can't be followed row
by row is read again in a view, and comes into service together with all others as they were at the view's position.
Knows neither protocols of sources nor intervals.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from reflexdb.model.errors import InstanceUnreachable, PositionLost, ReflexError, SourceError
from reflexdb.model.plan import Plan
from reflexdb.sources.base import Source
from reflexdb.sources.changes import Commit, Follower, Redefined, Rows, Stale, Truncated
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.clock import SourceClock, by_our_clock
from reflexdb.sync.drift import SchemaChanged
from reflexdb.sync.failures import Failures
from reflexdb.sync.fitting import Fitting, Present
from reflexdb.sync.group import Group
from reflexdb.sync.in_place import load
from reflexdb.sync.mode import GoOn, Interrupted
from reflexdb.sync.pace import Pace
from reflexdb.sync.recovery import Recovery
from reflexdb.sync.rereading import Rereader, rest
from reflexdb.sync.row_rereads import RowRereads
from reflexdb.sync.sending import Sending
from reflexdb.sync.served import NOTHING, Served
from reflexdb.sync.transaction import FIRST_WAKE_S, WAKE_S, Incoming, Part
from reflexdb.sync.troubles import REFUSALS, Troubles, refused_table
from reflexdb.sync.verify import Verifier
from reflexdb.sync.views import Views

CONFIRM_S = 1.0
"""A source that says nothing is believed to be unchanged, and the server is told, so often."""


class Stream:
    """See Mode."""

    def __init__(
        self,
        plan: Plan,
        open_follower: Callable[[], Follower],
        look: Callable[[], Present | None],
        directory: Path,
        name: str,
        resumes: bool,
        redefined: Callable[[], None] = lambda: None,
        open_source: Callable[[], Source] | None = None,
        failures: Failures | None = None,
    ) -> None:
        """Views are read by `open_source`, in a thread of their own; without it, as tables are."""
        self.name = name
        self._plan = plan
        self._open_follower = open_follower
        self._heard_of_definition = redefined
        self._fitting = Fitting(plan, look, directory)
        self._troubles = Troubles(plan)
        self.suspect = self._fitting.suspect
        self.definitions = lambda: stream.definitions if (stream := self._stream) is not None else None
        failures = failures or Failures()
        self._views = Views(plan, lambda: self._fitting.plan, open_source, directory, failures)
        self._resumes = resumes
        self._follower: Follower | None = None
        self._stream: Incoming | None = None
        self._broken = False
        self._position: str | None = None
        """Of the snapshot at the server; None where it is none of this mode's."""
        self._content = NOTHING  # of the server, as it told last
        self._confirmed = 0.0
        self._distrusts = False  # what the server holds: everything is to be read
        self._pace = Pace()
        self._go_on: GoOn = lambda: True
        self._unchecked = False
        """The position is a former process's: definitions may have changed before it."""
        self._stale: dict[int, str] = {}
        self._stale_rows = RowRereads(plan)
        self._unfollowed: frozenset[int] = frozenset()
        """Tables whose changes are not in the stream at all: they are read again at each interval."""
        self._not_before = 0.0
        """Reading tables again takes at most half of the time."""
        self._lag_ms = 0
        self._clock = SourceClock()
        self._verifier = Verifier(plan, lambda: self._fitting.plan, open_follower, directory, failures)
        self._recovery = Recovery(self._troubles, self._leave, self._verifier.counts)
        self._counts = {"changes": 0, "transactions": 0, "reconnects": 0, "rereads": 0}
        self._log = structlog.get_logger()

    @property
    def follows(self) -> bool:
        return self._stream is not None

    def found(self, server: Served) -> bool:
        self._drop_stream()
        if server.content != self._content:
            self._verifier.give_up()
            self._troubles.forget()
        self._content = server.content
        source, position = self._source(), server.position
        self._fitting.recall(lambda wanted: source.reached(position, wanted) and not source.reached(wanted, position))
        self._unchecked = server.is_loaded and server.mode == self.name and not self._distrusts
        self._position = position if self._unchecked else None
        return True

    def forget(self) -> None:
        self._drop_stream()
        self._position, self._distrusts = None, True

    def known(self) -> dict[str, Any] | None:
        return None  # the position is in the checkpoint

    def status(self) -> dict[str, Any]:
        known = {"position": self._position, "streamed": self._position is not None, "lagMs": self._lag_ms}
        told = {"schemaChanged": self._fitting.told(), "warning": self._stream.warning if self._stream else None}
        return known | self._counts | self._verifier.counts | told | self._troubles.told(self._fitting.changed)

    def problem(self) -> ReflexError | None:
        """What goes on while all else is well."""
        return self._fitting.problem() or self._troubles.problem()

    def pause(self) -> None:
        self._drop_stream()
        self._verifier.give_up()

    def close(self) -> None:
        self._drop_stream()
        follower, self._follower = self._follower, None
        if follower is not None:
            with contextlib.suppress(SourceError):
                follower.close()

    def load(self, channel: PrivateChannel, go_on: GoOn) -> int:
        self.pause()
        self._position = None
        began = time.monotonic()
        try:
            with self._translated(), self._source().snapshot(self._fitting.plan) as reader:
                sending = Sending(channel, reader, go_on)
                version, missing = load(sending, reader, self._fitting.plan, self._troubles, self._content.version)
                self._holds(version)
                self._position, self._clock.served = reader.position, began
        except REFUSALS as exc:
            if self._recovery.is_of_table(exc, self._content.version, time.monotonic() - began):
                return self.load(channel, go_on)
            raise
        self._distrusts = False
        self._fitting.forget(self._position)
        self._fitting.leave(missing - self._views.tables)
        self._broken = False
        self._open(self._position)
        return self._content.version

    def refresh(self, channel: PrivateChannel, go_on: GoOn, thorough: bool) -> int | None:
        if self._position is None or (self._broken and not self._resumes):
            return self.load(channel, go_on)
        if self._stream is None:
            try:
                self._open(self._position)
                self._views.want(self._views.tables, self._fitting.changed)  # those announced before too
            except PositionLost as exc:
                self._log.warning("position_lost", reason=exc.message)
                return self.load(channel, go_on)
        with self._translated():
            self._unfollowed = self._source().unfollowed(self._fitting.plan)  # not always the same ones
        self._broken, before = False, self._content.version
        if thorough:
            self._verifier.begin(apart=self._unfollowed | self._fitting.changed.keys() | self._troubles.tables)
        self._views.want(self._unfollowed, self._fitting.changed)
        if self._unfollowed - self._views.tables:
            self._reread(channel, go_on, self._unfollowed - self._views.tables, "not in the stream")
        return self._content.version if self._content.version != before else None

    def follow(self, channel: PrivateChannel, go_on: GoOn, seconds: float) -> None:
        if self._stream is None:
            return
        with self._whole(channel, go_on) as group:
            end, told = time.monotonic() + seconds, self._troubles.changes
            while time.monotonic() < end and go_on() and not channel.is_closed() and told == self._troubles.changes:
                self._take_group(group)

    @contextlib.contextmanager
    def _whole(self, channel: PrivateChannel, go_on: GoOn) -> Iterator[Group]:
        """A group that is ended whatever happens; with what happened the stream's place is lost too."""
        group = Group(self._plan, channel, self._content.version, self._troubles.does_not_fit)
        self._go_on = go_on
        try:
            with self._translated():
                yield group
        except BaseException as exc:
            self._drop_stream()
            if not isinstance(exc, InstanceUnreachable):
                group.abort()
            took = max(0.0, self._not_before - time.monotonic())
            if self._recovery.is_of_table(exc, self._content.version, took):
                raise Interrupted from exc
            if self._recovery.loses_place(exc, self._position):
                self._position = None
            raise

    def _leave(self) -> None:
        self._fitting.leave(self._troubles.tables - self._views.tables)

    def _take_group(self, group: Group) -> None:
        """Wait for a transaction, take those that follow closely, and make them visible."""
        assert self._position is not None, "without one there is no stream"
        told, reached, changed = self._clock.told(), self._source().reached, self._fitting.changed
        self._holds(self._verifier.compare(group, self._position, told, reached))
        self._holds(self._views.bring(group, self._troubles, changed, self._position, told, reached))
        asked = time.monotonic()
        part: Part | None = self._incoming.next(WAKE_S if self._confirmed else FIRST_WAKE_S)
        due = self._troubles.due() - self._views.tables
        self._stale |= self._fitting.returned() | dict.fromkeys(due, "it is tried again")
        if part is None:
            if self._stale and not self._incoming.is_within:
                self._read_again(group, Commit(self._position, datetime.now(UTC)))
            else:
                self._confirm_silence(group, asked)
            return
        self._pace.begin()
        last: Commit | None = None
        while part is not None:
            if part.end is None and last is not None:
                self._commit(group, last)  # what is whole need not wait for a transaction that is long
                last = None
            self._apply(part, group)
            last = part.end
            if (self._stale or self._stale_rows) and last is not None:
                self._read_again(group, last)
                return
            if last is not None and self._pace.is_full(group.changes):
                break
            part = self._incoming.remainder(self._check) if last is None else self._incoming.next(self._pace.wait_s())
        if last is not None:
            self._commit(group, last)

    def _check(self) -> None:
        if not self._go_on():
            raise Interrupted

    def _apply(self, part: Part, group: Group) -> None:
        self._verifier.note(part, self._source().reached)
        for event in part.events:
            whole = self._stale_rows.take(event, self._takes)
            self._stale |= {table: why for table, why in whole.items() if self._takes(table)}
            match event:
                case Rows(table=table) if self._takes(table) and table not in self._stale_rows:
                    group.rows(event)
                    self._counts["changes"] += len(event.ops)
                case Truncated(table=table) if self._takes(table):
                    group.replace(table, iter(()))
                case Stale(table=table, reason=reason):
                    if table in self._views.tables:
                        self._views.want([table], self._fitting.changed)
                    elif table not in self._fitting.changed and table not in self._troubles:
                        self._stale[table] = reason
                case Redefined():
                    self._redefined(event)
        if part.end is not None:
            self._counts["transactions"] += 1

    def _takes(self, table: int) -> bool:
        """Whether changes of the table are applied row by row just now."""
        return table not in self._fitting.changed and table not in self._stale and table not in self._troubles

    def _redefined(self, event: Redefined) -> None:
        """A table that still has all the plan asks for is read again; another is left as it is."""
        self._heard_of_definition()
        reason = self._fitting.redefined(event)
        assert event.table is not None
        self._troubles.mended([event.table])
        self._leave()
        if reason is None:
            self._stale.pop(event.table, None)
        else:
            self._stale[event.table] = reason

    def _holds(self, version: int) -> None:
        self._content = self._content._replace(version=version)

    def _commit(self, group: Group, last: Commit) -> None:
        began = time.monotonic()
        committed = self._clock.at(last.committed_at)
        self._holds(group.commit(by_our_clock(committed), last.position))
        self._pace.committed(began)
        self._position, self._clock.served = last.position, max(self._clock.served, committed)
        self._lag_ms = round((time.monotonic() - committed) * 1000)
        self._incoming.confirm(group.durable or last.position)

    def _confirm_silence(self, group: Group, asked: float) -> None:
        """The source had nothing to say: what it had committed a moment ago is here."""
        self._lag_ms = 0
        if self._position is None or self._incoming.is_within or time.monotonic() < self._confirmed + CONFIRM_S:
            return
        self._confirmed = time.monotonic()
        group.commit(self._clock.silent_since(asked - WAKE_S), self._position)
        self._incoming.confirm(group.durable or self._position)

    def _read_again(self, group: Group, last: Commit) -> None:
        """Give every stale table its rows in one view, and all others their state at the view's position."""
        self._stale |= self._fitting.owed
        self._views.want(self._stale, self._fitting.changed)
        self._stale = {table: reason for table, reason in self._stale.items() if table not in self._views.tables}

        def apply(part: Part) -> None:
            self._apply(part, group)

        again = Rereader(self._source(), self._incoming, self._fitting, self._troubles, self._check)
        while self._stale or self._stale_rows:
            last = rest(self._incoming, self._not_before, last, apply, self._check)
            began = time.monotonic()
            with contextlib.ExitStack() as spools:
                found = again.read(spools, group, self._stale, self._stale_rows, last, apply)
                last = found.last
                self._not_before = time.monotonic() + (time.monotonic() - began)
                if not found.is_complete:
                    continue  # the stream went beyond the view: another one is needed
                self._holds(found.commit(group))
            last, self._position = Commit(found.position, found.taken_at), found.position
            self._counts["rereads"] += len(found.tables)
            self._verifier.forget({*found.tables, *found.rows})
            self._log.info("tables_read_again", **found.told({*self._stale.values(), *self._stale_rows.reasons}))
            self._stale.clear()
            self._stale_rows.clear()
            self._troubles.mended(found.tables)
            self._leave()
            self._incoming.confirm(group.durable or found.position)
        if last.position != self._position:
            self._commit(group, last)
        if self._fitting.settle(self._position or last.position) and self._position is not None:
            self._drop_stream()
            self._open(self._position)

    def _reread(self, channel: PrivateChannel, go_on: GoOn, tables: AbstractSet[int], reason: str) -> None:
        apart = self._fitting.changed.keys() | (self._troubles.tables - self._troubles.due())
        with self._whole(channel, go_on) as group:
            self._stale = dict.fromkeys(sorted(tables - apart), reason)
            self._read_again(group, Commit(self._position or "", datetime.now(UTC)))

    @property
    def _incoming(self) -> Incoming:
        assert self._stream is not None
        return self._stream

    def _source(self) -> Follower:
        self._follower = self._follower or self._open_follower()
        return self._follower

    def _open(self, position: str) -> None:
        with self._translated():
            if self._unchecked:
                self._fitting.check()  # what a former process knew
            plan, self._unchecked = self._fitting.plan, False
            self._clock.ask(self._source().clock)
            self._stream = Incoming(self._source().stream(plan, position))
        self._log.info("following", position=position)

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._stale.clear()
        self._stale_rows.clear()
        self._verifier.forget_part()
        self._views.give_up()
        if stream is not None:
            with contextlib.suppress(SourceError):
                stream.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """After an error of the source the next try begins with new connections."""
        try:
            yield
        except SourceError as exc:
            if refused_table(exc, self._plan) is not None:
                raise  # the source is not the reason
            self._counts["reconnects"] += not self._broken
            self._broken = True
            is_its_own = exc.temporary or isinstance(exc, PositionLost)  # a table's definition is not the reason
            if not (is_its_own or isinstance(exc, SchemaChanged)):
                self._fitting.check()
            self.close()
            if (changed := self._fitting.problem()) is not None and not is_its_own:
                self._log.warning("source_refused", reason=exc.message)
                raise changed from exc
            raise
