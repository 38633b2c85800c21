"""The `seqserve` command: one line and an exit code for whatever goes wrong.

Its verbs are in `seqserve.command.verbs`, which needs the extra `cli`; the client does not.
"""

import contextlib
import importlib
import sys
from collections.abc import Sequence

from seqserve.errors import SeqserveError

EXTRA = {"rich", "typer"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with `arguments`, or the process's own; exit 0, 1 for a server's error, 2 for a wrong usage."""
    try:
        verbs = importlib.import_module("seqserve.command.verbs")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        sys.exit("seqserve: the command needs more than the client: pip install 'seqserve[cli]'")
    try:
        code = verbs.run(arguments)
    except SeqserveError as error:
        sys.exit(f"seqserve: {' '.join(str(error).split())}")
    except OSError as error:  # of standard input or output: a folder, a full disk
        with contextlib.suppress(OSError):
            sys.stdout.close()  # what could not be written would be tried, and fail, once more
        sys.exit(f"seqserve: {error.strerror or error}")
    sys.exit(code)
