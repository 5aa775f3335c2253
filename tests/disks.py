"""Disks that refuse, for tests of what is left on them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable

import pytest


def turns_read_only(disk: pytest.MonkeyPatch, after: int = 0) -> None:
    """From so many changes on, this process can make, rename and remove nothing."""
    left = after

    def refusing(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            if left == 0:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            left -= 1
            return function(*arguments, **options)

        return call

    for name in ("mkdir", "rmdir", "unlink", "rename", "replace", "symlink", "link"):
        disk.setattr(os, name, refusing(getattr(os, name)))
    disk.setattr(tempfile, "mkstemp", refusing(tempfile.mkstemp))
