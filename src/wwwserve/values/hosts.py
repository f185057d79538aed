"""Telling this machine's own names from others', for guards against pages of strange origin."""

import ipaddress


def is_loopback_host(host: str) -> bool:
    """Whether an HTTP `Host` (with or without port) names this machine and no other.

    A web page that makes a browser resolve its own name to 127.0.0.1 still sends its own name.
    """
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
