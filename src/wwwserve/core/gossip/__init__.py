"""Who is here, and spreading what we know: membership by SWIM over authenticated links.

Rules, in the order of `spec/gossip.md`, which says why:

1. A node's own signed record is the only proof that it is there; the higher version wins.
2. Doubt (suspect, dead) is somebody's word about exactly one version, and is refuted by a higher
   one. Only the node itself can sign that, and does so at once, at most once a gossip period.
3. A version is durable before anybody hears of it, so it never goes back.
4. Each period the linked member silent for longest is probed: directly, then through others, then
   it is suspect, and after a while dead, the sooner the more have found it silent. A suspect is
   given no work. Who hears badly itself takes its time.
5. News rides on probes and on gossip rounds, each piece so many times; tables are exchanged when a
   link opens and now and then, as the safety net.
6. In a small network every live member is linked to, in a large one a few drawn by lot; the absent
   are knocked at now and then.
7. What a peer can make us do is bounded: by its link, by allowances, and by the table's size.

Public: `Gossip` (the machine), `GossipEvent` and `GossipEffect`, and its own event `Described` and
effect `MemberUpdated`.
"""

from wwwserve.core.gossip.effects import GossipEffect, MemberUpdated
from wwwserve.core.gossip.events import Described, GossipEvent
from wwwserve.core.gossip.machine import Gossip

__all__ = ["Described", "Gossip", "GossipEffect", "GossipEvent", "MemberUpdated"]
