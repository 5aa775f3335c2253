"""ReflexDB: the instance that a control plane of its own has built and started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import load, processes
from bench.cases import Case
from bench.contenders.base import OverHttp
from bench.data import Blog
from reflexdb.cli.demo.plane import processes_in, running
from reflexdb.cli.demo.steps import Served, serve_source
from reflexdb.cli.progress import progress


class Reflex(OverHttp):
    name = "ReflexDB"
    about = "one event loop; the query is sent as text with every request"

    def __init__(self, served: Served) -> None:
        self._served = served
        self.port = load.port_of(served.endpoint)
        found = processes_in(served.plane.data)
        self._pids = [pid for pid in found if processes.name(pid).startswith("reflex-server")]

    def pids(self) -> list[int]:
        return self._pids

    def request(self, case: Case, argument: int) -> bytes:
        return load.post("/query", case.ours(argument), f"Authorization: Bearer {self._served.key}")


@contextmanager
def reflex(blog: Blog, folder: Path) -> Iterator[Reflex]:
    with progress() as show:
        data = folder / "data"
        show.phase("control plane")
        with running(data) as plane:
            instance = serve_source(plane, blog.sqlite, show, size="medium")
            show.phase("measuring")
            yield Reflex(instance)
