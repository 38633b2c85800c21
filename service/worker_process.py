"""Entry point of a worker: one of several processes that serve on one port.

Started by `service.workers.supervisor`, never by hand. It ends when it is told to or when the supervisor is gone.
"""

import logging
import signal
import sys

import uvloop

from service.app import serve_as_worker
from service.settings import ServiceSettings


def main() -> None:
    """Serve as the worker of the first argument's number, over the socket of the second, with the third's settings."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the supervisor decides when a worker ends
        signal.signal(number, signal.SIG_IGN)
    worker, descriptor = int(sys.argv[1]), int(sys.argv[2])
    settings = ServiceSettings.model_validate_json(sys.argv[3])
    log_format = f"%(asctime)s %(levelname)s worker-{worker} %(name)s %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), format=log_format, stream=sys.stderr)
    uvloop.run(serve_as_worker(settings, descriptor))


if __name__ == "__main__":
    main()
