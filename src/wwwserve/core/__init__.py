"""What a peer decides: pure machines, and the peer made of them.

The core is told what happened and what time it is (`Peer.handle(event, now)`), and answers with
what should be done. No clock, disk, socket, thread, randomness or log line in here:
`docs/architecture.md` has the sixteen rules.
"""
