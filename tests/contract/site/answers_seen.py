"""Writes down every answer that the control plane gives, in whichever process of a test run it gives it.

Known to Python by PYTHONPATH and switched on by the variable below, so that servers started by commands under test are
heard too. Standard library only, and nothing is imported before the process itself imports the web framework.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

VARIABLE = "REFLEXDB_ANSWERS_SEEN"
FRAMEWORK = "fastapi.applications"
TITLE = "ReflexDB Control Plane API"


def listen() -> None:
    """From now on, in this process."""
    if FRAMEWORK in sys.modules:
        hear(sys.modules[FRAMEWORK])
    else:
        sys.meta_path.insert(0, _Watch())


def hear(framework: ModuleType) -> None:
    application = framework.FastAPI
    answer = application.__call__

    async def answer_and_tell(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self.title != TITLE:
            await answer(self, scope, receive, send)
            return
        seen: dict[str, Any] = {}

        async def noting(message: Any) -> None:
            _note(seen, scope, message)
            await send(message)

        await answer(self, scope, receive, noting)

    application.__call__ = answer_and_tell


def _note(seen: dict[str, Any], scope: Any, message: Any) -> None:
    """A text and a file are told by their heads alone: one may go on for as long as a build, the other is large."""
    if message["type"] == "http.response.start":
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        seen.update(method=scope["method"], path=scope["path"], status=message["status"], headers=headers, body="")
        seen["text"] = headers.get("content-type", "").startswith(("text/", "application/x-tar"))
        if seen["text"]:
            _tell(seen)
    elif message["type"] == "http.response.body" and not seen["text"]:
        seen["body"] += message.get("body", b"").decode("utf-8", "replace")
        if not message.get("more_body", False):
            _tell(seen)


def _tell(seen: dict[str, Any]) -> None:
    directory = os.environ.get(VARIABLE)
    if directory is None:
        return
    line = json.dumps(seen).encode() + b"\n"
    try:
        file = os.open(os.path.join(directory, str(os.getpid())), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # noqa: PTH118
    except FileNotFoundError:
        return  # the run is over
    try:
        os.write(file, line)
    finally:
        os.close(file)


class _Watch(importlib.abc.MetaPathFinder):
    """Waits for the framework to be imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != FRAMEWORK:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Heard(spec.loader)
        return spec


class _Heard(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        hear(module)
