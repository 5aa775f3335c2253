"""How the control plane may be observed: the words an operator chooses from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogForm(StrEnum):
    JSON = "json"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Observing:
    """What the operator chose."""

    log_level: LogLevel = LogLevel.INFO
    log_form: LogForm | None = None
    """In which form the log goes to standard error too; None: only to logs/control.log, as JSON."""
    metrics_listen: str | None = None
    """HOST:PORT that serves metrics and nothing else, to whoever reaches it."""
    metrics_token_file: Path | None = None
    """Holds the token that GET /metrics asks for."""
