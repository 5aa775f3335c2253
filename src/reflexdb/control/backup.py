"""Backup and restore of a control plane: records, secrets, images and build logs as one file, and the key beside it.

Called by the commands of these names on a data directory, also while a control plane serves and builds on it. The
records are read in one transaction, begun together with the copy of the secrets while nobody writes, so that both are
of one moment. The key that opens the secrets is not in the file: it goes into one of its own, to be kept elsewhere.
Instances are not backed up: they are deployed again from their images.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, func, select
from sqlalchemy import Connection as Tx
from sqlalchemy.exc import IntegrityError

import reflexdb
from reflexdb.build.store import DirectoryStore
from reflexdb.control.archive import Reader, Writer, opened, written
from reflexdb.model.errors import ImageDamaged, InvalidRequest
from reflexdb.records import builds, export
from reflexdb.records.secrets import SecretStore, write_private
from reflexdb.records.store import Store, newest_revision
from reflexdb.records.tables import customers

KEY, SECRETS = "master.key", "secrets.bin"
KEPT_KEYS = {"admin": "admin.key", "operator": "operator.key"}
"""Credentials in files of the directory: they are encrypted in a backup."""
_CHUNK = 1 << 20
_BLOB = re.compile(r"images/([0-9a-f]{64})")
_LOG = re.compile(r"logs/([0-9a-f-]{36}\.log)")
_TABLE = re.compile(r"records/([a-z_]+)\.jsonl")


@dataclass(frozen=True, slots=True)
class Summary:
    databases: int
    images: int
    missing_images: tuple[str, ...]
    """Digests that builds name and the store does not hold; those builds can't be deployed again."""


def key_file(archive: Path) -> Path:
    """Where the key of a backup is put, and looked for."""
    return archive.with_name(f"{archive.name}.key")


def back_up(data_dir: Path, records: URL | None, target: Path, *, images: bool = True) -> Summary:
    """Write `target` and its key file. Raises InvalidRequest, RecordsUnavailable or OSError with nothing left."""
    where = records or data_dir / "metadata.db"
    for path in (target, key_file(target)):
        if path.exists():
            raise InvalidRequest(f"{path} exists already; choose another name")
    if not (data_dir / KEY).is_file() or (isinstance(where, Path) and not where.is_file()):
        raise InvalidRequest(f"{data_dir} is not the data directory of a control plane")
    store = Store(where, migrate=False)
    try:
        if store.revision() != newest_revision():
            raise InvalidRequest(
                f"The records ({store.where}) are of another version of ReflexDB; back up with that one"
            )
        key = (data_dir / KEY).read_bytes()
        with written(target) as writer:
            summary = _write(writer, store, data_dir, key, images=images)
            write_private(key_file(target), key)
    except BaseException:
        if not target.exists():
            key_file(target).unlink(missing_ok=True)
        raise
    finally:
        store.close()
    return summary


def restore(archive: Path, key: Path, data_dir: Path, records: URL | None) -> Summary:
    """Put a backup into a directory that is empty or not there, and its records into an empty database.

    Raises InvalidRequest, RecordsUnavailable or OSError; nothing is left then.
    """
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise InvalidRequest(f"{data_dir} is not empty; restore into a directory that is")
    reader = opened(archive)
    _check_key(reader, key)
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.", dir=data_dir.parent))
    try:
        shutil.copyfile(key, building / KEY)
        (building / KEY).chmod(0o600)
        summary = _read(reader, building, data_dir, records)
        building.replace(data_dir)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return summary


def _write(writer: Writer, store: Store, data_dir: Path, key: bytes, *, images: bool) -> Summary:
    with ExitStack() as stack:
        with store.write():  # the secrets change under this lock alone
            tx = stack.enter_context(store.read())
            count = tx.execute(select(func.count()).select_from(customers)).scalar_one()
            assert count >= 0
            secrets = (data_dir / SECRETS).read_bytes() if (data_dir / SECRETS).exists() else None
        found = export.tables(tx)
        for table in found:
            writer.add(f"records/{table.name}.jsonl", export.lines(tx, table))
        digests = builds.image_digests(tx)
        [databases] = [table for table in found if table.name == "databases"]
        number = tx.execute(
            select(func.count()).select_from(databases).where(databases.c.deleted_at.is_(None))
        ).scalar_one()
    if secrets is not None:
        writer.add("secrets", [secrets])
    for name, file in KEPT_KEYS.items():
        with suppress(FileNotFoundError):
            writer.add(name, [SecretStore(data_dir).seal(f"backup/{file}", (data_dir / file).read_bytes())])
    stored, missing = _write_images(writer, data_dir, digests if images else set())
    for path in sorted((data_dir / "logs" / "builds").glob("*.log")):
        if _LOG.fullmatch(f"logs/{path.name}"):
            writer.add(f"logs/{path.name}", _chunks(path))
    writer.finish(
        {
            "version": reflexdb.__version__,
            "revision": newest_revision(),
            "created_at": datetime.now(UTC).isoformat(),
            "key": _check_of(key),
            "images": sorted(digests) if images else [],
            "missing_images": missing,
            "databases": number,
        }
    )
    return Summary(number, stored, tuple(missing))


