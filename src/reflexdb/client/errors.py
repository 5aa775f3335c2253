"""What a call can raise: the other side's refusal, or its silence.

    ClientError
    ├── ApiError        an answer that is an error: status, code and message as the control plane or instance gave them
    ├── UnusableKey     a key that no request can carry, and no server has given out
    └── Unreachable     no answer at all, or one that is not the product's

Messages are one sentence; no key and no request body is ever part of them.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of everything the client raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ApiError(ClientError):
    """The other side answered with an error."""

    def __init__(self, status: int, code: str, message: str, detail: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail or {}
        """The whole error object: for a refused query also `line`, `column` and `hint`."""


class UnusableKey(ClientError):
    """The key has characters that keys do not have."""


class Unreachable(ClientError):
    """Nothing answered, or something that is not ReflexDB."""
