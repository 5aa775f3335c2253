"""nginx with one worker and fixed bodies, of the same bytes as an answer of ours: what a web server does with no work
at all.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import load, processes
from bench.cases import Case
from bench.contenders.base import MissingError, OverHttp

LONGEST_WORD = 3_000
"""nginx refuses a word of its configuration that does not fit a page; longer bodies are put together from variables."""
LONGEST_BODY = 60_000
"""Longer ones are files."""

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 2048; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  sendfile on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port};
    {places}
  }}
}}
"""


class Nginx(OverHttp):
    name = "nginx"
    about = "one worker, a fixed body as long as ReflexDB's mean answer, from memory; the dump is a file, by sendfile"

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.port = process, port

    def pids(self) -> list[int]:
        return processes.children(self._process.pid)

    def request(self, case: Case, argument: int) -> bytes:
        if case.key == "dump":
            return load.get("/dump")
        return load.post(f"/{case.key}", case.ours(argument), "Authorization: Bearer " + "x" * 73)

    def digests(self, case: Case, arguments: list[int]) -> list[str]:  # noqa: ARG002
        return []  # it says the same to everything


@contextlib.contextmanager
def nginx(sizes: dict[str, int], folder: Path) -> Iterator[Nginx]:
    """`sizes`: bytes of a body, by the case's key; a file for what is too long for a configuration."""
    found = processes.find("nginx")
    if found is None:
        raise MissingError("apt-get install nginx")
    folder.mkdir()
    port, places = processes.free_port(), []
    for key, size in sizes.items():
        if size > LONGEST_BODY:
            (folder / key).write_bytes(b"x" * size)
            places.append(f"location = /{key} {{ alias {folder}/{key}; }}")
        else:
            places.append(fixed(key, size))
    user = "user root;" if processes.is_root() else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, places="\n    ".join(places), user=user))
    command = [found, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(configuration)]
    with processes.program(command, "nginx", port, folder) as process:
        yield Nginx(process, port)


def fixed(key: str, size: int) -> str:
    lengths = [min(LONGEST_WORD, size - start) for start in range(0, size, LONGEST_WORD)]
    words = [f'set ${key}{n} "{"x" * length}";' for n, length in enumerate(lengths)]
    body = "".join(f"${{{key}{n}}}" for n in range(len(lengths)))
    return f'location = /{key} {{ {" ".join(words)} return 200 "{body}"; }}'
