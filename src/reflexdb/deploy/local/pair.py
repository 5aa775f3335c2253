"""Two instances of one database on its one listening socket: who takes which connections, and who is ahead of whom.

Used by the steps of a deployment and by the deployer, under the database's `changing` lock. How connections are shared
out is the servers' (engine/doc/launch.md); here they are told their shares. What takes over contains what the other
shows: the other is held still for the moment that this takes.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from reflexdb.deploy.base import SHARE_WHOLE
from reflexdb.deploy.local.running import Running
from reflexdb.model.errors import InstanceUnreachable, ReflexError
from reflexdb.sources import follower
from reflexdb.sync.commands import command
from reflexdb.sync.feed import InstanceRefused
from reflexdb.sync.settings import SyncProcessSettings, is_paused

CONNECTION_MS = 1_000
"""How old a connection gets while two share the socket: clients that keep theirs are shared out as well."""
NEAR_S = 60.0
"""How long the one that takes over may need to come as far as the other is."""
STILL_S = 5.0
"""How long the other is held still while the last of that is caught up with."""
_LOOK_S = 0.005

Contains = Callable[[Running, Running], bool]


def share_out(first: Running, second: Running, share: int) -> None:
    """`second` takes this share, `first` what is left; the one that gets more is told first, so that none is nobody's.
    Raises InstanceUnreachable and InstanceRefused."""
    age = 0 if share == SHARE_WHOLE else CONNECTION_MS
    second.take_share(0, share, age)
    first.take_share(share, SHARE_WHOLE, age)


def take_all(running: Running) -> None:
    """Fine for a server of a version that knows no shares: it always takes all."""
    with contextlib.suppress(InstanceRefused):
        running.take_share(0, SHARE_WHOLE, 0)


def stand_by(running: Running) -> None:
    """Fine for one that is gone, or can't: then it is left to its clients."""
    with contextlib.suppress(InstanceRefused, InstanceUnreachable):
        running.take_share(0, 0, CONNECTION_MS)


@contextlib.contextmanager
def overtaken(ahead: Running, behind: Running) -> Iterator[None]:
    """In the block `behind` contains everything that `ahead` ever showed, because that one's sync is held still.
    Raises InstanceUnreachable where it does not catch up."""
    if is_paused(ahead.directory) or _status(ahead) is None:
        yield
        return
    contains = _comparison(behind)
    if contains is not None:
        _await(lambda: contains(behind, ahead), NEAR_S, f"come as far as the one that serves within {NEAR_S:.0f} s")
    still = ahead.sync
    if still is not None:
        still.signal(signal.SIGSTOP)
    try:
        if contains is not None:
            _await(lambda: contains(behind, ahead), STILL_S, "catch up with what the one that serves shows")
        else:
            _refresh(behind, ahead)
        yield
    finally:
        if still is not None:
            still.signal(signal.SIGCONT)


def await_left(running: Running, limit_s: float) -> None:
    """Until no client is connected to one that stands by, or the time is over."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        status = _status(running)
        if status is None or not status.get("connections"):
            return
        time.sleep(_LOOK_S)


def _comparison(running: Running) -> Contains | None:
    """How positions of the source are compared; None for one that is polled, and has none."""
    settings = SyncProcessSettings.load(running.directory)
    if settings.mode == "poll" or settings.follow is None:
        return None
    source = follower(settings.address, settings.plan.schema, settings.follow)
    if source is None:
        return None
    reached = source.reached

    def contains(behind: Running, ahead: Running) -> bool:
        wanted, have = _status(ahead), _status(behind)
        if wanted is None or not wanted.get("position"):
            return True
        try:
            return bool(have and have.get("position") and reached(have["position"], wanted["position"]))
        except ReflexError:
            return True  # positions of two kinds: an operator has changed the source's way of counting

    return contains


def _refresh(behind: Running, ahead: Running) -> None:
    """Of a source that is polled: read again what may have changed since `behind` did, if that is quickly done."""
    shown = _taken_at(ahead)
    if shown is None or (_taken_at(behind) or 0.0) >= shown:
        return
    with contextlib.suppress(InstanceUnreachable):
        command(behind.directory, "refresh")
        _await(lambda: (_taken_at(behind) or 0.0) >= shown, STILL_S, "")


def _taken_at(running: Running) -> float | None:
    status = _status(running)
    age = None if status is None else status.get("snapshotAgeMs")
    return None if age is None else time.monotonic() - age / 1000


def _await(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise InstanceUnreachable(f"the new instance did not {what}")
        time.sleep(_LOOK_S)


def _status(running: Running) -> dict[str, Any] | None:
    try:
        return running.status()
    except (InstanceUnreachable, InstanceRefused):
        return None
