"""A method that a path does not know is answered 405 with the ones it does, whatever else is wrong with the request.

An ASGI middleware in front of the gate: which methods there are is public, as the description is. The framework would
say it too, but later (a condition or a body that nobody will ever read could be refused first), with the methods of one
route of the path alone, and it would take `/connections/test-connection` for a connection's id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from reflexdb.api.errors import UNKNOWN_METHOD, answer


class KnownMethods:
    """`methods`: for each path, as a pattern, the methods that it knows; the first that fits a request decides."""

    def __init__(self, app: ASGIApp, methods: Sequence[tuple[re.Pattern[str], set[str]]]) -> None:
        self._app = app
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (known := self._of(scope["path"])) and scope["method"] not in known:
            allowed = known | {"HEAD"} if "GET" in known else known
            refusal = answer(405, *UNKNOWN_METHOD, {"Allow": ", ".join(sorted(allowed))})
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _of(self, path: str) -> set[str]:
        """Empty where no operation has the path."""
        return next((known for pattern, known in self._methods if pattern.fullmatch(path)), set())