def _write_images(writer: Writer, data_dir: Path, digests: set[str]) -> tuple[int, list[str]]:
    store, missing = DirectoryStore(data_dir / "images"), []
    for digest in sorted(digests):
        try:
            for blob in store.blobs(digest):
                if f"images/{blob.name}" not in writer:
                    writer.add(f"images/{blob.name}", _chunks(blob))
        except (ImageDamaged, FileNotFoundError):
            missing.append(digest)
    return len(digests) - len(missing), missing


def _read(reader: Reader, building: Path, data_dir: Path, records: URL | None) -> Summary:
    blobs, logs = building / "images" / "blobs" / "sha256", building / "logs" / "builds"
    staged = building / ".records"
    for directory in (blobs, logs, staged):
        directory.mkdir(parents=True)
    sealed: dict[str, bytes] = {}
    for name, content in reader.members():
        if match := _TABLE.fullmatch(name):
            _copy(content, staged / match[1])
        elif match := _BLOB.fullmatch(name):
            _copy(content, blobs / match[1])
        elif match := _LOG.fullmatch(name):
            _copy(content, logs / match[1])
        elif name == "secrets":
            _copy(content, building / SECRETS)
            (building / SECRETS).chmod(0o600)
        elif name in KEPT_KEYS:
            sealed[KEPT_KEYS[name]] = content.read()
    secrets = SecretStore(building)  # opens every entry with the key
    for file, value in sealed.items():
        write_private(building / file, secrets.unseal(f"backup/{file}", value))
    DirectoryStore(building / "images").index()
    _load(staged, building, data_dir, records, reader.manifest["revision"])
    shutil.rmtree(staged)
    missing = tuple(reader.manifest["missing_images"])
    return Summary(reader.manifest["databases"], len(reader.manifest["images"]) - len(missing), missing)


def _load(staged: Path, building: Path, data_dir: Path, records: URL | None, revision: str) -> None:
    store = Store(records or building / "metadata.db", migrate=False)
    try:
        if store.revision() is not None:
            raise InvalidRequest(f"The records ({store.where}) are not empty; restore into a new database")
        try:
            store.upgrade(revision)
            with store.write() as tx:
                _load_tables(tx, staged)
                builds.move_images(tx, DirectoryStore(data_dir / "images").uri)
            store.upgrade("head")
        except (ValueError, KeyError, IntegrityError) as exc:
            store.empty()
            raise InvalidRequest(f"the backup's records don't fit together: {type(exc).__name__}") from exc
        except BaseException:
            store.empty()
            raise
    finally:
        store.close()


def _load_tables(tx: Tx, staged: Path) -> None:
    found = export.tables(tx)
    for table in found:
        if (staged / table.name).exists():
            with (staged / table.name).open("rb") as file:
                export.load(tx, table, file)
    export.continue_numbers(tx, found)


def _check_key(reader: Reader, key: Path) -> None:
    try:
        content = key.read_bytes()
    except OSError as exc:
        raise InvalidRequest(
            f"the backup's key {key} can't be read: {exc.strerror}; say where it is with --key"
        ) from exc
    if _check_of(content) != reader.manifest["key"]:
        raise InvalidRequest(f"{key} is not the key of this backup; say where that is with --key")


def _check_of(key: bytes) -> str:
    """Tells one key from another and says nothing of it: a key is 32 random bytes."""
    return hashlib.sha256(b"reflexdb backup key\0" + key).hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _copy(content: IO[Any], target: Path) -> None:
    with target.open("xb") as file:
        shutil.copyfileobj(content, file)
