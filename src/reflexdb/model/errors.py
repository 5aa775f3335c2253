"""Every error the product raises on purpose, in two dimensions: whose fault it is, and whether trying again can help.

    ReflexError
    ├── UserError                 the caller asked for something that cannot be
    │   ├── InvalidRequest        a body, parameter or file does not fit its schema
    │   │   └── InvalidConfig     reflexdb.yaml: carries line and column
    │   ├── InvalidSchema         the source's schema cannot be planned as configured; lists every finding
    │   ├── NotAuthenticated
    │   ├── NotAllowed
    │   │   └── PlanForbids       more than the account's plan has
    │   ├── NotFound
    │   ├── Conflict              not possible in the present state
    │   │   ├── PlanConflict      the same as PlanForbids, where the operation knows no 403
    │   │   └── BreakingChange    a rebuild would serve less than what serves now, and nobody asked for that
    │   ├── KeyReused             an Idempotency-Key that came with another request
    │   ├── PreconditionFailed    If-Match names a state that has changed since
    │   ├── TooLarge              a body beyond what is taken
    │   ├── OutOfRange            a Range beyond what there is
    │   ├── HeadersTooLarge       an address or headers beyond what is taken
    │   ├── TooSlow               (temporary) a body that did not arrive in time
    │   └── RateLimited           (temporary) more requests than one caller may send
    ├── SourceError               the source database said no or did not answer
    │   ├── SourceUnreachable     (temporary)
    │   │   └── SourceTimeout     it was asked, and said nothing within the deadline
    │   ├── SourceInterrupted     (temporary) the source ended a statement: cancelled, timed out, out of resources
    │   ├── SourceDenied          wrong credentials or a missing grant
    │   ├── SourceMissing         no such schema, file or table
    │   ├── SourceData            a value that the declared type does not allow
    │   └── PositionLost          the changes that follow a position are no longer there
    ├── Unavailable               not configured here, or what it needs can't be reached
    │   ├── RecordsUnavailable    (temporary) the metadata database does not answer, is full or read-only
    │   ├── RegistryError         an image registry, or what else keeps images elsewhere
    │   │   ├── RegistryUnreachable (temporary) does not answer, or is too busy
    │   │   ├── RegistryDenied    wrong credentials or a missing right
    │   │   └── RegistryRefused   answers, and does not do or have what was asked for
    │   └── Overloaded            (temporary) as much is being done as can be done at once
    └── SystemError_              our side
        ├── BuildCancelled        somebody called the build off
        ├── BuildFailed           a pass of the build, with its name
        ├── DeployFailed          a step of the deployment, with its name
        ├── ImageDamaged          a stored image does not match its digest
        │   └── ImageUntrusted    it does, and no trusted key has signed it
        ├── LeaseLost             this control plane was taken for dead: it may not write any more
        ├── MemoryCapExceeded     the snapshot does not fit the instance's size
        └── InstanceUnreachable   (temporary) the private socket does not answer

`code` is stable and goes over the wire as `error`; `message` is one sentence that says what, where and what to do.
Messages never contain secrets. Foreign exceptions are translated by the adapter that met them, with `from exc`.
"""

from __future__ import annotations


class ReflexError(Exception):
    """Base of all deliberate errors."""

    code = "internal_error"
    temporary = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(ReflexError):
    code = "bad_request"


class InvalidRequest(UserError):
    code = "bad_request"


class InvalidConfig(InvalidRequest):
    code = "invalid_config"

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class InvalidSchema(UserError):
    code = "invalid_schema"

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


class NotAuthenticated(UserError):
    code = "unauthorized"


class NotAllowed(UserError):
    code = "forbidden"


class PlanForbids(NotAllowed):
    """More than the account's plan has; the message carries the numbers."""

    code = "plan_limit"


class NotFound(UserError):
    code = "not_found"


class Conflict(UserError):
    code = "conflict"


class PlanConflict(Conflict):
    """What PlanForbids says, for operations that are published without a 403."""

    code = "plan_limit"


class BreakingChange(Conflict):
    """A rebuild would serve less than what serves now, and nobody asked for that."""

    code = "breaking_change"


class KeyReused(UserError):
    code = "idempotency_key_reused"


class PreconditionFailed(UserError):
    code = "precondition_failed"


class TooLarge(UserError):
    code = "too_large"


class OutOfRange(UserError):
    code = "range_not_satisfiable"


class HeadersTooLarge(UserError):
    code = "headers_too_large"


class TooSlow(UserError):
    code = "request_timeout"
    temporary = True


class RateLimited(UserError):
    code = "rate_limited"
    temporary = True


class SourceError(ReflexError):
    code = "source_error"


class SourceUnreachable(SourceError):
    code = "source_unreachable"
    temporary = True


class SourceTimeout(SourceUnreachable):
    """The source was asked something and said nothing within the deadline."""

    code = "source_timeout"


class SourceInterrupted(SourceError):
    """The source ended one statement and goes on: it was cancelled, took too long, waited too long for a lock, or the
    source lacked memory or disk space for it."""

    code = "source_interrupted"
    temporary = True


class SourceDenied(SourceError):
    code = "source_denied"


class SourceMissing(SourceError):
    code = "source_missing"


class SourceData(SourceError):
    code = "source_data"


class PositionLost(SourceError):
    """The source no longer has the changes that follow a position: its log was purged, or the slot is gone."""

    code = "position_lost"


class Unavailable(ReflexError):
    """What was asked for is not configured here, or what it needs can't be reached."""

    code = "unavailable"


class RecordsUnavailable(Unavailable):
    """The metadata database can't be read or written now; nothing was changed, unless it went away at the very end.

    `where` it is belongs to the operator: `str()` shows it, the message for callers does not.
    """

    temporary = True

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message


class RegistryError(Unavailable):
    """Where images are kept besides this machine; nothing here was changed."""

    code = "registry_error"


class RegistryUnreachable(RegistryError):
    code = "registry_unreachable"
    temporary = True


class RegistryDenied(RegistryError):
    code = "registry_denied"


class RegistryRefused(RegistryError):
    code = "registry_refused"


class Overloaded(Unavailable):
    code = "overloaded"
    temporary = True


class SystemError_(ReflexError):  # noqa: N801 - the plain name is Python's own
    code = "internal_error"


class BuildCancelled(SystemError_):
    """Ends a build from inside, wherever it is; no caller sees it."""

    code = "cancelled"


class _StepFailed(SystemError_):
    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class BuildFailed(_StepFailed):
    code = "build_failed"


class DeployFailed(_StepFailed):
    code = "deploy_failed"


class ImageDamaged(SystemError_):
    code = "image_damaged"


class ImageUntrusted(ImageDamaged):
    """Every byte is as its digest says, and nobody who is trusted here vouches for it."""

    code = "image_untrusted"


class LeaseLost(SystemError_):
    """Another control plane has taken over the work of this one."""

    code = "lease_lost"


class MemoryCapExceeded(SystemError_):
    code = "cap_exceeded"


class InstanceUnreachable(SystemError_):
    code = "instance_unreachable"
    temporary = True
