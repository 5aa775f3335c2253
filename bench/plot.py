"""CPU time of a request, case by case, as bars on a logarithmic scale: an SVG that needs nothing to be drawn."""

from __future__ import annotations

import html
import math

from bench.cases import Case
from bench.contenders.base import Measured

WIDTH, LEFT, RIGHT, BAR, GAP, TITLE = 900, 180, 110, 20, 6, 34
OURS, OTHERS = "#0b6e4f", "#9aa5b1"


def svg(measured: dict[str, list[Measured]], cases: list[Case], footer: str) -> str:
    shown = [(case, measured[case.key]) for case in cases if measured.get(case.key)]
    height = sum(TITLE + len(some) * (BAR + GAP) for _, some in shown) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(10, 22, "CPU time of a request (user and system), logarithmic, shorter is better", size=15),
    ]
    top = 36
    for case, some in shown:
        parts += [text(10, top + 20, case.name, weight="bold")]
        top += TITLE
        parts += bars(some, top)
        top += len(some) * (BAR + GAP)
    parts += [text(10, height - 8, footer, size=11, fill="#52606d"), "</svg>"]
    return "\n".join(parts) + "\n"


def bars(some: list[Measured], top: int) -> list[str]:
    """Longest for the one that took most; a tenth of it is a fixed length shorter."""
    most, least = max(each.cpu_us for each in some), min(each.cpu_us for each in some)
    decades = max(1.0, math.log10(most / max(least, 0.01)) + 0.5)
    parts = []
    for n, each in enumerate(some):
        share = max(0.02, 1 - math.log10(most / max(each.cpu_us, 0.01)) / decades)
        width, y = share * (WIDTH - LEFT - RIGHT), top + n * (BAR + GAP)
        fill = OURS if each.server == "ReflexDB" else OTHERS
        parts += [
            text(LEFT - 8, y + 15, each.server, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{fill}"/>',
            text(int(LEFT + width + 6), y + 15, of_time(each.cpu_us)),
        ]
    return parts


def text(x: int, y: int, said: str, **style: object) -> str:
    names = {"size": "font-size", "weight": "font-weight", "anchor": "text-anchor", "fill": "fill"}
    attributes = "".join(f' {names[name]}="{value}"' for name, value in style.items())
    return f'<text x="{x}" y="{y}"{attributes}>{html.escape(said)}</text>'


def of_time(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3g} {unit}"
    return f"{microseconds:.3g} µs"
