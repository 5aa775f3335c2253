"""The live API asked by schemathesis, which makes up requests from the description and follows its links.

Half a minute here; `make fuzz-api` looks for longer. What it is answered is judged a second time, like every answer of
the tests (plugin.py).
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.api.api import Api
from tests.api.plane import plane_on

SECONDS = int(os.environ.get("REFLEXDB_FUZZ_S", "25"))
PHASES = (("examples,coverage,fuzzing", 0.6), ("stateful", 0.4))
"""With each one's share of the time: on a busy machine the links would never have their turn after the others."""
LONG_S = 120
"""A busy machine may not come to the links in less."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "use_after_free",
    "ignored_auth",
    "allow_header_conformance",
    "unsupported_method",
)
CONFIGURATION = """[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""
"""That payments are not configured is an answer, where it is documented as one."""

NO_LIMITS = "ApiSettings(rate_limit=0, auth_failures=0)"


@pytest.mark.timeout(SECONDS * 3 + 220)
def test_no_made_up_request_is_answered_otherwise_than_documented(tmp_path: Path, records: URL | None) -> None:
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        db.execute("INSERT INTO users VALUES (1, 'Ada')")
    (tmp_path / "data").mkdir()
    with plane_on(tmp_path / "data", records) as plane:
        api = plane.start(ephemeral=True, api=NO_LIMITS)
        for phases, share in PHASES:
            outcome = fuzz(api, source, tmp_path, phases, max(1, round(SECONDS * share)))
            assert outcome.returncode == 0, outcome.stdout[-20_000:]
        covered = re.search(r"API Links: +(\d+) covered", outcome.stdout)
        assert covered, outcome.stdout
        assert SECONDS < LONG_S or int(covered[1]) > 0, "links were followed to what is there"


def fuzz(api: Api, source: Path, place: Path, phases: str, seconds: int) -> subprocess.CompletedProcess[str]:
    url = str(api.client.base_url)
    own = min(api.get("/account/management-keys"), key=lambda key: key["createdAt"])
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.contract.fuzz_hooks",
        "REFLEXDB_FUZZ_SOURCE": str(source),
        "REFLEXDB_FUZZ_OWN_KEY": own["id"],
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
    }
    (place / "schemathesis.toml").write_text(CONFIGURATION)
    program = Path(sys.executable).parent / "schemathesis"
    command = [
        str(program), "run", f"{url}/v1/openapi.json", "--url", f"{url}/v1",
        "--header", f"Authorization: Bearer {api.key}",
        "--phases", phases, "--checks", ",".join(CHECKS),
        "--max-time", str(seconds), "--seed", "1", "--no-shrink", "--continue-on-failure",
        "--request-timeout", "30", "--suppress-health-check", "all", "--warnings", "off",
    ]  # fmt: skip
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=seconds * 3 + 90, check=False
    )
