"""`python -m reflexdb.build s3://bucket/prefix/tasks/ID`: make the image that a control plane asks for.

What a CodeBuild project runs (codebuild.py starts it). It reads the task, compiles, and puts the image, unsigned,
beside the task; the control plane compares, tries and signs it. No key and no address of a database is ever here. Exit
status: 0 where an image was made, 1 where the build failed (the outcome beside the task says why), 2 where nobody could
be told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from reflexdb.build.aws import boto
from reflexdb.build.errand import Errand
from reflexdb.build.local import LocalBuilder
from reflexdb.model.errors import BuildFailed, ReflexError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m reflexdb.build", description="Make the image a task asks for.")
    parser.add_argument("task", metavar="S3_ADDRESS", help="where the control plane put the task")
    address = parser.parse_args(arguments).task
    try:
        errand = Errand(address, boto())
        return _carried_out(errand)
    except ReflexError as exc:
        _say(f"FAILED: {exc.message}")
        return 2


def _carried_out(errand: Errand) -> int:
    try:
        task = errand.task()
        with tempfile.TemporaryDirectory(prefix="reflexdb-build-") as scratch:
            directory = Path(scratch)
            parts = LocalBuilder(directory).remake(task.plan, task.config_text, directory, _say, fresh=False)
    except BuildFailed as exc:
        _say(f"FAILED {exc.step}: {exc.message}")
        errand.put_failure(exc.step, exc.message)
        return 1
    errand.put_image(parts)
    _say(f"made {parts.manifest.digest}, {parts.size_bytes:,} bytes")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - its output is the build's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
