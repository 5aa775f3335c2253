"""What a caller wants to be true of a thing before it is changed: that it is still as the caller saw it.

Set around a request by the API and asked by control in the transaction of the change, so that nothing comes between
the look and the change. It travels beside the calls, like the origin: every change has one, none decides anything else
by it. How a state is compared is the caller's matter; here it is a question with yes or no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from reflexdb.model.errors import PreconditionFailed

Test = Callable[[object], bool]
"""Gets what control sees: the view of a database or connection, or the text of a configuration (None where there is
none)."""

_present: ContextVar[Test | None] = ContextVar("condition", default=None)


@contextmanager
def only_if(test: Test) -> Iterator[None]:
    """Everything inside is done only where the test says yes."""
    token = _present.set(test)
    try:
        yield
    finally:
        _present.reset(token)


def must_hold(see: Callable[[], object]) -> None:
    """Raises PreconditionFailed where there is a condition and what is seen now does not meet it."""
    test = _present.get()
    if test is not None and not test(see()):
        raise PreconditionFailed(
            "If-Match names another state than the present one (a weak tag names none): it was changed since; "
            "read it again, then decide anew"
        )
