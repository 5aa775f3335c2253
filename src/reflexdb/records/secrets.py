"""Secrets at rest: connection passwords and each database's key-signing secret, encrypted in one file, apart from the
metadata.

`SecretStore(directory)` keeps `secrets.bin`, encrypted with AES-256-GCM under `master.key` (created at first use,
mode 0600). A name is bound to its value as associated data, so entries cannot be exchanged. Every change replaces the
file as a whole: a crash leaves the old or the new one. Any thread, and any process that shares the directory: a
change is made under a lock on what the file holds then, and a file that another has replaced is read again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reflexdb.model.errors import SystemError_

_KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = 1
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")


class SecretStore:
    """Names to secret values."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "secrets.bin"
        self._lock = threading.Lock()
        self._lock_path = directory / ".secrets.lock"
        with self._alone():
            self._cipher = AESGCM(_master_key(directory / "master.key", fresh=not self._path.exists()))
            self._entries: dict[str, bytes] = {}
            self._identity: tuple[int, int, int] | None = None
            self._refresh()
        self.damaged = self._damaged()
        """Names of what could not be read at the start; everything else can."""

    def seal(self, name: str, value: bytes) -> bytes:
        """Encrypt for a place of the caller's own; only `unseal` with the same name opens it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """Raises SystemError_ where it was changed, or sealed under another name."""
        return self._open(name, sealed)

    def put(self, name: str, value: bytes) -> None:
        self.put_all({name: value})

    def put_all(self, values: Mapping[str, bytes]) -> None:
        """All of them, or none where it is cut short."""
        sealed = {name: self.seal(name, value) for name, value in values.items()}
        with self._lock, self._alone():
            self._refresh()
            self._replace({**self._entries, **sealed})

    def get(self, name: str) -> bytes:
        """Raises SystemError_ where it is missing or was changed."""
        with self._lock:
            self._refresh()
            sealed = self._entries.get(name)
        if sealed is None:
            raise SystemError_(f"The secret {name} is missing from {self._path}; enter it again")
        return self._open(name, sealed)

    def names(self) -> set[str]:
        with self._lock:
            self._refresh()
            return set(self._entries)

    def remove(self, names: Iterable[str]) -> None:
        gone = set(names)
        with self._lock, self._alone():
            self._refresh()
            if gone & self._entries.keys():
                self._replace({name: value for name, value in self._entries.items() if name not in gone})

    def _open(self, name: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as exc:
            raise SystemError_(
                f"The secret {name} in {self._path} can't be decrypted: it was changed, or master.key is another one"
            ) from exc

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock_path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _refresh(self) -> None:
        """Read the file again where it is another one than last time."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return
        identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if identity != self._identity:
            self._entries = self._read()
            self._identity = identity

    def _read(self) -> dict[str, bytes]:
        if not self._path.exists():
            return {}
        try:
            document = json.loads(self._path.read_text("utf-8"))
            if document["version"] != _VERSION:
                raise ValueError(document["version"])
            return {str(name): _decoded(value) for name, value in document["entries"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SystemError_(f"{self._path} is damaged; restore it from a backup") from exc

    def _damaged(self) -> tuple[str, ...]:
        """Raises SystemError_ where none can be read: then it is the key that is wrong."""
        found: dict[str, SystemError_] = {}
        for name, sealed in self._entries.items():
            try:
                self._open(name, sealed)
            except SystemError_ as exc:
                found[name] = exc
        if found and len(found) == len(self._entries):
            raise next(iter(found.values()))
        return tuple(found)

    def _replace(self, entries: dict[str, bytes]) -> None:
        encoded = {name: b64encode(value).decode("ascii") for name, value in entries.items()}
        write_private(self._path, json.dumps({"version": _VERSION, "entries": encoded}).encode())
        self._entries = entries
        stat = self._path.stat()
        self._identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file, mode 0600, so that a crash at any moment leaves the old or the new content."""
    temporary, descriptor = _temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)  # while it is locked: `sweep_private` takes the others for left
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def sweep_private(directory: Path) -> None:
    """Remove what a `write_private` that was killed left: it may hold a key. What is being written keeps its lock."""
    for path in directory.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


def _temporary(path: Path) -> tuple[Path, int]:
    """A new file beside the path, open and locked; the kernel lets go of the lock however the process ends."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # swept before it was locked


def _decoded(value: str) -> bytes:
    """Nothing where it is no base64: one that is damaged must not cost the others."""
    try:
        return b64decode(value, validate=True)
    except ValueError:
        return b""


def _master_key(path: Path, *, fresh: bool) -> bytes:
    if not path.exists():
        if not fresh:
            raise SystemError_(f"{path} is missing, and without it secrets.bin can't be read; restore it from a backup")
        write_private(path, secrets.token_bytes(_KEY_BYTES))
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise SystemError_(f"{path} is damaged: {len(key)} bytes instead of {_KEY_BYTES}; restore it from a backup")
    return key
