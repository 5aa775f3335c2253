"""A private mariadbd with a row-based binary log and GTIDs; durability off, since its data lives as long as the
test run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from tests.servers.shared import Server
from tests.servers.spawn import free_port, run, spawn, unprivileged

PASSWORD = "reflex-admin-ä'\"\\"
MISSING = "needs mariadbd (Debian: apt-get install mariadb-server)"


def binary() -> str | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which("mariadbd", path=path) and (
        shutil.which("mariadb-install-db", path=path) and shutil.which("mariadbd", path=path)
    )


def start(home: Path, *options: str) -> tuple[subprocess.Popen[bytes], Server]:
    """`options` come last, and so count."""
    owner = unprivileged("mysql")
    data, log, sock = home / "data", home / "log", home / "s"
    init = home / "init.sql"
    hashed = hashlib.sha1(hashlib.sha1(PASSWORD.encode()).digest()).hexdigest().upper()
    init.write_text(  # one statement a line, and read in the server's idea of a character set: hence the hash
        f"CREATE USER admin@'%' IDENTIFIED VIA mysql_native_password USING '*{hashed}';\n"
        "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
        "DELETE FROM mysql.global_priv WHERE User='';\n"
        "FLUSH PRIVILEGES;\n",
        encoding="ascii",
    )
    home.chmod(0o755)
    if owner is not None:
        os.chown(home, *owner)
    run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
        ],
        log,
        owner,
        home,
    )
    port = free_port()
    program = binary()
    assert program is not None
    process = spawn(
        [
            program,
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={sock}",
            f"--port={port}",
            f"--pid-file={home}/pid",
            f"--tmpdir={home}",
            f"--init-file={init}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--log-bin=binlog",
            "--server-id=4711",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--binlog-row-metadata=FULL",
            "--gtid-strict-mode=ON",
            "--gtid-domain-id=0",
            "--sync-binlog=0",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=64M",
            "--innodb-file-per-table=OFF",
            "--performance-schema=OFF",
            "--max-connections=200",
            "--max-allowed-packet=256M",
            "--default-time-zone=+02:00",
            "--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
            *options,
        ],
        log,
        owner,
        home,
    )
    server = Server("127.0.0.1", port, "admin", PASSWORD, str(sock))
    _wait(process, server, log)
    return process, server


def _wait(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            connect(server).close()
        except pymysql.err.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(
                    f"mariadbd did not come up ({error}): {log.read_text(errors='replace')[-3000:]}"
                ) from error
            time.sleep(0.05)
        else:
            return


def connect(server: Server, schema: str | None = None, **options: Any) -> Connection[Any]:
    settings: dict[str, Any] = {"autocommit": True, "charset": "utf8mb4", "connect_timeout": 10} | options
    connection: Connection[Any] = pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.encode(),
        database=schema,
        **settings,
    )
    return connection
