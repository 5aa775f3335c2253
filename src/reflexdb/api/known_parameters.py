"""A parameter of the URL that an operation does not have is refused by its name, and so is one that is given twice.

Ignoring it would answer another question than the one that was asked: `?statsu=failed` would list every build. An ASGI
middleware behind the gate: only who may ask at all is told what may be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from reflexdb.api.errors import from_error, shown
from reflexdb.model.errors import InvalidRequest
from reflexdb.model.suggest import did_you_mean

MAX_PARAMETERS = 100


class KnownParameters:
    """`parameters`: for each path, as a pattern, the names by method; the first that fits a request decides."""

    def __init__(self, app: ASGIApp, parameters: Sequence[tuple[re.Pattern[str], Mapping[str, Sequence[str]]]]) -> None:
        self._app = app
        self._parameters = parameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"]:
            known = self._of(scope["path"], scope["method"])
            why = None if known is None else unknown(scope["query_string"], known)
            if why is not None:
                await from_error(InvalidRequest(why))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _of(self, path: str, method: str) -> Sequence[str] | None:
        """None where no operation has the path."""
        return next((known.get(method) for pattern, known in self._parameters if pattern.fullmatch(path)), None)


def unknown(query: bytes, known: Sequence[str]) -> str | None:
    """Which parameter is one too many, in one sentence."""
    try:
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return f"The URL has more than {MAX_PARAMETERS} parameters"
    names = [name for name, _ in given]
    for place, name in enumerate(names):
        if name not in known:
            there_are = f"There are {', '.join(known)}" if known else "This operation has none"
            return f"{shown(name)}: there is no such parameter.{did_you_mean(name, known)} {there_are}"
        if name in names[:place]:
            return f"{shown(name)}: is given twice; send it once"
    return None
