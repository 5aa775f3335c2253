"""Which mode a sync process works in: the one its settings ask for where the source can be followed, else polling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reflexdb.model.errors import ReflexError
from reflexdb.sources import follower, open_source
from reflexdb.sources.base import Watchable
from reflexdb.sources.changes import Follower
from reflexdb.sync.failures import Failures
from reflexdb.sync.fitting import Present, present
from reflexdb.sync.guard import Guard
from reflexdb.sync.mode import Mode
from reflexdb.sync.poll import Poll
from reflexdb.sync.settings import MEMORY_NAME, SyncProcessSettings
from reflexdb.sync.stream import Stream
from reflexdb.sync.watch import Watch


def choose_mode(
    settings: SyncProcessSettings, directory: Path, redefined: Callable[[], None], failures: Failures | None = None
) -> Mode:
    """Connects to nothing yet. `redefined` hears at once of a definition that changed, where the source tells."""
    failures = failures or Failures()
    if settings.mode == Poll.name or _follower(settings, directory) is None:
        return Poll(settings.plan, lambda: open_source(settings.address), directory, _watch(settings), settings.former)

    def open_follower() -> Follower:
        found = _follower(settings, directory)
        assert found is not None, "asked before"
        return found

    return Stream(
        settings.plan,
        open_follower,
        lambda: look(settings, failures),
        directory,
        settings.mode,
        resumes=settings.plan.sync.cdc_reconnect_mode == "resume",
        redefined=redefined,
        open_source=lambda: open_source(settings.address),
        failures=failures,
    )


def guard(settings: SyncProcessSettings, directory: Path, failures: Failures) -> Guard | None:
    """What keeps the source from refusing its application's statements; None where it is only polled."""
    if settings.mode == Poll.name:
        return None

    def open_follower() -> Follower:
        found = _follower(settings, directory)
        assert found is not None, "asked before"
        return found

    return None if _follower(settings, directory) is None else Guard(open_follower, failures)


def _watch(settings: SyncProcessSettings) -> Watch | None:
    source = open_source(settings.address)
    return Watch(source) if isinstance(source, Watchable) else None


def look(settings: SyncProcessSettings, failures: Failures) -> Present | None:
    """What the planned tables are at the source now; None where it can't be asked."""
    plan = settings.plan
    try:
        with failures.of("look at the tables"):
            source = open_source(settings.address)
            try:
                return present(plan, source.introspect(plan.schema))
            finally:
                source.close()
    except ReflexError:
        return None


def _follower(settings: SyncProcessSettings, directory: Path) -> Follower | None:
    if settings.follow is None:
        return None
    options = replace(settings.follow, memory=directory / MEMORY_NAME)
    return follower(settings.address, settings.plan.schema, options)
