"""A fresh Debian in a folder: made by debootstrap, entered by chroot in namespaces of its own.

Nothing is mounted once a command has ended, since the mounts are in its namespace. Only root can make one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGES = REPOSITORY / "build" / "machines"
"""Downloaded packages, kept between runs."""
MAKE_LIMIT_S = 1200.0
USER = "anna"
ENTER = (
    "mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && mount --rbind /sys {root}/sys && "
    'exec chroot {userspec} {root} /bin/bash -c "$1"'
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A Debian whose root is `root`."""

    root: Path
    suite: str

    def run(self, script: str, *, user: str = "root", limit_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a script of bash with an empty environment but for the settings of package clients."""
        enter = ENTER.format(root=self.root, userspec=f"--userspec={user}:{user}")
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/bash", "-c", enter, "enter", script]
        home = "/root" if user == "root" else f"/home/{user}"
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False, errors="replace"
        )

    def install(self, *packages: str) -> None:
        said = self.run(
            f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}", limit_s=900.0
        )
        assert said.returncode == 0, said.stdout[-2000:] + said.stderr[-2000:]

    def clone(self, folder: str, owner: str) -> None:
        """The committed state of this repository in the machine's `folder`."""
        place = self.root / folder.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", REPOSITORY, place], check=True)
        said = self.run(f"chown -R {owner}:{owner} '{Path(folder).parent}'")
        assert said.returncode == 0, said.stderr


@contextmanager
def machine(suite: str, place: Path, packages: Sequence[str]) -> Iterator[Machine]:
    """A minimal installation of the suite with the packages and a user. It is removed afterwards."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    root = place / suite
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", f"--cache-dir={PACKAGES}", suite, root]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_LIMIT_S, check=False)
        assert said.returncode == 0, said.stdout[-2000:] + said.stderr[-2000:]
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        if certificates := os.environ.get("PIP_CERT"):
            shutil.copy(certificates, root / certificates.lstrip("/"))
        made = Machine(root, suite)
        made.install(*packages)
        assert made.run(f"useradd --create-home --shell /bin/bash {USER}").returncode == 0
        yield made
    finally:
        shutil.rmtree(root, ignore_errors=True)
