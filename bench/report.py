"""The page a run ends with: what was measured, on what, with which command, as numbers and as ratios."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import reflexdb
from bench import processes
from bench.load import Result
from reflexdb.cli.demo.blog import Scale


@dataclass(frozen=True, slots=True)
class Measured:
    server: str
    load: Result
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        """CPU time of one request."""
        return self.cpu_s / self.load.answered * 1e6


@dataclass(frozen=True, slots=True)
class Pair:
    """One case on both servers; without nginx where it is not installed."""

    name: str
    query: str
    body_bytes: int
    reflex: Measured
    nginx: Measured | None


def page(pairs: list[Pair], scale: Scale, seconds: float, connections: int, memory: str) -> str:
    tool = pairs[0].reflex.load.tool
    lines = [
        "# Benchmark",
        "",
        f"- {processes.machine()}",
        f"- ReflexDB {reflexdb.__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- {scale.users:,} users, {scale.posts:,} posts, {scale.comments:,} comments; "
        f"{connections} keep-alive connections, {seconds:g} s a case, over loopback, load from {tool}",
        "- each server on one core of its own; nginx answers a fixed body as long as ReflexDB's mean answer",
        f"- {memory}",
        f"- again: `make bench BENCH_ARGS='--scale {scale.users / 20_000:g} --seconds {seconds:g}'`",
        "",
        "| case | body | server | requests/s | p50 ms | p99 ms | CPU µs/request | MB per CPU second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        lines += [row(pair, measured) for measured in (pair.reflex, pair.nginx) if measured is not None]
    lines += ["", "| case | rate, ReflexDB to nginx | CPU time, ReflexDB to nginx |", "|---|---|---|"]
    for pair in pairs:
        if pair.nginx is not None:
            rate = pair.reflex.load.rate / pair.nginx.load.rate
            lines.append(f"| {pair.name} | {rate:.2f} | {pair.reflex.cpu_us / pair.nginx.cpu_us:.2f} |")
    lines += ["", *notes(pairs, tool)]
    return "\n".join(lines).rstrip() + "\n"


def row(pair: Pair, measured: Measured) -> str:
    load = measured.load
    return (
        f"| {pair.name} | {pair.body_bytes} B | {measured.server} | {load.rate:,.0f} "
        f"| {load.p50_ms:.2f} | {load.p99_ms:.2f} | {measured.cpu_us:.1f} | {pair.body_bytes / measured.cpu_us:,.1f} |"
    )


def notes(pairs: list[Pair], tool: str) -> list[str]:
    found = []
    if all(pair.nginx is None for pair in pairs):
        found.append("nginx is not installed, so there is nothing to compare with: `apt-get install nginx`.")
    if tool != "wrk":
        found.append(
            "wrk is not installed, and the bundled generator is slower than the servers, so the rates say little: "
            "`apt-get install wrk`."
        )
    return found
