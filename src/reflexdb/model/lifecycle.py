"""What may be asked of a database in which status, and which status follows from which event. All of it is data.

`ALLOWED` is the table of actions; the API's checks, the `actions` object and the documentation's table come from it
through `availability`. `TRANSITIONS` is the table of events; `advance` is its only reader and raises on a move that
is not in it. The reconciler decides when an event happened; this module knows no records, clocks or processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a database is in its life; stable ones first."""

    REGISTERED = "registered"
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"
    STOPPED = "stopped"
    TERMINATED = "terminated"
    TESTING_CONNECTION = "testing_connection"
    QUEUED = "queued"
    BUILDING = "building"
    DEPLOYING = "deploying"
    PAUSING = "pausing"
    RESUMING = "resuming"
    TERMINATING = "terminating"

    @property
    def published(self) -> str:
        """The API's status: two of ours are shown as `building`."""
        return "building" if self in (Status.TESTING_CONNECTION, Status.QUEUED) else self.value


class Action(StrEnum):
    """What a caller may ask; the values are the names in the API's `actions` object."""

    PROVISION = "provision"
    REBUILD = "rebuild"
    RECONFIGURE = "reconfigure"
    REDEPLOY = "redeploy"
    RESIZE = "resize"
    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    DELETE = "delete"
    RELOAD = "reload"
    PAUSE_SYNC = "pauseReplication"
    RESUME_SYNC = "resumeReplication"


class Event(StrEnum):
    """What happened, as far as the status is concerned."""

    PROVISION = "provision"
    REBUILD = "rebuild"
    DEPLOY = "deploy"
    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    CONNECTION_TESTED = "connection tested"
    BUILD_STARTED = "build started"
    BUILT = "built"
    DEPLOYED = "deployed"
    RETIRED = "retired"
    STEP_FAILED = "step failed"
    ROLLED_BACK = "rolled back"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    CANCELLED_RUNNING = "cancelled; it was running"
    CANCELLED_PAUSED = "cancelled; it was paused"


class Rule(StrEnum):
    """A cell of the table; the value is its letter in the documentation."""

    IMMEDIATE = "Y"
    QUEUED = "Q"
    NEEDS_IMAGE = "img"
    EXTENSION = "Y+"
    """At once, and beyond the published table."""
    REFUSED = ""


class Desired(StrEnum):
    """A goal kept until a stable status is reached."""

    RUNNING = "running"
    PAUSED = "paused"
    TERMINATED = "terminated"


NOTHING_RUNS = frozenset({Status.REGISTERED, Status.PAUSED, Status.STOPPED, Status.TERMINATED})
"""At these no instance of the database should be found."""

STABLE = frozenset(
    {Status.REGISTERED, Status.RUNNING, Status.PAUSED, Status.FAILED, Status.STOPPED, Status.TERMINATED},
)

GOALS: dict[Action, Desired] = {
    Action.PAUSE: Desired.PAUSED,
    Action.RESUME: Desired.RUNNING,
    Action.TERMINATE: Desired.TERMINATED,
}
"""The actions that can wait, each with the goal it leaves behind."""

_Y, _Q, _IMG = Rule.IMMEDIATE, Rule.QUEUED, Rule.NEEDS_IMAGE
_IDLE = {Action.PROVISION: _Y, Action.RESIZE: _Y, Action.DELETE: _Y}
_WAITING = {Action.PAUSE: _Q, Action.TERMINATE: _Q}

ALLOWED: dict[Status, dict[Action, Rule]] = {
    Status.REGISTERED: _IDLE,
    Status.TESTING_CONNECTION: {},
    Status.QUEUED: _WAITING,
    Status.BUILDING: _WAITING,
    Status.DEPLOYING: {Action.RESIZE: _Y, **_WAITING},
    Status.RUNNING: {
        Action.REBUILD: _Y,
        Action.RECONFIGURE: _Y,
        Action.REDEPLOY: _IMG,
        Action.RESIZE: _Y,
        Action.PAUSE: _Y,
        Action.TERMINATE: _Y,
        Action.RELOAD: _Y,
        Action.PAUSE_SYNC: _Y,
        Action.RESUME_SYNC: _Y,
    },
    Status.PAUSING: {Action.RESUME: _Q, Action.TERMINATE: _Q},
    Status.PAUSED: {
        Action.REBUILD: _Y,
        Action.REDEPLOY: _IMG,
        Action.RESIZE: _Y,
        Action.RESUME: _Y,
        Action.TERMINATE: _Y,
    },
    Status.RESUMING: _WAITING,
    Status.FAILED: {
        Action.PROVISION: _Y,
        Action.REBUILD: _IMG,
        Action.RECONFIGURE: _IMG,
        Action.REDEPLOY: _IMG,
        Action.RESIZE: Rule.EXTENSION,  # advised where the rows did not fit
        Action.TERMINATE: _Y,
    },
    Status.STOPPED: _IDLE,
    Status.TERMINATING: {},
    Status.TERMINATED: {Action.PROVISION: _Y, Action.DELETE: _Y},
}

_CALLED_OFF = {
    Event.CANCELLED: Status.FAILED,
    Event.CANCELLED_RUNNING: Status.RUNNING,
    Event.CANCELLED_PAUSED: Status.PAUSED,
}

