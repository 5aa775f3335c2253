"""The judge itself: it hears what other processes answer, and says no to what is not documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.plugin import SITE, Judge

NOBODY = "00000000-0000-4000-8000-000000000000"
ERROR = {"error": "not_found", "message": "There is none"}


def seen(status: int, body: Any, *, path: str = "/v1/databases", method: str = "GET", kind: str = "") -> dict[str, Any]:
    headers = {"content-type": kind or "application/json"}
    return {"method": method, "path": path, "status": status, "headers": headers, "body": json.dumps(body)}


def judged(place: Path, *answers: dict[str, Any]) -> tuple[list[str], set[tuple[str, str]]]:
    (place / "1").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    judge = Judge(place)
    return judge.complaints(), judge.reached


def test_a_documented_answer_is_counted(tmp_path: Path) -> None:
    complaints, reached = judged(tmp_path, seen(200, []), seen(404, ERROR, path=f"/v1/databases/{NOBODY}"))

    assert complaints == []
    assert reached == {("listDatabases", "200"), ("getDatabase", "404")}


@pytest.mark.parametrize(
    "wrong",
    [
        seen(200, [{"id": NOBODY}]),
        seen(200, {}),
        seen(500, {"error": "internal_error", "message": "x"}),
        seen(404, ERROR),
        seen(401, {"error": "unauthorized"}),
        seen(401, {"error": "Not A Code", "message": "x"}),
        seen(401, {"error": "unauthorized", "message": "x", "more": 1}),
        seen(200, [], kind="text/html"),
        seen(204, [], path=f"/v1/databases/{NOBODY}", method="DELETE"),
        seen(404, {"detail": "Not Found"}, path="/v1/nothing"),
    ],
)
def test_another_answer_is_complained_of_and_not_counted(tmp_path: Path, wrong: dict[str, Any]) -> None:
    complaints, reached = judged(tmp_path, wrong)

    assert len(complaints) == 1
    assert reached == set()


def test_what_another_process_answers_is_heard(tmp_path: Path) -> None:
    code = (
        "import asyncio; from fastapi import FastAPI\n"
        "app = FastAPI(title='ReflexDB Control Plane API')\n"
        "async def send(message): pass\n"
        "scope = {'type': 'http', 'method': 'GET', 'path': '/v1/nothing', 'raw_path': b'/v1/nothing', 'headers': [],\n"
        "    'root_path': '', 'query_string': b'', 'scheme': 'http', 'server': ('x', 1), 'http_version': '1.1'}\n"
        "asyncio.run(app(scope, None, send))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SITE), "REFLEXDB_ANSWERS_SEEN": str(tmp_path)}

    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)

    [file] = tmp_path.iterdir()
    heard = json.loads(file.read_text())
    assert (heard["path"], heard["status"]) == ("/v1/nothing", 404)
    assert len(Judge(tmp_path).complaints()) == 1, "the framework's own words are not ours"
