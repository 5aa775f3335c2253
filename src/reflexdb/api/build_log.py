"""/v1/databases/{id}/builds/{build_id}/log: a build's log as text, in parts, and live.

As text it is the file, whole or the part that Range names, or followed until the build has ended. As server-sent events
it is a line an event, whose id is where in the file the next one begins: a reader that comes back with Last-Event-ID,
to this control plane or the next, goes on exactly there. The file is only ever added to, and read in pieces.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from reflexdb.api.context import Account, Controlled, errors
from reflexdb.api.errors import answer
from reflexdb.control.control import Control
from reflexdb.model.errors import InvalidRequest, OutOfRange

router = APIRouter(prefix="/v1/databases/{id}/builds/{build_id}/log", tags=["Builds"])

_CHUNK_BYTES = 64 << 10
_LONGEST_LINE_BYTES = 1 << 20
"""Of a line that does not end: it is sent in pieces. Ours are far shorter."""
_POLL_S = 0.2
_KEEP_ALIVE_S = 15.0
_TEXT, _EVENTS = "text/plain", "text/event-stream"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_STRING = {"schema": {"type": "string"}}


@router.get(
    "",
    operation_id="getBuildLog",
    summary="Get the log of a build",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The log", "content": {_TEXT: _STRING, _EVENTS: _STRING}},
        206: {"description": "The part of the log that Range names", "content": {_TEXT: _STRING}},
        **errors(400, 404),
        416: {**errors(416)[416], "description": "The log has no such part"},
    },
)
async def get_log(
    id: str,  # noqa: A002
    build_id: str,
    account: Account,
    control: Controlled,
    follow: bool = False,
    accept: Annotated[str | None, Header()] = None,
    range_: Annotated[str | None, Header(alias="range")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """As text, or, for `Accept: text/event-stream`, as events: one for each line, live until the build and the
    deployment it belongs to have ended, then the event `end`. `Last-Event-ID` goes on after that event.

    As text, `Range: bytes=...` asks for a part, and `follow=true` for everything until the end.
    """
    path = Path(await to_thread.run_sync(control.build_log_of, account, id, build_id))
    size = await to_thread.run_sync(_size, path)
    if accept is not None and _EVENTS in accept.lower():
        return _streamed(_events(control, path, build_id, _event_offset(last_event_id, size)), _EVENTS)
    if follow:
        return _streamed(_follow(control, path, build_id, 0), _TEXT)
    headers = {"Accept-Ranges": "bytes"}
    asked = _asked(range_)
    if asked is None:
        return _streamed(_read(path, 0, size), _TEXT, headers | {"Content-Length": str(size)})
    start, end = _part(*asked, size)
    if start >= end:
        return answer(416, OutOfRange.code, f"The log has {size} bytes so far", {"Content-Range": f"bytes */{size}"})
    headers |= {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return _streamed(_read(path, start, end), _TEXT, headers, 206)


def _streamed(
    content: AsyncIterator[bytes], kind: str, headers: dict[str, str] | None = None, status: int = 200
) -> StreamingResponse:
    unheld = {"X-Accel-Buffering": "no"} if headers is None else {}  # a live log, which a proxy might gather
    more = {"Cache-Control": "no-store", **unheld, **(headers or {})}
    return StreamingResponse(content, status, more, f"{kind}; charset=utf-8")


def _event_offset(given: str | None, size: int) -> int:
    """Where the line after the event begins. Raises InvalidRequest for an id that this log never gave."""
    if given is None:
        return 0
    if not (given.isascii() and given.isdigit() and len(given) < 19) or int(given) > size:
        raise InvalidRequest("Last-Event-ID is not one of this log's events; begin again without it")
    return int(given)


def _asked(given: str | None) -> tuple[int | None, int | None] | None:
    """First and last byte of a Range, or how many from the end; None where it is none that we know (RFC 9110)."""
    match = _RANGE.fullmatch(given.strip()) if given is not None else None
    if match is None:
        return None
    first, last = (int(each) if each else None for each in match.groups())
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        return None
    return first, last


def _part(first: int | None, last: int | None, size: int) -> tuple[int, int]:
    """Start and end of it, the end not included; nothing where there is none."""
    if first is None:
        return max(size - (last or 0), 0), size
    return first, size if last is None else min(last + 1, size)


async def _events(control: Control, path: Path, build_id: str, offset: int) -> AsyncIterator[bytes]:
    """Whole lines alone, until nothing more will come; then a last one that may lack its end."""
    rest, sent = b"", time.monotonic()
    async for chunk in _follow(control, path, build_id, offset):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE_BYTES:
            offset += len(rest)
            lines, rest = [*lines, rest], b""
        if lines:
            events = []
            for line in lines:
                offset += len(line) + 1
                events.append(_event(offset, line))
            yield b"".join(events)
            sent = time.monotonic()
        elif time.monotonic() - sent > _KEEP_ALIVE_S:
            yield b": still here\n\n"
            sent = time.monotonic()
    if control.stopping:
        return
    if rest:
        offset += len(rest)
        yield _event(offset, rest)
    yield b"event: end\nid: %d\ndata: the build has ended\n\n" % offset


def _event(offset: int, line: bytes) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (offset, line.replace(b"\r", b"\\r"))


async def _follow(control: Control, path: Path, build_id: str, offset: int) -> AsyncIterator[bytes]:
    """What is there and what comes, until the end; an empty piece now and then while nothing does."""
    goes_on = True
    while goes_on and not control.stopping:
        # Asked before reading: what was written before the end is read after it.
        goes_on = await to_thread.run_sync(control.build_goes_on, build_id)
        async for chunk in _read(path, offset, None):
            offset += len(chunk)
            yield chunk
        if goes_on:
            yield b""
            await asyncio.sleep(_POLL_S)


async def _read(path: Path, offset: int, end: int | None) -> AsyncIterator[bytes]:
    """What the file has from `offset` on, now, up to `end`."""
    while end is None or offset < end:
        most = _CHUNK_BYTES if end is None else min(_CHUNK_BYTES, end - offset)
        chunk = await to_thread.run_sync(_chunk, path, offset, most)
        if not chunk:
            return
        offset += len(chunk)
        yield chunk


def _chunk(path: Path, offset: int, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
