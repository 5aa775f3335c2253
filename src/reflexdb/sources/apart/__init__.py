"""Sources asked in processes that can be ended, whatever a driver or a server does: `Asking` and the questions."""

from __future__ import annotations

from reflexdb.sources.apart.asking import MEANT, VARIABLES, Asking, Deadlines, within
from reflexdb.sources.apart.questions import (
    Drop,
    Following,
    Introspect,
    KeptBytes,
    Kind,
    Preflight,
    Question,
    Succeed,
    TakeSample,
    Test,
)

__all__ = [
    "MEANT",
    "VARIABLES",
    "Asking",
    "Deadlines",
    "Drop",
    "Following",
    "Introspect",
    "KeptBytes",
    "Kind",
    "Preflight",
    "Question",
    "Succeed",
    "TakeSample",
    "Test",
    "within",
]
