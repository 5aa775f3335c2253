"""The image store: what is read is what was written, whatever happened in between."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reflexdb.build.files import TEMPORARY_PREFIX
from reflexdb.build.image import Blob, ImageParts
from reflexdb.build.store import DirectoryStore
from reflexdb.model.errors import BuildFailed, ImageDamaged
from tests.disks import turns_read_only

from .images import image, small_plan


def blobs(root: Path) -> list[Path]:
    return sorted((root / "blobs" / "sha256").iterdir())


def index(root: Path) -> list[str]:
    return [entry["digest"] for entry in json.loads((root / "index.json").read_bytes())["manifests"]]


def test_a_stored_image_is_an_oci_layout(tmp_path: Path) -> None:
    digest = DirectoryStore(tmp_path).put(image())

    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((tmp_path / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == digest
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    manifest = json.loads((tmp_path / "blobs" / "sha256" / digest[7:]).read_bytes())
    config = json.loads((tmp_path / "blobs" / "sha256" / manifest["config"]["digest"][7:]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"]["Entrypoint"][0] == "/reflex-server"
    assert config["config"]["User"] == "65532:65532"
    assert {path.name for path in blobs(tmp_path)} == {
        hashlib.sha256(p.read_bytes()).hexdigest() for p in blobs(tmp_path)
    }


def test_an_image_comes_back_as_it_was(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "images")
    digest = store.put(image(b"binary"))

    server = store.unpack(digest, tmp_path / "instance")
    assert server.read_bytes() == b"binary"
    assert server.stat().st_mode & 0o777 == 0o755
    assert store.plan(digest) == small_plan()
    assert store.size_bytes(digest) == image(b"binary").size_bytes


def test_storing_an_image_again_changes_nothing(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    first = store.put(image())
    before = {path: path.stat().st_mtime_ns for path in blobs(tmp_path)}

    assert store.put(image()) == first
    assert {path: path.stat().st_mtime_ns for path in blobs(tmp_path)} == before
    assert index(tmp_path) == [first]


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_any_changed_byte_is_noticed(tmp_path: Path, part: str) -> None:
    store = DirectoryStore(tmp_path / "images")
    parts = image()
    digest = store.put(parts)
    path = tmp_path / "images" / "blobs" / "sha256" / getattr(parts, part).digest[7:]
    content = path.read_bytes()
    step = max(1, len(content) // 150)

    for position in {*range(0, len(content), step), len(content) - 1}:
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert not store.verify(digest), position
    with pytest.raises(ImageDamaged, match="rebuild it"):
        store.unpack(digest, tmp_path / "instance")
    assert not (tmp_path / "instance" / "reflex-server").exists()
    path.write_bytes(content[:-1])
    assert not store.verify(digest)
    path.unlink()
    assert not store.verify(digest)
    assert store.put(parts) == digest
    assert store.verify(digest)


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "A" * 64, "sha256:../../etc/passwd", "sha256:" + "0" * 64]
)
def test_a_digest_that_names_nothing_is_not_an_image(tmp_path: Path, digest: str) -> None:
    store = DirectoryStore(tmp_path)
    store.put(image())

    assert not store.verify(digest)
    with pytest.raises(ImageDamaged):
        store.plan(digest)
    store.remove(digest)
    assert len(index(tmp_path)) == 1


def test_a_layer_that_lies_about_its_server_is_refused(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    parts = image()
    lying = Blob(parts.layer.media_type, parts.layer.content.replace(b"\x7fELF", b"\x7fELG"))
    manifest = parts.manifest.content.replace(parts.layer.digest.encode(), lying.digest.encode())
    digest = store.put(ImageParts(Blob(parts.manifest.media_type, manifest), parts.config, lying, "amd64"))

    assert not store.verify(digest)


def test_removing_an_image_keeps_what_others_use(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    one, other = store.put(image(b"one")), store.put(image(b"other"))
    store.remove(one)
    store.remove(one)

    assert not store.verify(one)
    assert store.verify(other)
    assert index(tmp_path) == [other]
    assert len(blobs(tmp_path)) == 3
    store.remove(other)
    assert blobs(tmp_path) == []


def test_a_damaged_index_costs_no_image(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    one = store.put(image(b"one"))
    (tmp_path / "index.json").write_bytes(b"[" * 100_000)
    other = store.put(image(b"other"))

    assert store.verify(one)
    assert store.verify(other)
    assert index(tmp_path) == sorted([one, other])


class Disk:
    """Counts what asks the disk for space, and says it is full from the n-th call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        monkeypatch.setattr(os, "fsync", self._failing(os.fsync))
        monkeypatch.setattr(tempfile, "mkstemp", self._failing(tempfile.mkstemp))
        monkeypatch.setattr(Path, "replace", self._failing(Path.replace))

    def _failing(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            if self.left is not None:
                if self.left == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                self.left -= 1
            return real(*arguments, **more)

        return call


def test_whichever_write_fails_the_images_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, disk = DirectoryStore(tmp_path), Disk(monkeypatch)
    old, new = store.put(image(b"old")), image(b"new")
    for writes in range(100):
        disk.left = writes
        failure = None
        try:
            store.put(new)
        except BuildFailed as exc:
            failure = exc
        disk.left = None

        assert store.verify(old)
        assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))
        if failure is None:
            break
        assert failure.step == "package"
        assert "is full" in failure.message
        store.remove(new.manifest.digest)
    assert writes > 10
    assert store.verify(new.manifest.digest)


