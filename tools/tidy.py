"""Tidiness as a check: what no linter of ours looks at, each rule a small function over the files git tracks.

Called by `make check`. Prints one line per finding, `path:line: what`, and ends with 1 if there is any. The rules are
about leftovers, sizes and headings; they refuse to know style, which belongs to ruff and clang-format.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = {".py", ".cc", ".h", ".md", ".sh", ".toml", ".yaml", ".yml", ".js", ".css", ".html", ".ini", ".sql", ".lock", ""}
LEFTOVER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
CONFLICT = re.compile(r"^(<{7}|>{7}|={7})( |$)")
LONGEST_LINE = 160
LONGEST_PYTHON = 400
LONGEST_CXX = 600
LARGEST_FILE = 1_000_000

Finding = tuple[str, int, str]


def main() -> int:
    findings = [finding for path in tracked() for finding in check(path)]
    for name, line, what in findings:
        print(f"{name}:{line}: {what}")
    return 1 if findings else 0


def tracked() -> list[Path]:
    """Every file git tracks or would track, so that a new file is looked at before it is added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    paths = [ROOT / name for name in listing.decode().split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def check(path: Path) -> Iterator[Finding]:
    name = str(path.relative_to(ROOT))
    if path.stat().st_size > LARGEST_FILE:
        yield name, 1, f"larger than {LARGEST_FILE} bytes"
        return
    if path.suffix not in TEXT or name == "LICENSE":
        return
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        yield name, 1, "text that is not UTF-8"
        return
    lines = text.splitlines()
    yield from leftovers(name, lines)
    yield from ending(name, text, len(lines))
    if path.suffix in {".py", ".cc", ".h"}:
        yield from sizes(name, path.suffix, lines)
    if path.suffix == ".py" and name.startswith(("src/", "tools/", "bench/")):
        yield from heading(name, text)


def leftovers(name: str, lines: list[str]) -> Iterator[Finding]:
    for number, line in enumerate(lines, 1):
        if LEFTOVER.search(line):
            yield name, number, "a leftover mark; do it, or say it in docs/explain/limits.md"
        if CONFLICT.match(line) and not name.endswith(".md"):
            yield name, number, "a merge conflict's mark"
        if line != line.rstrip() and not name.endswith(".md"):
            yield name, number, "white space at the end"


def ending(name: str, text: str, count: int) -> Iterator[Finding]:
    if text and not text.endswith("\n"):
        yield name, count, "no line end at the end"
    if "\r" in text and name.endswith((".py", ".cc", ".h", ".sh")):
        yield name, 1, "carriage returns"


def sizes(name: str, suffix: str, lines: list[str]) -> Iterator[Finding]:
    limit = LONGEST_PYTHON if suffix == ".py" else LONGEST_CXX
    if len(lines) > limit:
        yield name, limit, f"{len(lines)} lines; at most {limit}, split it by what it decides"
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            yield name, number, f"{len(line)} characters; at most {LONGEST_LINE}"


def heading(name: str, text: str) -> Iterator[Finding]:
    if text.strip() and not ast.get_docstring(ast.parse(text)):
        yield name, 1, "a module opens with what it decides, who calls it and what it refuses to know"


if __name__ == "__main__":
    sys.exit(main())
