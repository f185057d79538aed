"""The data plane: bytes of requests and answers, beside the peer that decides about them.

`Replies` serves own users, `Works` serves other nodes; both tell the peer when a stream opened,
gave its first output, progressed, ended or failed, and do what it asks about streams.
"""

from wwwserve.node.streams.paying import Till, TillFinder
from wwwserve.node.streams.replies import Replies
from wwwserve.node.streams.reply import NodeReply
from wwwserve.node.streams.works import Works

__all__ = ["NodeReply", "Replies", "Till", "TillFinder", "Works"]
