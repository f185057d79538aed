"""Network addresses as people write them: `host:port`, with IPv6 hosts in brackets."""

_PORT_MAX = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Read `host:port`. Raises `ValueError` with a sentence for a person."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text[:80]!r} is not host:port; an IPv6 host goes in brackets")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _PORT_MAX):
        raise ValueError(f"{text[:80]!r} is not host:port")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """Write `host:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
