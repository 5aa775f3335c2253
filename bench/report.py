"""The page a run ends with: what was measured, on what, with which command, as numbers, as ratios and as a plot."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import reflexdb
from bench import processes
from bench.cases import Case
from bench.contenders.base import Measured
from bench.data import Blog

BOTTLENECK = 0.9
"""A server that kept its core busier than this was what the rate hung on."""


@dataclass
class Outcome:
    """Of a whole run, grown while it goes on."""

    blog: Blog
    size: str
    seconds: float
    about: dict[str, str] = field(default_factory=dict)
    measured: dict[str, list[Measured]] = field(default_factory=dict)
    """By case; ReflexDB first."""
    left_out: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)


def page(outcome: Outcome, cases: list[Case], plot: str) -> str:
    scale = outcome.blog.scale
    lines = [
        "# Benchmark",
        "",
        f"- {processes.machine()}; load of the machine when it ended: {processes.machine_load()}",
        f"- ReflexDB {reflexdb.__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- {scale.users:,} users, {scale.posts:,} posts, {scale.comments:,} comments",
        f"- each contender on one core, the load generator on another; loopback, keep-alive connections, "
        f"{outcome.seconds:g} s a case",
        "- nginx and Redis take turns with ReflexDB where a request takes less than a millisecond; the middle "
        "measurement of each counts",
        "- CPU time is user and system of all processes of a contender, by the kernel's account",
        f"- again: `make bench BENCH_ARGS='--size {outcome.size} --seconds {outcome.seconds:g}'`",
        "",
        f"![CPU time of a request]({plot})",
        "",
    ]
    for case in cases:
        if outcome.measured.get(case.key):
            lines += [
                f"## {case.name[0].upper()}{case.name[1:]}",
                "",
                f"    {case.query}",
                "",
                *table(outcome, case),
                "",
            ]
    lines += ["## Who was asked", "", *(f"- **{name}**: {text}." for name, text in outcome.about.items()), ""]
    lines += [f"- {text}" for text in outcome.left_out] + [""] if outcome.left_out else []
    lines += ["## Same answers", "", *(f"- {text}" for text in outcome.checked), ""]
    lines += ["## Memory", "", *memory(outcome), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(outcome: Outcome, case: Case) -> list[str]:
    measured = outcome.measured[case.key]
    first = measured[0]
    lines = [
        "| | requests/s | ratio | p50 ms | p99 ms | connections | body | CPU µs/request | CPU, times ReflexDB's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in measured:
        load = each.load
        mark = "" if each.busy >= BOTTLENECK else "*"
        rate = f"{load.rate:,.0f}{mark}" if load.rate >= 10 else f"{load.rate:.2f}{mark}"
        body = f"{each.body_bytes:,} B" if each.network else "no network"
        lines.append(
            f"| {each.server} | {rate} | {load.rate / first.load.rate:.3g} | {load.p50_ms:,.2f} | {load.p99_ms:,.2f} "
            f"| {each.connections} | {body} | {each.cpu_us:,.1f} | {each.cpu_us / first.cpu_us:.3g} |"
        )
    if any(each.busy < BOTTLENECK for each in measured):
        lines += ["", "\\* the server was not the bottleneck: its core was idle for a tenth of the time or more."]
    if case.key == "dump":
        speeds = [f"{each.server} {each.body_bytes / each.cpu_us:,.0f}" for each in measured if each.network]
        lines += ["", f"MB a second of CPU: {', '.join(speeds)}."]
    return lines


def memory(outcome: Outcome) -> list[str]:
    """The most that each held after a case."""
    most: dict[str, int] = {}
    for measured in outcome.measured.values():
        for each in measured:
            most[each.server] = max(most.get(each.server, 0), each.held_bytes)
    size = outcome.blog.csv_bytes
    lines = [
        f"The same rows as CSV, all tables: {size / 1e6:,.1f} MB.",
        "",
        "| | after | MB | times the CSV |",
        "|---|---|---|---|",
    ]
    for name, held in most.items():
        lines.append(f"| {name} | the case that took most | {held / 1e6:,.1f} | {held / size:.2f} |")
    first = outcome.measured["point"][0] if outcome.measured.get("point") else None
    if first is not None:
        lines.insert(
            4, f"| {first.server} | points alone | {first.held_bytes / 1e6:,.1f} | {first.held_bytes / size:.2f} |"
        )
    return lines
