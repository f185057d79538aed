"""What a setting must look like, whichever section it stands in; each raises `BadInput`."""

import ipaddress
from urllib.parse import urlsplit

from wwwserve.values.ids import parse_node_id
from wwwserve.values.model_names import parse_model_id
from wwwserve.values.refusals import BadInput

PORT_MAX = 65_535


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def validate_address(name: str, text: str, *, is_zero_allowed: bool = False) -> str:
    """Check `host:port` and return its host; port 0 (any free one) only where that makes sense."""
    host, colon, port = text.rpartition(":")
    low = 0 if is_zero_allowed else 1
    if not (colon and host and port.isascii() and port.isdigit() and low <= int(port) <= PORT_MAX):
        raise BadInput(name, text, "host:port", 'for example "192.0.2.7:8778"')
    validate_host(name, host)
    return host


def validate_host(name: str, text: str) -> None:
    """Check a host name or IP address; whether it exists is found out when it is used."""
    if not text or any(sign.isspace() or sign in "/@?#" for sign in text):
        raise BadInput(name, text, "a host name or IP address", 'for example "127.0.0.1"')


def validate_dialable(address: str) -> None:
    """Refuse wildcards: they say where to listen, not whom to call."""
    if is_wildcard(address.rpartition(":")[0]):
        raise BadInput(
            "links.advertise", address, "an address others can dial", "name one of this machine"
        )


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of the machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def validate_url(name: str, text: str) -> None:
    """Check an HTTP URL without credentials in it."""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        is_good = False
    if not is_good:
        raise BadInput(
            field=name,
            found="a URL with a user or password in it" if "@" in text else text,
            expected="an http:// or https:// URL",
            fix='for example "http://127.0.0.1:8000/v1"; a key goes into api_key_env',
        )


def validate_node(name: str, text: str) -> None:
    """Check the printable name of a node."""
    try:
        parse_node_id(text)
    except BadInput as error:
        error.field = name
        raise


def validate_model_id(name: str, text: str) -> None:
    """Check a canonical model id."""
    try:
        parse_model_id(text)
    except BadInput as error:
        error.field = name
        raise
