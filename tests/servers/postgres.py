"""A private PostgreSQL with wal_level=logical; nothing waits for the disk, for its data lives as long as the tests.

Commits are flushed, as by default: replication tells none that is not. The system's own server runs where no version
is asked for; the others are installed by install_postgres.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

from tests.servers import install_postgres
from tests.servers.shared import Server
from tests.servers.spawn import free_port, run, spawn, unprivileged

PASSWORD = "reflex-admin-ä'\"\\ @:/?"
MISSING = "needs postgres (Debian: apt-get install postgresql)"


def missing(version: int | None = None) -> str:
    """Why a test is skipped."""
    return MISSING if version is None else f"needs postgres {version} (tools/install-test-servers.sh all)"


def programs(version: int | None = None) -> Path | None:
    """The directory of initdb and postgres: those of the version, or of the system."""
    if version is None:
        return _system()
    installed = install_postgres.home(version) / "bin"
    if installed.is_dir():
        return installed
    system = _system()
    return system if system is not None and major(system) == version else None


def major(directory: Path) -> int:
    """The version of the server in a directory of programs."""
    said = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].split(".")[0])


def _system() -> Path | None:
    """Debian's newest version, or where PATH says."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("postgres")
    if found is not None:
        candidates.append(Path(found).resolve().parent)
    for directory in candidates:
        if (directory / "postgres").exists() and (directory / "initdb").exists():
            return directory
    return None


def start(home: Path, version: int | None = None, **options: str) -> tuple[subprocess.Popen[bytes], Server]:
    """`options` are settings beside the usual ones."""
    owner = unprivileged("postgres")
    directory = programs(version)
    assert directory is not None
    data, log = home / "data", home / "log"
    secret = home / "secret"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    home.chmod(0o755)
    if owner is not None:
        os.chown(home, *owner)
        os.chown(secret, *owner)
    run(
        [
            str(directory / "initdb"),
            f"--pgdata={data}",
            "--username=admin",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
        log,
        owner,
        home,
    )
    port = free_port()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(home),
        "wal_level": "logical",
        "max_wal_senders": 20,
        "max_replication_slots": 40,
        "max_connections": 200,
        "shared_buffers": "64MB",
        "fsync": "off",
        "full_page_writes": "off",
        "timezone": "Asia/Tokyo",
        "dynamic_shared_memory_type": "mmap",
    }
    command = [str(directory / "postgres"), "-D", str(data)]
    for name, value in (settings | options).items():
        command += ["-c", f"{name}={value}"]
    process = spawn(command, log, owner, home)
    server = Server("127.0.0.1", port, "admin", PASSWORD, str(home))
    _wait(process, server, log)
    return process, server


def _wait(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            connect(server).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(
                    f"postgres did not come up ({error}): {log.read_text(errors='replace')[-3000:]}"
                ) from error
            time.sleep(0.05)
        else:
            return


def connect(server: Server, database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        dbname=database,
        connect_timeout=10,
        autocommit=True,
        client_encoding="UTF8",
    )
