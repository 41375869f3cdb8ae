"""Addresses as gRPC writes them become bound sockets."""

import socket
from pathlib import Path

import pytest

from couponry.frontend.native_ports import Port, bind


def bound(address: str) -> Port:
    return bind(address, reuse_port=False, tls=None)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "0.0.0.0:0", "ipv4:127.0.0.1:0", "dns:///127.0.0.1:0", "127.0.0.1"])
def test_an_ipv4_address_is_bound_to_a_free_port(address: str) -> None:
    port = bound(address)
    try:
        assert [each.family for each in port.sockets] == [socket.AF_INET]
        assert port.number == port.sockets[0].getsockname()[1] > 0
    finally:
        port.close()


def test_all_addresses_of_a_name_share_one_port() -> None:
    port = bound("localhost:0")
    try:
        assert {each.getsockname()[1] for each in port.sockets} == {port.number}
    finally:
        port.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address_is_bound_in_brackets() -> None:
    try:
        port = bound("[::1]:0")
    except RuntimeError:
        pytest.skip("this machine has no IPv6 address")
    try:
        assert port.sockets[0].getsockname()[0] == "::1"
    finally:
        port.close()


def test_several_processes_may_share_a_port_where_they_say_so() -> None:
    first = bind("127.0.0.1:0", reuse_port=True, tls=None)
    second = bind(f"127.0.0.1:{first.number}", reuse_port=True, tls=None)
    first.close()
    second.close()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:notaport", "127.0.0.1:99999", "203.0.113.1:1", "unix:/not/there/x.sock"]
)
def test_an_address_that_cannot_be_bound_is_named(address: str) -> None:
    with pytest.raises(RuntimeError, match=r"^Failed to bind to address "):
        bound(address)


def test_a_unix_socket_is_removed_with_its_port(tmp_path: Path) -> None:
    for address in (f"unix:{tmp_path}/a.sock", f"unix://{tmp_path}/b.sock"):
        port = bound(address)
        assert port.path is not None
        assert port.path.is_socket()
        port.close()
        assert not port.path.exists()


def test_an_abstract_unix_socket_leaves_no_file() -> None:
    port = bound("unix-abstract:couponry-test")
    assert port.sockets[0].getsockname() == b"\0couponry-test"
    assert port.path is None
    port.close()
