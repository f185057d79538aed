"""Where a node serves its users and its operator."""

from dataclasses import dataclass

from wwwserve.node.config.bounds import Port
from wwwserve.node.config.checks import is_loopback, validate_host
from wwwserve.values.refusals import BadInput

GATEWAY_PORT = 8777
ADMIN_PORT = 8779


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The OpenAI-compatible API for this node's own users."""

    host: str = "127.0.0.1"
    """Address to serve on. Anything but loopback needs at least one API key."""
    port: Port = GATEWAY_PORT
    """0 = any free one."""
    open: bool = False
    """Serve without any key; only ever on loopback, where whoever is on the machine may call."""

    def __post_init__(self) -> None:
        """Refuse a gateway that serves strangers without a key."""
        validate_host("gateway.host", self.host)
        if self.open and not is_loopback(self.host):
            raise BadInput(
                field="gateway.open",
                found=f"true, while gateway.host is {self.host!r}",
                expected="false: only a loopback address may be served without a key",
                fix="set gateway.open = false and make a key with `wwwserve keys add NAME`",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """The operator's API, which the commands talk to; never reachable from another machine."""

    host: str = "127.0.0.1"
    """A loopback address."""
    port: Port = ADMIN_PORT
    """0 = any free one; commands find it by the state folder."""

    def __post_init__(self) -> None:
        """Refuse to open the operator's API to the network."""
        if not is_loopback(self.host):
            raise BadInput(
                field="admin.host",
                found=self.host,
                expected="a loopback address: whoever reaches this API runs the node",
                fix='set admin.host = "127.0.0.1"; from elsewhere, come through ssh',
            )


def validate_exposure(gateway: GatewayConfig, key_count: int) -> None:
    """Refuse to serve other machines while there is no API key; raises `BadInput`."""
    if not is_loopback(gateway.host) and key_count == 0:
        raise BadInput(
            field="gateway.host",
            found=f"{gateway.host!r}, and no API key",
            expected="at least one key before other machines are served",
            fix="make one with `wwwserve keys add NAME`",
        )
