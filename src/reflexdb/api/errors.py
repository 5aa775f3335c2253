"""From errors to HTTP: every answer that is not a success is `{error, message}`, whatever raised it.

`error` is the stable code of model/errors.py; the framework's own answers (validation, unknown path, wrong method)
are put in the same form. No answer repeats a value that was sent: it may be a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from reflexdb.api.envelope import stamp
from reflexdb.model.errors import (
    Conflict,
    HeadersTooLarge,
    InvalidConfig,
    KeyReused,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    OutOfRange,
    PreconditionFailed,
    RateLimited,
    ReflexError,
    TooLarge,
    TooSlow,
    Unavailable,
    UserError,
)

log = structlog.get_logger()

_STATUS: tuple[tuple[type[ReflexError], int], ...] = (
    (NotAuthenticated, 401),
    (NotAllowed, 403),
    (NotFound, 404),
    (Conflict, 409),
    (KeyReused, 422),
    (PreconditionFailed, 412),
    (TooLarge, 413),
    (OutOfRange, 416),
    (HeadersTooLarge, 431),
    (TooSlow, 408),
    (RateLimited, 429),
    (Unavailable, 503),
    (UserError, 400),
)
_CODES = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
UNKNOWN_METHOD = (_CODES[405], "This path does not know this method")
_SHOWN_FINDINGS = 5
_MAX_NAME_CHARS = 80


def answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": code, "message": message}, status, dict(headers or {}))


def from_error(exc: ReflexError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    status = next((status for kind, status in _STATUS if isinstance(exc, kind)), 500)
    message = exc.message
    if isinstance(exc, InvalidConfig) and exc.line:
        message = f"line {exc.line}, column {exc.column}: {message}"
    if status == 401:
        headers = {"WWW-Authenticate": 'Bearer realm="reflexdb"'}
    return answer(status, exc.code, message, headers)


def install(app: FastAPI) -> None:
    """Replace every default error answer of the framework."""
    app.add_exception_handler(ReflexError, _on_reflex_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_crash)


def _on_reflex_error(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, ReflexError)
    if not isinstance(exc, UserError):
        log.error("request_failed", code=exc.code, error=str(exc))
    return from_error(exc)


def _on_invalid(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    findings = [_finding(each) for each in exc.errors()[:_SHOWN_FINDINGS]]
    return answer(400, "bad_request", "; ".join(findings))


def _finding(finding: Mapping[str, Any]) -> str:
    path = [shown(part) for part in finding["loc"] if part != "body"]
    where = ".".join(path) or "the body"
    match finding["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such field"
        case "missing":
            return f"{where}: is required" if path else "the body is missing; send a JSON object"
        case "json_invalid":
            return f"the body is not JSON: {finding['ctx']['error']} at character {finding['loc'][-1]}"
        case "model_attributes_type" | "model_type" | "dict_type":
            return f"{where}: must be a JSON object"
    return f"{where}: {finding['msg']}"


def shown(part: object) -> str:
    """A field's name may be anything that was sent."""
    text = str(part)
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= _MAX_NAME_CHARS else text[:_MAX_NAME_CHARS] + "…"


def _on_http(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    code = _CODES.get(exc.status_code, "bad_request" if exc.status_code < 500 else "internal_error")
    messages = {404: "There is nothing at this path", 405: UNKNOWN_METHOD[1]}
    return answer(exc.status_code, code, messages.get(exc.status_code, str(exc.detail)), exc.headers)


def _on_crash(request: Request, exc: Exception) -> JSONResponse:
    request_id = getattr(request.state, "request_id", None)
    log.error("request_crashed", request_id=request_id, exc_info=exc)
    reply = answer(500, "internal_error", "Something went wrong here; the control plane's log has the details")
    if request_id is not None:  # this answer passes outside of the envelope
        stamp(reply.headers, request_id)
    return reply
