"""The blog that every contender is loaded from: made once for a size, kept in bench/out/data, as SQLite and as CSV."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from reflexdb.cli.demo.blog import Scale, create

SIZES = {
    "small": Scale(users=2_000, posts=10_000, comments=40_000, tags=200),
    "medium": Scale(users=20_000, posts=100_000, comments=300_000, tags=200),
    "full": Scale(users=100_000, posts=500_000, comments=2_000_000, tags=200),
}
TABLES = ("users", "posts", "comments")
"""That contenders other than ours need."""


@dataclass(frozen=True, slots=True)
class Blog:
    scale: Scale
    sqlite: Path
    csv: dict[str, Path]
    """Of TABLES, with a line of names; booleans are true and false, nulls nothing at all."""
    csv_bytes: int
    """All tables of the database as CSV."""


def blog(size: str, kept: Path) -> Blog:
    scale = SIZES[size]
    folder = kept / f"{size}-{Path(__file__).stat().st_mtime_ns}"
    if not (folder / "complete").exists():
        for old in kept.glob(f"{size}-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        create(folder / "blog.sqlite", scale)
        (folder / "complete").write_text(str(export(folder)))
    files = {table: folder / f"{table}.csv" for table in TABLES}
    return Blog(scale, folder / "blog.sqlite", files, int((folder / "complete").read_text()))


def export(folder: Path) -> int:
    """Every table as CSV; the bytes of all."""
    size = 0
    with closing(sqlite3.connect(folder / "blog.sqlite")) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            path = folder / f"{table}.csv"
            about = db.execute(f"PRAGMA table_info({table})").fetchall()
            columns = ", ".join(
                f"CASE {name} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END" if kind == "BOOLEAN" else name
                for _, name, kind, *_ in about
            )
            with path.open("w", newline="") as file:
                out = csv.writer(file)
                out.writerow([name for _, name, *_ in about])
                out.writerows(db.execute(f"SELECT {columns} FROM {table} ORDER BY 1"))
            size += path.stat().st_size
            if table not in TABLES:
                path.unlink()
    return size
