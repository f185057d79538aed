"""Finding nodes on the same local network: multicast DNS service discovery (RFC 6762, RFC 6763)."""

from wwwserve.adapters.discovery.multicast import MulticastDiscovery

__all__ = ["MulticastDiscovery"]