TRANSITIONS: dict[Status, dict[Event, Status]] = {
    Status.REGISTERED: {Event.PROVISION: Status.TESTING_CONNECTION},
    Status.TESTING_CONNECTION: {
        Event.CONNECTION_TESTED: Status.QUEUED,
        Event.STEP_FAILED: Status.FAILED,
        Event.CANCELLED: Status.FAILED,
    },
    Status.QUEUED: {Event.BUILD_STARTED: Status.BUILDING, Event.STEP_FAILED: Status.FAILED, **_CALLED_OFF},
    Status.BUILDING: {
        Event.BUILT: Status.DEPLOYING,
        Event.STEP_FAILED: Status.FAILED,
        Event.INTERRUPTED: Status.QUEUED,
        **_CALLED_OFF,
    },
    Status.DEPLOYING: {
        Event.DEPLOYED: Status.RUNNING,
        Event.STEP_FAILED: Status.FAILED,
        Event.CANCELLED_RUNNING: Status.RUNNING,
    },
    Status.RUNNING: {
        Event.REBUILD: Status.QUEUED,
        Event.DEPLOY: Status.DEPLOYING,
        Event.PAUSE: Status.PAUSING,
        Event.TERMINATE: Status.TERMINATING,
    },
    Status.PAUSING: {Event.RETIRED: Status.PAUSED, Event.STEP_FAILED: Status.FAILED},
    Status.PAUSED: {
        Event.REBUILD: Status.QUEUED,
        Event.DEPLOY: Status.DEPLOYING,
        Event.RESUME: Status.RESUMING,
        Event.TERMINATE: Status.TERMINATING,
    },
    Status.RESUMING: {Event.DEPLOYED: Status.RUNNING, Event.STEP_FAILED: Status.FAILED},
    Status.FAILED: {
        Event.PROVISION: Status.TESTING_CONNECTION,
        Event.REBUILD: Status.QUEUED,
        Event.DEPLOY: Status.DEPLOYING,
        Event.TERMINATE: Status.TERMINATING,
    },
    Status.STOPPED: {Event.PROVISION: Status.TESTING_CONNECTION},
    Status.TERMINATING: {
        Event.RETIRED: Status.TERMINATED,
        Event.STEP_FAILED: Status.FAILED,
        Event.ROLLED_BACK: Status.STOPPED,
    },
    Status.TERMINATED: {Event.PROVISION: Status.TESTING_CONNECTION},
}

_WORDS: dict[Status, str] = {
    Status.REGISTERED: "it has never been provisioned",
    Status.RUNNING: "it is running",
    Status.PAUSED: "it is paused",
    Status.FAILED: "its last build or deployment failed",
    Status.STOPPED: "it is stopped",
    Status.TERMINATED: "it is terminated",
    Status.TESTING_CONNECTION: "its connection is being tested",
    Status.QUEUED: "its build is waiting to start",
    Status.BUILDING: "it is being built",
    Status.DEPLOYING: "it is being deployed",
    Status.PAUSING: "it is being paused",
    Status.RESUMING: "it is being resumed",
    Status.TERMINATING: "it is being terminated",
}


class IllegalMove(Exception):
    """An event that the table does not have for this status: a mistake of ours, never of a caller."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an action may be asked for now. `queued` and `reason` are the API's mode and reason."""

    allowed: bool
    queued: bool = False
    reason: str | None = None


def advance(status: Status, event: Event) -> Status:
    """The status after `event`. Raises IllegalMove, and changes nothing, where the table has no such move."""
    following = TRANSITIONS[status].get(event)
    if following is None:
        raise IllegalMove(f"no event {event.value!r} in status {status.value!r}")
    return following


def availability(status: Status, action: Action, *, has_image: bool) -> Availability:
    """Whether `action` is possible in `status`; `has_image` says that an earlier build's image is stored and intact."""
    rule = ALLOWED[status].get(action, Rule.REFUSED)
    if rule is Rule.REFUSED:
        return Availability(False, reason=f"{action.value} is not possible while {_WORDS[status]}{_where(action)}")
    if rule is Rule.NEEDS_IMAGE and not has_image:
        return Availability(False, reason=f"{action.value} needs an earlier successful build, and there is none")
    return Availability(True, queued=rule is Rule.QUEUED)


def _where(action: Action) -> str:
    places = [status.value for status in Status if ALLOWED[status].get(action, Rule.REFUSED) is not Rule.REFUSED]
    return f"; it is possible in: {', '.join(places)}"


def markdown() -> str:
    """The table of actions as it stands in the documentation."""
    head = "| status | " + " | ".join(action.value for action in Action) + " |"
    lines = [head, "|---" * (len(Action) + 1) + "|"]
    for status in ALLOWED:
        cells = [ALLOWED[status].get(action, Rule.REFUSED).value for action in Action]
        lines.append("| " + " | ".join([status.value, *cells]) + " |")
    return "\n".join(lines)


def mermaid() -> str:
    """The diagram of events as it stands in the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> registered"]
    for status, moves in TRANSITIONS.items():
        lines += [f"    {status.value} --> {after.value}: {event.value}" for event, after in moves.items()]
    return "\n".join(lines)