def test_a_kill_at_any_moment_leaves_whole_images(tmp_path: Path) -> None:
    """A process stores and removes without end; it is killed again and again, and what it left is always in order."""
    script = """
import sys
from pathlib import Path
from reflexdb.build.store import DirectoryStore
from tests.build.images import image
store = DirectoryStore(Path(sys.argv[1]))
big = image(b"x" * 3_000_000)
print("ready", flush=True)
while True:
    store.remove(store.put(big))
"""
    keeper = DirectoryStore(tmp_path)
    kept = keeper.put(image(b"kept"))
    root = Path(__file__).parents[2]
    for pause_ms in (1, 7, 15, 31, 50):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"},
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(pause_ms / 1_000)
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()

        assert keeper.verify(kept)
        keeper.put(image(b"kept"))
        assert all(keeper.verify(digest) for digest in index(tmp_path))
        assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))


def _store(root: str, number: int) -> str:
    return DirectoryStore(Path(root)).put(image(b"binary %d" % (number % 4)))


def test_processes_and_threads_may_store_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        from_processes = pool.starmap(_store, [(str(tmp_path), number) for number in range(12)])
    with ThreadPoolExecutor(4) as threads:
        from_threads = list(threads.map(lambda number: _store(str(tmp_path), number), range(12)))

    assert from_processes == from_threads
    assert index(tmp_path) == sorted(set(from_threads))
    assert all(DirectoryStore(tmp_path).verify(digest) for digest in from_threads)


@pytest.mark.parametrize("kept", [False, True], ids=["the first image", "beside another"])
def test_a_disk_that_turns_read_only_at_any_write_leaves_nothing_once_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """What can't be removed at once either, as the build's failure can be written down elsewhere."""
    ours = [DirectoryStore(tmp_path / "ours").put(image(name="other"))] if kept else []
    (tmp_path / "ours" / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    before = files_of(tmp_path / "ours")
    store = DirectoryStore(tmp_path / "ours")
    store.tidy()
    for writes in range(100):
        with monkeypatch.context() as disk:
            turns_read_only(disk, after=writes)
            try:
                digest = store.put(image())
            except BuildFailed as exc:
                assert "Read-only" in exc.message  # noqa: PT017 - the last put does not fail
                with pytest.raises(OSError, match="Read-only"):
                    store.tidy()
            else:
                break
        store.tidy()
        whole = store.verify(image().manifest.digest)
        assert index(tmp_path / "ours") == sorted([*ours, *([image().manifest.digest] if whole else [])])
        store.remove(image().manifest.digest)
        assert files_of(tmp_path / "ours") == before

    assert writes > 5
    assert store.verify(digest)


def files_of(root: Path) -> set[str]:
    """But those of the store itself."""
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return files - {"oci-layout", "index.json", ".lock"}


def test_a_store_in_which_nothing_broke_off_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    store.tidy()
    store.put(image())
    monkeypatch.setattr(store, "_sweep", lambda: pytest.fail("it looked"))
    store.tidy()


@pytest.mark.parametrize("between", ["nothing", "sign", "index"])
def test_who_opens_a_store_tidies_what_the_last_one_left(tmp_path: Path, between: str) -> None:
    """Also where it was first used for what removes nothing."""
    digest = DirectoryStore(tmp_path).put(image())
    (tmp_path / "blobs" / "sha256" / ("0" * 64)).write_bytes(b"left")
    (tmp_path / "blobs" / "sha256" / f"{TEMPORARY_PREFIX}x").write_bytes(b"left")
    store = DirectoryStore(tmp_path)
    {"nothing": lambda: None, "sign": lambda: store.sign(digest), "index": store.index}[between]()
    store.tidy()

    assert store.verify(digest)
    assert len(blobs(tmp_path)) == 3
