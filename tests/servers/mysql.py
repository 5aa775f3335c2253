"""A private mysqld, unpacked by tools/fetch-test-servers.sh, with the defaults of its version wherever a test does not
need another value; durability off, since its data lives as long as the test run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.servers import mariadb, unpacked
from tests.servers.shared import Server
from tests.servers.spawn import free_port, run, spawn, unprivileged

PASSWORD = mariadb.PASSWORD
MISSING = "needs mysqld (on Debian: tools/fetch-test-servers.sh)"
_QUICK = ("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=OFF")


def root() -> Path | None:
    return unpacked.root("mysql")


def start(home: Path, *options: str) -> tuple[subprocess.Popen[bytes], Server]:
    """`options` come last, and so count."""
    place = root()
    assert place is not None
    owner = unprivileged("mysql")
    data, log, sock = home / "data", home / "log", home / "s"
    init = home / "init.sql"
    escaped = PASSWORD.replace("\\", "\\\\").replace("'", "''")
    init.write_text(  # one statement a line
        "SET sql_log_bin = 0;\n"  # a server that is started again does not log it again
        f"CREATE USER IF NOT EXISTS admin@'%' IDENTIFIED BY '{escaped}';\n"
        "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n",
        encoding="utf-8",
    )
    home.chmod(0o755)
    if owner is not None:
        os.chown(home, *owner)
    command = [
        *unpacked.program(place, "usr/sbin/mysqld"),
        "--no-defaults",
        f"--basedir={place}/usr",
        f"--datadir={data}",
    ]
    tables = [option for option in options if option.startswith("--lower-case-table-names")]
    run([*command, "--initialize-insecure", *_QUICK, *tables], log, owner, home)
    port = free_port()
    process = spawn(
        [
            *command,
            f"--socket={sock}",
            f"--port={port}",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            f"--pid-file={home}/pid",
            f"--tmpdir={home}",
            f"--init-file={init}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--server-id=4711",
            "--sync-binlog=0",
            *_QUICK,
            "--innodb-buffer-pool-size=64M",
            "--innodb-redo-log-capacity=64M",
            "--performance-schema=OFF",
            "--max-connections=200",
            "--max-allowed-packet=256M",
            "--default-time-zone=+02:00",
            *options,
        ],
        log,
        owner,
        home,
    )
    server = Server("127.0.0.1", port, "admin", PASSWORD, str(sock))
    mariadb.wait(process, server, log)
    return process, server


def start_without_gtids(home: Path) -> tuple[subprocess.Popen[bytes], Server]:
    return start(home, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
