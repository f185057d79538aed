"""Only names of this very machine count as this machine, however a page dresses up its own."""

import pytest

from wwwserve.values.hosts import is_loopback_host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "demo.localhost:1",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]:80",
        "::1",
    ],
)
def test_this_machine(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":80",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "evil.example#127.0.0.1",
        "0.0.0.0",  # noqa: S104 - a name to refuse
        "192.168.0.1:80",
        "[::ffff:192.0.2.1]:80",
        "[fe80::1]",
        "[",
        "xlocalhost",
    ],
)
def test_any_other(host: str) -> None:
    assert not is_loopback_host(host)
