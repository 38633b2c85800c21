"""A port that several processes of one server listen on, and no other server.   Linux shares it out by connection.

The kernel lets every process of a user join a shared port. So a server first takes a lock on the port, whatever the
address, for `0.0.0.0` is all of them; then it tries to bind the address as anyone would, which fails where somebody
listens; and then it holds it with a socket that never listens.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import SettingsError
from service.settings import join_address, split_address, why_unusable

SETTING = "grpc_address"


@contextmanager
def shared_port(address: str) -> Iterator[str]:
    """Hold an address for the processes of this server until the block ends.

    Args:
        address: HOST:PORT; port 0 takes any free one.

    Yields:
        HOST:PORT with the port that is held.

    Raises:
        SettingsError: another server has it, it cannot be bound, or this system does not share ports.
    """
    if sys.platform != "linux":
        raise SettingsError("workers is more than 1, and only Linux shares a port among processes", setting="workers")
    host, port = split_address(address)
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(socket.AF_UNIX) as lock, socket.socket(family, socket.SOCK_STREAM) as placeholder:
            if port:
                _lock(lock, port, address)
                try_to_bind(address)
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            placeholder.bind(where)
            if not port:
                _lock(lock, placeholder.getsockname()[1], address)
            bound = join_address(host, placeholder.getsockname()[1])
            yield bound
    except (OSError, UnicodeError) as error:
        raise unusable(address, error) from error


@contextmanager
def own_port(address: str) -> Iterator[None]:
    """Keep servers with several processes away from a port until the block ends; it may be bound all the same.

    Raises:
        SettingsError: such a server has it.
    """
    _, port = split_address(address)
    if sys.platform != "linux" or not port:  # a port that the system chooses is nobody else's
        yield
        return
    with socket.socket(socket.AF_UNIX) as lock:
        _lock(lock, port, address)
        yield


def try_to_bind(address: str, *, port_shared: bool = False) -> None:
    """Bind an address as gRPC will, and let go: unlike gRPC, a socket says what is wrong.

    Raises:
        OSError: it cannot be bound.
        UnicodeError: its host is no name.
    """
    host, port = split_address(address)
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port_shared:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        attempt.bind(where)


def unusable(address: str, error: OSError | UnicodeError) -> SettingsError:
    """The error that says why an address cannot be used."""
    return SettingsError(f"{SETTING} {address} cannot be used: {why_unusable(error)}", setting=SETTING)


def _lock(lock: socket.socket, port: int, address: str) -> None:
    """Take the lock of a port: a name that one socket of this network can have, and that goes with its process.

    Raises:
        SettingsError: another server has it.
    """
    try:
        lock.bind(f"\0seqserve {port}")
    except OSError as error:
        raise SettingsError(
            f"{SETTING} {address} cannot be used: another seqserve server has port {port}, on this or another address: "
            "give this one another port",
            setting=SETTING,
        ) from error
