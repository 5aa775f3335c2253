"""Prints what is made from code, so that it cannot say anything else: pages of `docs/reference`, parts of others.

Called by `make format` to write them and by `make check` and the tests with `--check`, which ends with 1 and names
every page that is not current. Knows where each fact lives, and no fact itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from reflexdb.api import settings
from reflexdb.cli.exits import MEANINGS
from reflexdb.cli.main import app
from reflexdb.control.billing_config import SETTINGS
from reflexdb.control.rollouts import ABORTED, ROLLED_BACK
from reflexdb.model import errors, lifecycle, plans, sizes
from reflexdb.sources.apart import MEANT, VARIABLES, Deadlines
from reflexdb.sources.mysql import grants as mysql_grants
from reflexdb.sources.postgres import grants as postgres_grants

Parts = dict[str, Callable[[], str]]

ROOT = Path(__file__).resolve().parent.parent
COMPLETION = ("install_completion", "show_completion")
PRINTED = "<!-- Printed by tools/docs.py; change the code, then run `make format`. -->"

ENDS = {
    "interrupted": "the control plane ended while it was made; ask for it again",
    ABORTED: "a deployment in steps answered worse than the one before and was called off",
    ROLLED_BACK: "a deployment answered worse than the one before and was put back by itself",
}


def main(arguments: list[str]) -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the code says; run `make format`")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path])
        print(f"printed {path.relative_to(ROOT)}")
    return 0


def pages() -> dict[Path, str]:
    makers: dict[str, Callable[[], str]] = {
        "docs/reference/cli.md": cli_page,
        "docs/reference/errors.md": errors_page,
        "docs/reference/plans.md": plans_page,
        "docs/reference/settings.md": settings_page,
    }
    parts: dict[str, Parts] = {
        "docs/explain/lifecycle.md": {
            "actions": lifecycle.markdown,
            "events": lambda: f"```mermaid\n{lifecycle.mermaid()}\n```",
            "sizes": sizes.markdown,
        },
        "docs/explain/logical-replication.md": {"grants": postgres_grants.markdown},
        "docs/explain/binlog.md": {"grants": mysql_grants.markdown},
    }
    whole = {ROOT / name: make() for name, make in makers.items()}
    return whole | {ROOT / name: filled((ROOT / name).read_text(), made) for name, made in parts.items()}


def filled(page: str, parts: Parts) -> str:
    """A page that people write, with every part between `<!-- printed: NAME -->` and `<!-- end -->` made anew."""
    for name, make in parts.items():
        head, begin, rest = page.partition(f"<!-- printed: {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        assert end, f"the page has no place for {name}"
        page = f"{head}{begin}\n{make()}\n\n{end}{tail}"
    return page


def cli_page() -> str:
    """Every command with its arguments and options, and what the exit codes mean."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    lines = [PRINTED, "# The command line", ""]
    lines += ["`reflexdb COMMAND --help` says the same. Options of `reflexdb` itself stand before the command.", ""]
    lines += parameters(root)
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    for path, command in commands(root, "reflexdb"):
        lines += ["", f"## `{path}`", "", usage(path, command), "", (command.help or "").strip()]
        lines += ["", *parameters(command)]
    return "\n".join(lines) + "\n"


def commands(group: TyperGroup, path: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path} {name}")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{path} {name}", command


def usage(path: str, command: TyperCommand) -> str:
    words = [path]
    for parameter in command.params:
        if isinstance(parameter, TyperArgument):
            name = argument_name(parameter)
            words.append(name if parameter.required else f"[{name}]")
    return f"    {' '.join([*words, '[OPTIONS]'])}"


def argument_name(parameter: TyperArgument) -> str:
    return (parameter.metavar or parameter.name or "").strip("[]").upper()


def parameters(command: TyperCommand | TyperGroup) -> list[str]:
    """A table of arguments and options; the ones every program has are left out."""
    rows = []
    for parameter in command.params:
        if isinstance(parameter, TyperArgument):
            rows.append(f"| `{argument_name(parameter)}` | {cell(parameter.help)} |")
        elif isinstance(parameter, TyperOption) and parameter.name not in {"help", *COMPLETION}:
            names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
            rows.append(f"| {names} | {cell(parameter.help)}{extras(parameter)} |")
    return ["| argument, option | |", "|---|---|", *rows] if rows else []


