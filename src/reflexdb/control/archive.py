"""A backup as one file: a compressed tar whose last member, `manifest.json`, names every other with size and digest.

`Writer` makes it beside its place and renames it when it is whole; `opened` reads nothing out of one that is not.
Knows bytes and names, nothing of what they mean.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from reflexdb.model.errors import InvalidRequest

FORMAT = 1
MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z0-9_-]+(/[a-z0-9_][a-z0-9_.-]*)*")
_IN_MEMORY = 8 << 20
_CHUNK = 1 << 20


class Writer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        assert _NAME.fullmatch(name), name
        digest = hashlib.sha256()
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            for chunk in chunks:
                digest.update(chunk)
                spool.write(chunk)
            size = spool.tell()
            spool.seek(0)
            self._put(name, size, spool)
        self._files[name] = {"size": size, "sha256": digest.hexdigest()}

    def finish(self, about: Mapping[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **about, "files": self._files}, indent=1).encode()
        self._put(MANIFEST, len(text), io.BytesIO(text))

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def _put(self, name: str, size: int, content: Any) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._tar.addfile(entry, content)


@contextmanager
def written(target: Path) -> Iterator[Writer]:
    """A new file, mode 0600, there only when it is whole and on the disk. Raises FileExistsError."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, target)  # unlike a rename, it replaces nothing
    finally:
        temporary.unlink(missing_ok=True)


class Reader:
    """The members of a file that was found whole."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self._path = path
        self.manifest = manifest

    def members(self) -> Iterator[tuple[str, IO[bytes]]]:
        """In the order they were added; each is to be read before the next."""
        with tarfile.open(self._path, mode="r|gz") as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is not None and entry.name != MANIFEST:
                    yield entry.name, content


def opened(path: Path) -> Reader:
    """Raises InvalidRequest where it is no backup, is torn or was changed."""
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                manifest = _checked(tar)
            while stream.read(_CHUNK):  # to its end, where gzip has a sum of everything
                pass
    except OSError as exc:
        if exc.errno is None:
            raise _torn(path, exc) from exc
        raise InvalidRequest(f"{path} can't be read: {exc.strerror}") from exc
    except (tarfile.TarError, EOFError, zlib.error, ValueError, KeyError, TypeError) as exc:
        raise _torn(path, exc) from exc
    if manifest["format"] != FORMAT:
        raise InvalidRequest(f"{path} is a backup of another format; restore it with the version that made it")
    return Reader(path, manifest)


def _checked(tar: tarfile.TarFile) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for entry in tar:
        content = tar.extractfile(entry)
        if content is None:
            raise ValueError("it holds something that is not a file")
        if entry.name == MANIFEST:
            manifest: dict[str, Any] = json.load(content)
            if manifest["files"] != found:
                raise ValueError("what it holds is not what its manifest says")
            return manifest
        if not _NAME.fullmatch(entry.name):
            raise ValueError("it holds a name that no backup has")
        digest, size = hashlib.sha256(), 0
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        found[entry.name] = {"size": size, "sha256": digest.hexdigest()}
    raise ValueError("it ends before its manifest")


def _torn(path: Path, exc: Exception) -> InvalidRequest:
    why = str(exc) if isinstance(exc, ValueError) else "it can't be unpacked"
    return InvalidRequest(f"{path} is no backup, or torn or changed: {why}; nothing was restored")
