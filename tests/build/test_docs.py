"""The pages about this room say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from reflexdb.build.image import assemble
from reflexdb.build.process import MAX_OUTPUT_BYTES, Limits
from reflexdb.model import config as rules
from reflexdb.model.config import parse_config
from reflexdb.model.document import MAX_BYTES, MAX_DEPTH, MAX_NODES

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_example_of_reflexdb_yaml_is_valid_and_shows_every_key() -> None:
    text = page("reference/schema-config.md")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)

    assert parse_config(examples[0]).tables
    for example in examples:
        parse_config(example if example.startswith("version") else f"version: 1\n{example}")
    refused = {"schemas"}
    for key in {*rules._FILE, *rules._TABLE, *rules._SYNC} - refused:
        assert any(f"{key}:" in example for example in examples), key
        assert re.search(rf"`{key}(`|\.)", text), key


def test_the_limits_in_the_pages_are_those_in_the_code() -> None:
    limits = Limits()

    assert f"{MAX_BYTES >> 20} MiB, {MAX_DEPTH} levels, {MAX_NODES:,} values" in page("reference/schema-config.md")
    text = page("explain/images.md")
    assert f"wall time ({limits.wall_s / 60:.0f} minutes), CPU time ({limits.cpu_s // 60} minutes)" in text
    assert f"memory ({limits.memory_bytes >> 30} GiB)" in text
    assert f"captured output ({MAX_OUTPUT_BYTES >> 10} KiB)" in text


def test_the_page_about_images_shows_the_real_entry_point() -> None:
    config = json.loads(assemble(b"", {"plan_fingerprint": ""}, "amd64", "0").config.content)

    assert f"`{' '.join(config['config']['Entrypoint'])}`" in page("explain/images.md")
