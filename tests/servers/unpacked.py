"""Servers that tools/fetch-test-servers.sh unpacked with their libraries, and how to start a program of theirs: by the
loader that lies beside it, since this machine's is older.
"""

from __future__ import annotations

from pathlib import Path

from tests.servers.versions import folder


def root(name: str) -> Path | None:
    """The root of an unpacked server; None where it is absent."""
    found = folder() / name
    return found if (found / "complete").exists() else None


def program(root: Path, path: str) -> list[str]:
    """The command that starts a program of this root."""
    loader = next(root.glob("usr/lib64/ld-linux-*.so.*"), None) or next(root.glob("usr/lib/ld-linux-*.so.*"))
    libraries = sorted(path.parent for path in root.glob("usr/lib/*/libc.so.6"))
    return [str(loader), "--library-path", ":".join(map(str, libraries)), str(root / path)]
