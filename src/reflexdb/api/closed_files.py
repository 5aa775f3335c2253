"""What the control plane writes is its owner's alone, whatever the umask it was started with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def files_closed_to_others() -> Iterator[None]:
    """What is written meanwhile, by this process and its children, is for no other user."""
    former = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(former)


def close_to_others(data_dir: Path) -> None:
    """A directory that was there before may be open; its owner alone can close it, and another's is left as it is."""
    mode = data_dir.stat().st_mode
    if mode & 0o077:
        with suppress(PermissionError):
            data_dir.chmod(mode & 0o700)
