"""nginx with one worker and a fixed body: what a web server does with no work at all."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import processes

START_LIMIT_S = 10.0
LONGEST_WORD = 3_000
"""nginx refuses a word of its configuration that does not fit a page; longer bodies are put together from variables."""

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port};
    {words}
    location / {{ return 200 "{body}"; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(program: str, *, body_bytes: int) -> Iterator[tuple[list[int], int]]:
    """A running nginx; gives the worker's process id and the port."""
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-nginx-") as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        lengths = [min(LONGEST_WORD, body_bytes - start) for start in range(0, body_bytes, LONGEST_WORD)]
        words = "\n    ".join(f'set $part{n} "{"x" * length}";' for n, length in enumerate(lengths))
        body = "".join(f"${{part{n}}}" for n in range(len(lengths)))
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port, words=words, body=body))
        command = [program, "-p", folder, "-e", f"{folder}/error.log", "-c", str(configuration)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            yield worker(process, port), port
        finally:
            process.terminate()
            process.wait(START_LIMIT_S)


def worker(process: subprocess.Popen[bytes], port: int) -> list[int]:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            if found := processes.children(process.pid):
                return found
        time.sleep(0.05)
    raise RuntimeError("nginx did not start")
