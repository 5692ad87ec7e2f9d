"""Addresses to serve on are checked before a server starts; a page is known by its origin."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.io.addresses import host_name, require_free, same_origin
from basalt.io.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1", 70_000),
        ("127.0.0.1", -1),
        ("127.0.0.1", 10**30),
        ("256.1.1.1", 1),
        ("192.0.2.1", 8501),
        ("a..b", 8501),
        ("x" * 300, 8501),
    ],
)
def test_an_impossible_address_or_port_is_named(address: str, port: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot serve on port {port} of {address}"):
        require_free(address, port)


def test_a_taken_port_is_named_and_a_free_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} .*in use"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8501", "127.0.0.1:8501"),
        ("http://localhost", "localhost:80"),
        ("https://judge.example", "judge.example"),
        ("https://judge.example", "judge.example:443"),
        ("https://Judge.Example", "judge.example"),
        ("http://[::1]:8300", "[::1]:8300"),
    ],
)
def test_a_page_speaks_to_the_server_that_it_came_from(origin: str, host: str) -> None:
    assert same_origin(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "http://127.0.0.1:9999", "http://127.0.0.1", "https://127.0.0.1:8501.evil.example", "http://evil.example",
        "http://localhost:8501", "file://127.0.0.1:8501", "127.0.0.1:8501", "http://[", "http://127.0.0.1:x",
    ],
)  # fmt: skip
def test_other_pages_do_not(origin: str) -> None:
    """Another port of the same machine is another page; cookies alone would not know it."""
    assert not same_origin(origin, "127.0.0.1:8501")


ODD = st.one_of(st.text(), st.sampled_from(["http://[", "//[::1", "[", "http://[v1.]", "a:b:c]"]))


@given(origin=ODD, host=ODD)
def test_any_header_can_be_looked_at(origin: str, host: str) -> None:
    assert same_origin(origin, host) in (True, False)
    assert isinstance(host_name(host), str)
    assert not same_origin(origin, "judge.example")
