"""A port for several processes of one server, and for no other server."""

import socket
import sys
from contextlib import ExitStack

import pytest

from service.errors import SettingsError
from service.settings import split_address
from service.transport.port import own_port, shared_port, try_to_bind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares ports")


def listener(address: str, *, shared: bool) -> socket.socket:
    """A socket that listens as gRPC's do."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    made.bind(split_address(address))
    made.listen()
    return made


def test_processes_of_the_server_listen_on_the_port_that_was_found() -> None:
    with shared_port("127.0.0.1:0") as address, listener(address, shared=True), listener(address, shared=True):
        try_to_bind(address, port_shared=True)
        with pytest.raises(OSError, match="in use"):
            try_to_bind(address)


def test_a_second_server_is_refused_even_before_anybody_listens() -> None:
    with shared_port("127.0.0.1:0") as address:
        for join in (shared_port, own_port):
            with (
                pytest.raises(
                    SettingsError, match=f"^grpc_address {address} cannot be used: another seqserve server has"
                ),
                join(address),
            ):
                pass


def test_a_port_on_which_a_stranger_listens_is_refused_though_the_kernel_would_share_it() -> None:
    with ExitStack() as stack:
        with shared_port("127.0.0.1:0") as address:
            pass
        stack.enter_context(listener(address, shared=True))
        with pytest.raises(SettingsError, match="Address already in use"), shared_port(address):
            pass


def test_a_server_on_all_addresses_has_the_port_of_each_before_anybody_listens() -> None:
    with shared_port("0.0.0.0:0") as address:
        one = f"127.0.0.1:{split_address(address)[1]}"
        for join in (shared_port, own_port):
            with pytest.raises(SettingsError, match=f"^grpc_address {one} cannot be used: another seqserve"), join(one):
                pass


def test_the_port_is_free_again_afterwards() -> None:
    with shared_port("127.0.0.1:0") as address:
        pass
    with shared_port(address) as again:
        assert again == address
    with own_port(address):
        try_to_bind(address)


def test_servers_of_one_process_may_all_let_the_system_choose() -> None:
    with own_port("127.0.0.1:0"), own_port("127.0.0.1:0"):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"], ids=["another machine's", "no name"])
def test_an_address_that_cannot_be_bound_is_a_settings_error(host: str) -> None:
    with pytest.raises(SettingsError, match=f"^grpc_address {host}:0 cannot be used"), shared_port(f"{host}:0"):
        pass
