"""Python imports this at the start of every process that has this folder in its PYTHONPATH."""

import os

if "REFLEXDB_ANSWERS_SEEN" in os.environ:
    import answers_seen

    answers_seen.listen()
