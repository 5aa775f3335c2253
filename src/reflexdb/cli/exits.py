"""What a command's exit code means, and which error leads to which: one table, printed into the reference and used by
`main`.

Programs rely on these numbers; they are only ever added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from reflexdb.client import ApiError, ClientError, Unreachable, UnusableKey


class Exit(IntEnum):
    """Exit codes; the description is what the reference says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    UNAUTHORIZED = 6
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "it was tried and failed: a build, a deployment, a connection test",
    Exit.USAGE: "wrong options or arguments, or values that the control plane refused as invalid",
    Exit.NOT_FOUND: "no such connection, database, build or key",
    Exit.CONFLICT: "not possible in the present state, or the name is taken",
    Exit.UNREACHABLE: "no answer from the control plane or the instance",
    Exit.UNAUTHORIZED: "no key, a wrong key, or one that may not do this",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}

BY_STATUS: dict[int, Exit] = {
    400: Exit.USAGE,
    401: Exit.UNAUTHORIZED,
    403: Exit.UNAUTHORIZED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    412: Exit.CONFLICT,
    413: Exit.USAGE,
    422: Exit.USAGE,
    431: Exit.USAGE,
    502: Exit.UNREACHABLE,
    503: Exit.UNREACHABLE,
    504: Exit.UNREACHABLE,
}


class CommandFailed(Exception):
    """Ends a command with a code and one sentence on standard error, and lines of a log that explain it, if any."""

    def __init__(self, code: Exit, message: str, context: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.context = tuple(context)


def code_of(error: ClientError | CommandFailed) -> Exit:
    if isinstance(error, CommandFailed):
        return error.code
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if isinstance(error, UnusableKey):
        return Exit.UNAUTHORIZED
    if isinstance(error, ApiError):
        return BY_STATUS.get(error.status, Exit.FAILED)
    return Exit.USAGE
