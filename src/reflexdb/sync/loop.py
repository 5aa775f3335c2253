"""The sync process's work: stay connected to the server, load it, keep it fresh, say how that goes.

Runs in a thread of its own, for ever; the process ends under it. Decides nothing itself: `schedule` says when, the mode
says how, `orders` what people want. Every failure ends up in SYNC_STATUS and the log, and is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from reflexdb.model.errors import InstanceUnreachable, MemoryCapExceeded, ReflexError, SourceData, SourceError
from reflexdb.sync import feed
from reflexdb.sync.backoff import Backoff
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.failures import Failures
from reflexdb.sync.mode import Interrupted, Mode
from reflexdb.sync.orders import Orders
from reflexdb.sync.schedule import Schedule, Work
from reflexdb.sync.served import Served

HEARTBEAT_S = 5.0
"""Longest silence towards the server while there is nothing to do."""
_LASTING = (SourceData, MemoryCapExceeded, feed.InstanceRefused)
"""Failures that reading the same again soon can't mend."""
CRASH_RETRY_S = (1.0, 120.0)
"""First and longest wait after an exception that no part of sync expected: everything is read anew after it."""
CALM_S = 600.0
"""After so long without one, the waits begin anew."""


class Loop:
    """One server, one source."""

    def __init__(
        self,
        connect: Callable[[], PrivateChannel],
        fingerprint: bytes,
        mode: Mode,
        schedule: Schedule,
        orders: Orders,
        definitions: Callable[[], str | None] = lambda: None,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        """Of what works beside the loop."""
        self._definitions = definitions
        """What is known of the source's definitions, as one short text."""
        self._connect = connect
        self._fingerprint = fingerprint
        self._mode = mode
        self._schedule = schedule
        self._orders = orders
        self._server_retry = Backoff(0.05, 2.0)
        self._crash_retry = Backoff(*CRASH_RETRY_S)
        self._crashed = float("-inf")
        """When an exception was met that no part of sync expected, by the monotonic clock."""
        self._loaded = False
        """Whether the server of this session has a snapshot."""
        self._failure: str | None = None
        self._was_paused = False
        self._log = structlog.get_logger()

    def run(self) -> None:
        """Never returns."""
        while True:
            try:
                self._session()
            except InstanceUnreachable as exc:
                self._log.info("server_lost", reason=exc.message)
            except ReflexError as exc:
                self._log.error("server_refused", error=exc.code, reason=exc.message)
            except Exception as exc:
                self._crash(exc)
            self._orders.wait(self._server_retry.next())

    def _crash(self, exc: Exception) -> None:
        """Nothing is known of what the server holds any more: it is loaded anew, after ever longer waits."""
        self._log.exception("sync_failed")
        self._mode.forget()
        now = time.monotonic()
        if now > self._crashed + CALM_S:
            self._crash_retry.reset()
        self._crashed = now
        self._failure = f"internal_error: sync met {type(exc).__name__}, which it does not expect; its log has more"
        self._schedule.not_before(now + self._crash_retry.next())

    def _session(self) -> None:
        """Serve one connection until it ends, by exception or because the server closed it."""
        with self._connect() as channel:
            self._greet(channel)
            self._server_retry.reset()
            while not channel.is_closed():
                self._heed_pause()
                self._work(channel)
                self._report(channel)
                rest = self._schedule.rest_s(time.monotonic(), self._loaded, self._orders.paused)
                self._rest(channel, min(rest, HEARTBEAT_S))

    def _heed_pause(self) -> None:
        """A mode that follows lets go of its source while paused, and takes it up at once afterwards."""
        paused = self._orders.paused
        if paused:
            self._mode.pause()
        elif self._was_paused:
            self._schedule.at_once()
        self._was_paused = paused

    def _rest(self, channel: PrivateChannel, seconds: float) -> None:
        """Until something is due: by following changes where the mode can, else by sleeping."""
        if not self._mode.follows or self._orders.paused:
            self._orders.wait(seconds, channel.fileno())
            return
        try:
            self._mode.follow(channel, lambda: not self._orders.pending(), seconds)
        except Interrupted:
            self._schedule.at_once()
        except (SourceError, MemoryCapExceeded, feed.InstanceRefused) as exc:
            self._fail(exc, Work.REFRESH)

    def _greet(self, channel: PrivateChannel) -> None:
        served = Served.told(channel.hello(feed.Role.SYNC, self._fingerprint, self._mode.name))
        if self._mode.found(served) or not served.is_loaded:
            self._schedule.at_once()
        self._loaded = served.is_loaded
        self._log.info("server_found", version=served.content.version, process=served.content.process)

    def _work(self, channel: PrivateChannel) -> None:
        if self._orders.take_refresh():
            self._schedule.at_once()
        now = time.monotonic()
        work = self._schedule.decide(now, self._loaded, self._orders.paused, self._orders.take_reload())
        if work is None:
            return
        if not self._loaded:
            self._tell(channel, "loading")
        try:
            self._loaded = self._carry_out(work, channel) is not None or self._loaded
        except Interrupted:
            self._log.info("interrupted", work=work.value)
        except (SourceError, MemoryCapExceeded, feed.InstanceRefused) as exc:
            self._fail(exc, work)
        else:
            self._schedule.done(work, now)
            self._failure = None

    def _carry_out(self, work: Work, channel: PrivateChannel) -> int | None:
        """The new snapshot's version; None where the old one is still true."""
        began = time.monotonic()
        paused = self._orders.paused
        needed = not self._loaded or work is Work.LOAD

        def go_on() -> bool:
            return needed or paused or not self._orders.paused

        if work is Work.LOAD:
            version: int | None = self._mode.load(channel, go_on)
        else:
            version = self._mode.refresh(channel, go_on, thorough=work is Work.THOROUGH)
        if version is not None:
            took = round((time.monotonic() - began) * 1000)
            self._log.info("swapped", work=work.value, version=version, duration_ms=took)
        return version

    def _fail(self, exc: ReflexError, work: Work) -> None:
        failure = _words(exc)
        if failure != self._failure:
            self._log.error("sync_failing", work=work.value, error=exc.code, reason=exc.message)
        self._failure = failure
        soon = not isinstance(exc, _LASTING) or exc.code == "out_of_step"
        self._schedule.failed(time.monotonic(), soon)

    def _report(self, channel: PrivateChannel) -> None:
        if self._failure is None and (problem := self._mode.problem() or self._failures.problem()) is not None:
            self._tell(channel, "paused" if self._orders.paused else "failing", _words(problem))
            return
        self._tell(channel, "paused" if self._orders.paused else "failing" if self._failure else "ok")

    def _tell(self, channel: PrivateChannel, state: str, problem: str | None = None) -> None:
        problem = problem or self._failure
        self._orders.status = {"state": state, "lastError": problem}
        channel.request(feed.sync_status(state, self._mode.name, problem, self._details()))

    def _details(self) -> dict[str, Any]:
        known = self._definitions()
        told = {"failures": failing} if (failing := self._failures.told()) else {}
        return ({} if known is None else {"definitions": known}) | told | self._mode.status()


def _words(error: ReflexError) -> str:
    return f"{error.code}: {error.message}"
