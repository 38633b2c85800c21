"""The training command line and its verbs.   A mistake is one line and exit code 2."""

import os
import signal
import sys

from service.errors import ServiceError
from training.errors import LostProcessError, StoppedError, TrainingError

USER_ERROR, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line. Of processes that train together the first one speaks, or whoever is left."""
    is_first = os.environ.get("RANK", "0") == "0"
    try:
        from training.commands.app import app  # noqa: PLC0415 - Ctrl-C is answered in the seconds that this takes, too

        app()
    except SystemExit as exit_:  # of Typer, which knows Ctrl-C as a number
        if exit_.code == INTERRUPTED and is_first:
            _say("stopped")
        raise
    except KeyboardInterrupt:
        _end("stopped: nothing was read yet", INTERRUPTED, speaks=is_first)
    except StoppedError as error:
        _end(f"stopped: {error}", INTERRUPTED, speaks=is_first)
    except (TrainingError, ServiceError) as error:
        _end(f"error: {error}", USER_ERROR, speaks=is_first or isinstance(error, LostProcessError))
    except OSError as error:
        _end(f"error: {error.filename or 'system'}: {error.strerror or error}", USER_ERROR)


def _end(line: str, code: int, *, speaks: bool = True) -> None:
    if speaks:
        _say(line)
    sys.exit(code)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: so torchrun and clusters stop a run
    main()
