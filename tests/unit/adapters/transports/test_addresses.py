"""Addresses read as people write them, and what is none is refused with a sentence."""

import pytest

from wwwserve.adapters.transports.addresses import format_address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("node.example.org:7411", "node.example.org", 7411),
        ("[::1]:65535", "::1", 65_535),
    ],
)
def test_addresses_are_read_and_written_back(text: str, host: str, port: int) -> None:
    assert parse_address(text) == (host, port)
    assert format_address(host, port) == text


@pytest.mark.parametrize(
    "text", ["", ":", "host", "host:", ":80", "host:-1", "host:65536", "host:8o", "::1:80", "h:²"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not host:port"):
        parse_address(text)
