"""What a contender is, and how one that speaks HTTP is asked and measured.

A contender that cannot be started here, since a program is missing, says so by `Missing`: the report names it, and
has no numbers of it. A case that it has no answer to is in `left_out` with the reason.
"""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bench import load, processes
from bench.cases import CHECKED, Case
from bench.load import Result

WARM_UP_S = 1.0
SLOW_MS, VERY_SLOW_MS = 20.0, 300.0
"""Requests that take longer are asked on fewer connections, or on one."""
FEW = 4


class MissingError(Exception):
    """What has to be installed."""


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float
    connections: int


@dataclass(frozen=True, slots=True)
class Measured:
    server: str
    load: Result
    cpu_s: float
    connections: int
    held_bytes: int
    body_bytes: int
    network: bool = True

    @property
    def cpu_us(self) -> float:
        """CPU time of one request: user and system, of all the contender's processes."""
        return self.cpu_s / self.load.answered * 1e6

    @property
    def busy(self) -> float:
        """Share of its core."""
        return self.cpu_s / self.load.seconds


class Contender(abc.ABC):
    name: str
    about: str
    left_out: Mapping[str, str] = MappingProxyType({})
    """Cases, by key, that it is not asked, and why."""

    @abc.abstractmethod
    def digests(self, case: Case, arguments: list[int]) -> list[str]:
        """Of the answers, brought into our form: equal where the answers say the same."""

    @abc.abstractmethod
    def measure(self, case: Case, arguments: list[int], options: Options) -> Measured: ...


class OverHttp(Contender):
    """Answers over HTTP with JSON."""

    port: int

    @abc.abstractmethod
    def pids(self) -> list[int]: ...

    @abc.abstractmethod
    def request(self, case: Case, argument: int) -> bytes: ...

    def rows(self, case: Case, answer: Any) -> Any:  # noqa: ARG002 - of those that override it
        """The answer as ours is."""
        return answer

    def digests(self, case: Case, arguments: list[int]) -> list[str]:
        found = []
        for argument in arguments[:CHECKED]:
            (body,) = load.answers(self.port, [self.request(case, argument)])
            found.append(digest(self.rows(case, json.loads(body))))
        return found

    def measure(self, case: Case, arguments: list[int], options: Options) -> Measured:
        prepared = [self.request(case, argument) for argument in arguments]
        bodies = load.answers(self.port, prepared[: 3 if len(prepared) == 1 else 200])
        size = sum(map(len, bodies)) // len(bodies)
        del bodies
        with processes.on_core(self.pids(), 0):
            probe = load.one_by_one(self.port, prepared, 0.3).least_ms
            connections = 1 if probe > VERY_SLOW_MS else FEW if probe > SLOW_MS else options.connections
            if connections > 1:
                load.run(self.port, prepared, WARM_UP_S, connections)
            before = processes.cpu_seconds(self.pids())
            if connections > 1:
                result = load.run(self.port, prepared, options.seconds, connections)
            else:
                result = load.one_by_one(self.port, prepared, options.seconds)
            cpu = processes.cpu_seconds(self.pids()) - before
        if result.failed:
            raise RuntimeError(f"{self.name} failed {result.failed} of {result.answered}: a rate of errors is no rate")
        return Measured(self.name, result, cpu, connections, processes.held_bytes(self.pids()), size)


def digest(answer: Any) -> str:
    """The same for the same values and names in the same order; times may have a blank for their T."""
    text = json.dumps(answer, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def with_t(row: dict[str, Any]) -> dict[str, Any]:
    """A comment whose time is written with T."""
    return {**row, "created_at": str(row["created_at"]).replace(" ", "T")}
