"""Debian's docker-registry on a free port, for tests: open to all, or behind a password or a token service.

Each test that needs one starts its own: it takes a fraction of a second, and its directory is the test's to look into.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers.spawn import free_port, spawn

MISSING = "needs docker-registry (Debian: apt-get install docker-registry)"
USER, PASSWORD = "builder", "s3cr3t-pässword"
_HTPASSWD = f"{USER}:$2b$04$ldO3r2mfhdf2VP.aNv6ggOWUwYlX.Laldz0fRvdxVYAsi7zU9s1GO\n"
"""The password as bcrypt."""
START_LIMIT_S = 60.0


def program() -> str | None:
    return shutil.which("docker-registry")


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    port: int
    root: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def blobs(self) -> list[Path]:
        """The files of all blobs that it has."""
        return sorted(self.root.glob("docker/registry/v2/blobs/sha256/*/*/data"))


@contextmanager
def registry(home: Path, auth: dict[str, Any] | None = None) -> Iterator[RunningRegistry]:
    """`auth` is the registry's own configuration of it; `password()` makes one."""
    binary = program()
    assert binary is not None
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(home / "blobs")}},
        "http": {"addr": f"127.0.0.1:{port}", "relativeurls": True},
        **({"auth": auth} if auth else {}),
    }
    (home / "config.json").write_text(json.dumps(config))  # YAML takes JSON
    process = spawn([binary, "serve", str(home / "config.json")], home / "log", None, home)
    try:
        _wait(process, port, home / "log")
        yield RunningRegistry(port, home / "blobs", process, home / "log")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def password(home: Path) -> dict[str, Any]:
    """Configuration that asks for USER and PASSWORD."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "htpasswd").write_text(_HTPASSWD, encoding="utf-8")
    return {"htpasswd": {"realm": "tests", "path": str(home / "htpasswd")}}


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_LIMIT_S
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code in {200, 401}:
                return
        except httpx.HTTPError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"docker-registry did not come up: {log.read_text(errors='replace')}") from error
        time.sleep(0.05)
