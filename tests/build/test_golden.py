"""The planning and printing passes against golden files; `pytest tests/build --update-golden` rewrites them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexdb.build.emit import emit
from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.errors import InvalidConfig, InvalidSchema

from . import golden_text

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.txt"))


def outcome(case: golden_text.Case) -> dict[str, str]:
    """What the passes say now, by section; C++ only where the case asks for it."""
    try:
        config = parse_config(case.sections["config"]) if "config" in case.sections else None
        planned = make_plan(golden_text.schema(case.sections["schema"]), config)
    except InvalidConfig as exc:
        return {
            "findings": f"InvalidConfig at {exc.line}:{exc.column}\n"
            + exc.message.replace("; reflexdb", "\nreflexdb")
            + "\n"
        }
    except InvalidSchema as exc:
        return {"findings": "InvalidSchema\n" + "\n".join(exc.findings) + "\n"}
    said = {"plan": golden_text.show(planned.plan, planned.notes)}
    if "cpp" in case.sections:
        said["cpp"] = emit(planned.plan)
    return said


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_stage_prints_what_its_golden_file_says(path: Path, request: pytest.FixtureRequest) -> None:
    cases = golden_text.read(path)
    actual = [outcome(case) for case in cases]
    if request.config.getoption("--update-golden", default=False):
        for case, said in zip(cases, actual, strict=True):
            case.sections = {name: case.sections[name] for name in ("schema", "config") if name in case.sections} | said
        golden_text.write(path, cases)

    for case, said in zip(cases, actual, strict=True):
        expected = {name: case.sections[name] for name in golden_text.EXPECTED if name in case.sections}
        assert said == expected, f"{path.name}: {case.title}"


def test_there_are_golden_files() -> None:
    assert len(FILES) >= 5
