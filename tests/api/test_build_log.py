"""A build's log: in parts, live, and each line once, whatever breaks in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from reflexdb.api.build_log import _events, _read
from reflexdb.client import ReflexClient
from reflexdb.client.events import events
from reflexdb.control.build_log import BuildLog, log_path
from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id, utc_now
from reflexdb.records import builds, jobs
from tests.api.api import Api, sqlite_connection, until
from tests.api.plane import Plane

LINES = "".join(f"line {number}\n" for number in range(100))


@pytest.fixture
def build(control: Control, database: str) -> str:
    """A build that has ended, with a log of a hundred lines."""
    build_id = new_id()
    with control.rooms.store.write() as tx:
        builds.add(tx, id=build_id, database_id=database, status="failed", created_at=utc_now())
    write(control, build_id, LINES)
    return build_id


@pytest.fixture
def path(database: str, build: str) -> str:
    return f"/databases/{database}/builds/{build}/log"


def write(control: Control, build_id: str, text: str) -> None:
    place = log_path(control.rooms.data_dir, build_id)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a") as file:
        file.write(text)


def ask(api: Api, path: str, status: int, **headers: str) -> httpx.Response:
    return api("GET", path, expect=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-6", LINES[:7]),
        ("bytes=8-", LINES[8:]),
        ("bytes=-20", LINES[-20:]),
        ("bytes=-99999", LINES),
        ("bytes=10-99999", LINES[10:]),
    ],
)
def test_a_part_of_the_log_is_answered_with_its_place(api: Api, path: str, asked: str, part: str) -> None:
    reply = ask(api, path, 206, Range=asked)
    start = LINES.index(part)

    assert reply.text == part
    assert reply.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(LINES)}"


@pytest.mark.parametrize("asked", ["bytes=9-3", "bytes=-", "lines=1-2", "bytes=1-2,4-5", "bytes=x"])
def test_a_range_that_is_none_is_passed_over(api: Api, path: str, asked: str) -> None:
    reply = ask(api, path, 200, Range=asked)

    assert reply.text == LINES
    assert reply.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=99999-", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(api: Api, path: str, asked: str) -> None:
    reply = ask(api, path, 416, Range=asked)

    assert reply.json()["error"] == "range_not_satisfiable"
    assert reply.headers["content-range"] == f"bytes */{len(LINES)}"


def test_events_are_lines_and_go_on_after_any_of_them(api: Api, path: str) -> None:
    whole = list(events(ask(api, path, 200, Accept="text/event-stream").text.split("\n")))
    after = [
        list(events(ask(api, path, 200, Accept="text/event-stream", Last_Event_ID=event.id).text.split("\n")))
        for event in whole[::20]
    ]

    assert [event.data for event in whole[:-1]] == LINES.splitlines()
    assert whole[-1].kind == "end"
    assert after == [whole[place + 1 :] or whole[-1:] for place in range(0, len(whole), 20)]


@pytest.mark.parametrize("given", ["x", "-1", "99999", "1e3", "9" * 30])
def test_an_event_that_was_never_sent_is_refused(api: Api, path: str, given: str) -> None:
    assert "begin again" in ask(api, path, 400, Accept="text/event-stream", Last_Event_ID=given).json()["message"]


def test_a_line_that_was_cut_short_is_not_continued_by_the_next(
    control: Control, api: Api, build: str, path: str
) -> None:
    write(control, build, "cut sho")
    BuildLog(log_path(control.rooms.data_dir, build), utc_now)("the next")

    lines = ask(api, path, 200).text.splitlines()
    assert lines[-2] == "cut sho"
    assert lines[-1].endswith("Z the next")


def test_a_log_of_a_hundred_megabytes_is_sent_in_small_pieces(
    control: Control, api: Api, build: str, path: str
) -> None:
    line = "x" * 999 + "\n"
    with log_path(control.rooms.data_dir, build).open("w") as file:
        for _ in range(100):
            file.write(line * 1_000)
    place = log_path(control.rooms.data_dir, build)
    for answer, most in ((_read(place, 0, None), 64 << 10), (_events(control, place, build, 0), 128 << 10)):
        sizes = asyncio.run(pieces(answer))

        assert sum(sizes) >= 100_000_000
        assert max(sizes) <= most


async def pieces(answer: AsyncIterator[bytes]) -> list[int]:
    return [len(piece) async for piece in answer]


def test_live_events_come_until_the_job_of_the_build_has_ended(
    control: Control, api: Api, database: str, build: str, path: str
) -> None:
    job = new_id()
    with control.rooms.store.write() as tx:
        jobs.add(tx, id=job, database_id=database, action="rebuild", build_id=build, created_at=utc_now())

    def finish() -> None:
        write(control, build, "late\n")
        with control.rooms.store.write() as tx:
            jobs.finish(tx, job, utc_now())

    timer = threading.Timer(0.5, finish)
    timer.start()
    told = list(events(ask(api, path, 200, Accept="text/event-stream").text.split("\n")))
    timer.join()

    assert [event.data for event in told[-2:]] == ["late", "the build has ended"]


@pytest.fixture
def following(plane: Plane, source: Path) -> tuple[Plane, str, str]:
    """A plane at work on a build: its database and the build."""
    api = plane.start()
    database = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)["database"]["id"]
    build = api.post(f"/databases/{database}/provision")["buildId"]
    return plane, database, build


def test_no_line_is_lost_or_doubled_when_the_control_plane_is_killed_while_its_log_is_followed(
    following: tuple[Plane, str, str],
) -> None:
    plane, database, build = following
    control_url = str(plane._client.base_url) if plane._client else ""
    key = (plane.data / "admin.key").read_text().strip()
    seen: list[str] = []
    port = int(control_url.rstrip("/").rpartition(":")[2])

    def follow() -> None:
        with ReflexClient(control_url, key) as client:
            seen.extend(client.build_log(database, build, patience_s=120))

    reader = threading.Thread(target=follow)
    log = log_path(plane.data, build)
    until(lambda: log.exists() and log.stat().st_size > 100, "the log to begin")
    reader.start()
    plane.kill()
    api = plane.start(port=port)
    api.settled(database)
    reader.join(120)

    assert not reader.is_alive()
    assert seen == log.read_text().splitlines()
    assert any("started again as build" in line or "running at" in line for line in seen)
