"""The process that answers one question about a source: `python -m reflexdb.sources.apart`.

The question comes on standard input, and the answer goes out on standard output. The asking process holds standard
input open: once it ends, the question was called off, or that process died. Then the servers are told to give up the
statements of this process, and it ends. Secrets come in no other way than on standard input.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import IO, Any

from reflexdb.model.errors import ReflexError
from reflexdb.sources import sessions
from reflexdb.sources.apart.frames import Answer, At, Crash, Frame, Refusal, put, take
from reflexdb.sources.apart.questions import Question

END_WITHIN_S = 5
"""Telling the servers takes no longer."""


def main() -> int:
    question_file, answer_file = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for whoever asks
    sessions.watch()
    try:
        question: Question[Any] = take(question_file)
    except EOFError:
        return 0
    threading.Thread(target=_end_with, args=(question_file,), daemon=True).start()
    put(answer_file, _outcome(question, answer_file))
    return 0


def _outcome(question: Question[Any], answer_file: IO[bytes]) -> Frame:
    try:
        return Answer(question.answer(lambda doing: put(answer_file, At(doing))))
    except ReflexError as exc:
        return Refusal(type(exc).__name__, exc.message)
    except Exception as exc:
        traceback.print_exc()
        return Crash(type(exc).__name__)


def _end_with(file: IO[bytes]) -> None:
    """Wait until nobody asks any more, then leave nothing behind."""
    file.read()
    signal.setitimer(signal.ITIMER_REAL, END_WITHIN_S)  # SIGALRM ends the process, whatever a driver waits for
    sessions.end_all()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
