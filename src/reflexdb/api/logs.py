"""The control plane's log: every event is one line, with what it is about as fields, whoever wrote it.

Put up by `serve`. Our own events and those of libraries pass the same processors: JSON lines go to logs/control.log,
which is limited in size, and to standard error what the operator asked for. A line cannot be forged: whatever is not
printable is escaped, so that each event stays on one line. Nothing that looks like a credential is written, should one
ever be handed over; what is handed over is chosen where it is written.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from reflexdb.model.observing import LogForm, LogLevel

MAX_FILE_BYTES = 32 << 20
KEPT_FILES = 4
MAX_VALUE_CHARS = 8_000

_CREDENTIALS = re.compile(
    r"(?P<kept>\b(?:rmk|rxk)_[0-9A-Za-z]{1,64}\.|\b(?:sk|rk|whsec|pk)_(?:live_|test_)?|\b[Bb]earer\s+|://[^/\s:@]{1,200}:)"
    r"(?P<secret>[^\s\"',;@]{6,})"
)


@contextmanager
def logging_to(path: Path, at_least: LogLevel = LogLevel.INFO, form: LogForm | None = None) -> Iterator[None]:
    """Everything logged inside goes to the file and, in this form, to standard error; afterwards all is as it was."""
    level = logging.getLevelNamesMapping()[at_least.upper()]
    handlers = _handlers(path, form)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=_named,
        cache_logger_on_first_use=False,
    )
    loggers = {"": logging.WARNING, "reflexdb": level, "uvicorn": max(level, logging.INFO)}
    former = {name: logging.getLogger(name).level for name in loggers}
    for name, chosen in loggers.items():
        logging.getLogger(name).setLevel(chosen)
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        structlog.reset_defaults()
        for name, was in former.items():
            logging.getLogger(name).setLevel(was)
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


class _LogFile(RotatingFileHandler):
    """The library's would put every line together twice, once to know whether it still fits."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: ARG002, N802  # the library's name
        """Whether the file is full: it may exceed its size by one line."""
        if self.stream is None:
            self.stream = self._open()
        return os.fstat(self.stream.fileno()).st_size >= self.maxBytes


def _named(*_: object) -> logging.Logger:
    return logging.getLogger("reflexdb")


def _handlers(path: Path, form: LogForm | None) -> list[logging.Handler]:
    file = _LogFile(path, maxBytes=MAX_FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8")
    file.setFormatter(_formatter(LogForm.JSON))
    if form is None:
        return [file]
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(_formatter(form))
    return [file, console]


def _formatter(form: LogForm) -> logging.Formatter:
    last: list[Processor] = [structlog.processors.EventRenamer("action"), structlog.processors.JSONRenderer()]
    if form is LogForm.CONSOLE:
        last = [_line]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_library, *_shared()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        _plain,
    ]


def _library(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What a library says is the text of an event, not its name."""
    record = event["_record"]
    if record.exc_info:
        event["exc_info"] = record.exc_info
    return {**event, "event": "library", "logger": record.name, "text": event["event"]}


def _plain(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Every value bounded and without anything that looks like a credential."""
    return {name: value if name.startswith("_") else _bounded(value) for name, value in event.items()}


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _bounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_bounded(each) for each in value]
    return _CREDENTIALS.sub(r"\g<kept>[hidden]", str(value))[:MAX_VALUE_CHARS]


def _line(_logger: Any, _method: str, event: EventDict) -> str:
    """An event for people, on one line: time, level, what, and the rest as name=value."""
    time, level, what = (event.pop(name, "") for name in ("ts", "level", "event"))
    rest = " ".join(f"{name}={_shown(value)}" for name, value in event.items() if value is not None)
    return f"{_shown(time)} {_shown(level):<7} {_shown(what)} {rest}".rstrip()


def _shown(value: Any) -> str:
    text = str(value)
    if text.isprintable() and not re.search(r"[\s\"=\\]", text) and text:
        return text
    escaped = "".join(
        character if character.isprintable() and character not in '"\\' else _escaped(character) for character in text
    )
    return f'"{escaped}"'


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else character.encode("unicode_escape").decode("ascii")
