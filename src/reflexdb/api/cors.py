"""Which pages of other origins may use the API from a browser: none, unless the operator names them.

Installed outside of everything that can refuse, so that a page can read a refusal too, and a preflight needs no
credential. Refuses to know routes.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from reflexdb.api.settings import ApiSettings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ASKED = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")
"""Headers that a page may send."""

TOLD = ("ETag", "Link", "X-Request-Id", "Idempotent-Replayed", "Retry-After", "RateLimit", "RateLimit-Policy")
"""Headers that a page may read."""

_PREFLIGHT_KEPT_S = 600


def install(app: FastAPI, settings: ApiSettings) -> None:
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=METHODS,
            allow_headers=ASKED,
            allow_credentials=settings.cors_credentials,
            expose_headers=TOLD,
            max_age=_PREFLIGHT_KEPT_S,
        )
