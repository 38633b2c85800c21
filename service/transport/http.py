"""/metrics over HTTP, on a port of its own.   Knows an address; knows no series."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from service.errors import SettingsError
from service.metrics import Metrics
from service.settings import join_address, split_address, why_unusable

logger = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

POLL_SECONDS = 0.1


@asynccontextmanager
async def open_metrics_server(address: str, metrics: Metrics) -> AsyncIterator[str]:
    """Serve `/metrics`, and nothing else, from a thread until the block ends.

    Args:
        address: HOST:PORT; port 0 takes any free one.
        metrics: what is shown.

    Yields:
        HOST:PORT with the port that was bound.

    Raises:
        SettingsError: the address cannot be bound.
    """
    host, port = split_address(address)
    try:
        server = _server_class(host, port)((host, port), _QuietHandler)
    except (OSError, UnicodeError) as error:
        problem = f"metrics_address {address} cannot be used: {why_unusable(error)}"
        raise SettingsError(problem, setting="metrics_address") from error
    server.set_app(_only_metrics(make_wsgi_app(metrics.registry)))
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="metrics", daemon=True)
    thread.start()
    bound = join_address(host, server.server_port)
    logger.info("metrics_listening address=%s", bound)
    try:
        yield bound
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: a scrape every few seconds is no event."""

    timeout = 10  # seconds without a byte; a silent client must not hold a thread

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""


def _server_class(host: str, port: int) -> type[ThreadingWSGIServer]:
    """The server for the address family of a host. It looks no names up, which could wait for a DNS server."""

    class Server(ThreadingWSGIServer):
        address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

        def server_bind(self) -> None:
            TCPServer.server_bind(self)
            self.server_name, self.server_port = host, self.socket.getsockname()[1]
            self.setup_environ()

    return Server


def _only_metrics(show: Application) -> Application:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return show(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"only /metrics is here\n"]

    return application
