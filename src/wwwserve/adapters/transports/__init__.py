"""Links between nodes: one multiplexer, over TCP with TLS or inside one process.

Read `frames` for the bytes, `mux` for the conversation, `streams` and `outbox` for what is held and
bounded, `link` for how it meets the event loop, and `tcp` with `tls` and `certificates` for how the
other end is known.
"""

from wwwserve.adapters.transports.certificates import make_contexts
from wwwserve.adapters.transports.loopback import LoopbackNetwork, LoopbackTransport
from wwwserve.adapters.transports.tcp import TcpTransport

__all__ = ["LoopbackNetwork", "LoopbackTransport", "TcpTransport", "make_contexts"]