def extras(option: TyperOption) -> str:
    """Environment variable, choices and default, where there are any."""
    found = []
    if option.envvar:
        found.append(f"Also `${option.envvar}`.")
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        found.append("One of " + ", ".join(f"`{choice.value}`" for choice in kind) + ".")
    default = getattr(option.default, "value", option.default)
    if default not in (None, False, "") and not option.secondary_opts:
        found.append(f"Default `{default:g}`." if isinstance(default, float) else f"Default `{default}`.")
    return " " + " ".join(found) if found else ""


def cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def again(kinds: Sequence[type[errors.ReflexError]]) -> str:
    temporary = {kind.temporary for kind in kinds}
    return "as its message says" if len(temporary) > 1 else "yes" if temporary == {True} else "no"


def errors_page() -> str:
    """Every code of `model/errors.py` with who is at fault, whether to retry, and the tree it stands in."""
    rows = ["| code | whose | try again | raised as |", "|---|---|---|---|"]
    by_code: dict[str, list[type[errors.ReflexError]]] = {}
    for kind in walk(errors.ReflexError):
        if not kind.__name__.startswith("_"):
            by_code.setdefault(kind.code, []).append(kind)
    for code, kinds in sorted(by_code.items()):
        names = ", ".join(f"`{kind.__name__}`" for kind in kinds)
        rows.append(f"| `{code}` | {whose(kinds[0])} | {again(kinds)} | {names} |")
    tree = (errors.__doc__ or "").strip()
    return "\n".join(
        [
            PRINTED,
            "# Error codes",
            "",
            'The control plane answers an error as `{"error": code, "message": text}`; a database whose build or',
            "deployment failed carries the same message in `lastError`. The query API has codes of its own, listed in",
            "[query language](query-language.md).",
            "",
            *rows,
            "",
            "Builds and deployments that ended without an error of their own have these as `error.code`:",
            "",
            "| code | meaning |",
            "|---|---|",
            *(f"| `{code}` | {meaning} |" for code, meaning in sorted(ENDS.items())),
            "",
            "```text",
            tree,
            "```",
            "",
        ]
    )


def plans_page() -> str:
    """`tools/plans.md` with the table of plans and the settings in the places it has for them."""
    text = (ROOT / "tools" / "plans.md").read_text()
    variables = [f"| `{name}` | {cell(meaning)} |" for name, meaning in SETTINGS]
    rows = "\n".join(["| variable | meaning |", "|---|---|", *variables])
    return f"{PRINTED}\n" + text.replace("{{plans}}", plans.markdown()).replace("{{settings}}", rows)


def settings_page() -> str:
    """Every setting of the API, with its default and the reason for it."""
    lines = [
        PRINTED,
        "# Settings of the API",
        "",
        "Options of `reflexdb serve`, or variables of its environment; an option is stronger. They hold for one",
        "process. The other options of `serve` are in [commands](cli.md).",
        "",
        "| option | variable | default | least | meaning | why this default |",
        "|---|---|---|---|---|---|",
    ]
    for each in settings.NUMBERS:
        cells = f"`{each.option}` | `{each.variable}` | {each.default} | {each.least}"
        lines.append(f"| {cells} | {cell(each.help)} | {cell(each.why)} |")
    for option, variable, text in (
        ("--cors-origin", settings.CORS_ORIGIN_VARIABLE, settings.CORS_ORIGIN_HELP),
        ("--cors-credentials", settings.CORS_CREDENTIALS_VARIABLE, settings.CORS_CREDENTIALS_HELP),
    ):
        lines.append(f"| `{option}` | `{variable}` | none | | {cell(text)} | No page has a reason to, until it has. |")
    lines += [
        "",
        "How long a source may take, in seconds, is said by variables alone. A deadline counts from the start of a",
        "question, or of the last table that is read; the error names the source, the question and the variable.",
        "",
        "| variable | default | of |",
        "|---|---|---|",
        *(f"| `{VARIABLES[kind]}` | {Deadlines().of(kind):g} | {text} |" for kind, text in MEANT.items()),
        "",
        "Fixed: a body has at most 1 MiB, headers 32 KiB in 100 fields, an address 8 KiB, JSON 32 levels. Several",
        "origins in the variable stand side by side, with spaces between.",
        "",
    ]
    return "\n".join(lines)


def walk(kind: type[errors.ReflexError]) -> Iterator[type[errors.ReflexError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from walk(child)


def whose(kind: type[errors.ReflexError]) -> str:
    if issubclass(kind, errors.UserError):
        return "the caller"
    if issubclass(kind, errors.SourceError):
        return "the source database"
    return "ReflexDB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
