"""What may become of the instance beside the current one: a share, the current one's place, or its end.

Called by the deployer. The flip of `current` is the moment at which the two have changed places: killed before, the
next control plane finds them as they were; killed after, it finds the new current one, and ends the other at worst.
"""

from __future__ import annotations

import contextlib
from typing import Any

from reflexdb.deploy.base import Observation
from reflexdb.deploy.local import pair
from reflexdb.deploy.local.database import Database
from reflexdb.deploy.local.observation import observe, told
from reflexdb.deploy.local.running import Running
from reflexdb.deploy.local.steps import LEAVE_S
from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import DeployFailed, InstanceUnreachable, ReflexError
from reflexdb.sync.feed import InstanceRefused
from reflexdb.sync.settings import is_paused, set_paused


def give_share(database: Database, share: int) -> None:
    """Raises InstanceUnreachable."""
    with database.changing:
        database.adopt()
        current, beside = database.current, database.beside
        if current is None or beside is None:
            raise InstanceUnreachable(f"nothing runs beside the instance of database {database.id}")
        try:
            pair.share_out(current, beside, share)
        except InstanceRefused as exc:
            raise InstanceUnreachable(f"no share can be given: {exc.message}") from exc


def exchange(database: Database, deployment_id: str) -> Observation:
    """Raises DeployFailed with nothing changed."""
    with database.changing:
        database.adopt()
        current, beside = database.current, database.beside
        ours = beside is not None and beside.record.deployment_id == deployment_id
        if current is None or beside is None or not ours or not beside.alive():
            raise DeployFailed("handover", "the instance that should take over does not run any more")
        try:
            status = _status_of_what_takes_over(beside)
            if status["status"] != "ok":
                raise DeployFailed("probe", f"its health is {status['status']}: {status['reason']}")
            beside.smoke()
            database.refresh_keys()
            with pair.overtaken(current, beside):
                _change_places(database, current, beside)
                pair.stand_by(current)
                pair.await_left(current, LEAVE_S)
        except DeployFailed:
            raise
        except (ReflexError, OSError) as exc:
            raise DeployFailed("handover", getattr(exc, "message", str(exc))) from exc
        return told(beside.record, beside.status(), paused=is_paused(beside.directory))


def end(database: Database) -> Requests | None:
    """Fine where there is none."""
    with database.changing:
        database.adopt()
        with database.lock:
            beside, database.beside = database.beside, None
        database.layout.unset_beside(database.id)
        if beside is None:
            return None
        if database.current is not None:
            with contextlib.suppress(InstanceUnreachable):
                pair.take_all(database.current)
        ended = beside.drain(last_checkpoint=False)
        beside.release()
        database.layout.remove_deployment(beside.directory)
        return ended


def look(database: Database) -> Observation | None:
    """Never raises for an instance that does not answer."""
    with database.lock:
        beside = database.beside
    return observe(beside.directory, beside.record) if beside is not None else None


def _status_of_what_takes_over(beside: Running) -> dict[str, Any]:
    """Raises DeployFailed: a killed process closes its sockets an instant before it is gone."""
    try:
        return beside.status()
    except InstanceUnreachable as exc:
        raise DeployFailed("handover", f"the instance that should take over does not answer: {exc.message}") from exc


def _change_places(database: Database, current: Running, beside: Running) -> None:
    layout = database.layout
    with database.lock:
        if is_paused(current.directory):
            set_paused(beside.directory, True)
        if database.keys is not None:
            beside.send_keys(database.keys)
        layout.prepare_flip(database.id, beside.directory.name)
        pair.take_all(beside)
        beside.serve()
        layout.flip(database.id)
        database.current, database.beside, database.serving = beside, current, True
        with contextlib.suppress(OSError):  # without the link it is ended with the next control plane, no worse
            layout.set_beside(database.id, current.directory.name)
