"""/metrics, /ready and /live over HTTP, on a port of its own.   Knows an address; knows no series."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from service.errors import SettingsError
from service.settings import join_address, split_address, why_unusable

logger = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

POLL_SECONDS = 0.1


@asynccontextmanager
async def open_metrics_server(
    address: str, registry: CollectorRegistry, is_ready: Callable[[], bool]
) -> AsyncIterator[str]:
    """Serve `/metrics`, `/ready` and `/live`, and nothing else, from a thread until the block ends.

    Args:
        address: HOST:PORT; port 0 takes any free one.
        registry: what `/metrics` shows.
        is_ready: whether requests may come; `/ready` answers 200 then, else 503. Called from threads.

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
    server.set_app(_pages(make_wsgi_app(registry), is_ready))
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


def _pages(show: Application, is_ready: Callable[[], bool]) -> Application:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        page = environ["PATH_INFO"]
        if page == "/metrics":
            return show(environ, start_response)
        if page == "/live":
            status, text = "200 OK", b"live\n"
        elif page == "/ready":
            status, text = ("200 OK", b"ready\n") if is_ready() else ("503 Service Unavailable", b"not ready\n")
        else:
            status, text = "404 Not Found", b"only /metrics, /ready and /live are here\n"
        start_response(status, [("Content-Type", "text/plain")])
        return [text]

    return application
