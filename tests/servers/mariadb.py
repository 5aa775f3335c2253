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

from tests.servers import unpacked
from tests.servers.shared import Server
from tests.servers.spawn import free_port, run, spawn, unprivileged

PASSWORD = "reflex-admin-ä'\"\\"
MISSING = "needs mariadbd (Debian: apt-get install mariadb-server)"
NEXT_MISSING = "needs mariadbd of the next release (on Debian: tools/fetch-test-servers.sh all)"
_INSTALLING = ("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync")


def binary() -> str | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which("mariadbd", path=path) and (
        shutil.which("mariadb-install-db", path=path) and shutil.which("mariadbd", path=path)
    )


def next_root() -> Path | None:
    """The unpacked MariaDB of the next release of Debian."""
    return unpacked.root("mariadb-next")


def start(home: Path, *options: str, root: Path | None = None) -> tuple[subprocess.Popen[bytes], Server]:
    """`options` come last, and so count. `root` is that of an unpacked server; None for the installed one."""
    owner = unprivileged("mysql")
    data, log, sock = home / "data", home / "log", home / "s"
    init = home / "init.sql"
    hashed = hashlib.sha1(hashlib.sha1(PASSWORD.encode()).digest()).hexdigest().upper()
    init.write_text(  # one statement a line, and read in the server's idea of a character set: hence the hash
        "SET sql_log_bin = 0;\n"  # a server that is started again does not log it again
        f"CREATE USER IF NOT EXISTS admin@'%' IDENTIFIED VIA mysql_native_password USING '*{hashed}';\n"
        "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
        "DELETE FROM mysql.global_priv WHERE User='';\n"
        "FLUSH PRIVILEGES;\n",
        encoding="ascii",
    )
    home.chmod(0o755)
    if owner is not None:
        os.chown(home, *owner)
    if root is None:
        command = [str(binary()), "--no-defaults"]
        installer = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-log-bin",
            *_INSTALLING,
        ]
        run(installer, log, owner, home)
    else:
        command = [*unpacked.program(root, "usr/sbin/mariadbd"), "--no-defaults", f"--basedir={root}/usr"]
        command.append(f"--plugin-dir={root}/usr/lib/mysql/plugin")
        _bootstrap(command, root, home, owner)
    port = free_port()
    process = spawn(
        [
            *command,
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
    wait(process, server, log)
    return process, server


def _bootstrap(command: list[str], root: Path, home: Path, owner: tuple[int, int] | None) -> None:
    """What mariadb-install-db does, whose own programs would not find the unpacked libraries."""
    (home / "data").mkdir()
    if owner is not None:
        os.chown(home / "data", *owner)
    parts = [
        f"mariadb_{name}.sql" for name in ("system_tables", "performance_tables", "system_tables_data", "sys_schema")
    ]
    statements = home / "bootstrap.sql"
    texts = [(root / "usr/share/mariadb" / name).read_text(encoding="utf-8") for name in parts]
    statements.write_text(
        "\n".join(("CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = NULL;", *texts)), encoding="utf-8"
    )
    bootstrap = [*command, f"--datadir={home / 'data'}", "--bootstrap", "--enforce-storage-engine=", *_INSTALLING]
    run(bootstrap, home / "log", owner, home, statements)


def start_next(home: Path) -> tuple[subprocess.Popen[bytes], Server]:
    return start(home, root=next_root())


def wait(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    """Until the server lets its administrator in."""
    give_up = time.monotonic() + 60
    while True:
        try:
            connect(server).close()
        except pymysql.err.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(
                    f"the server did not come up ({error}): {log.read_text(errors='replace')[-3000:]}"
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
