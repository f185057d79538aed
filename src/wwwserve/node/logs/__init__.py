"""What a node says of itself while it runs: one line for each thing worth telling.

Lines go to standard error, as JSON for programs or as text for people. Each has the time (UTC), a
level, an event and this node's short name; one about a request has its id, the same that its user
gets in `x-wwwserve-request-id` and that the node which ran it writes, so one search tells the story
on both. `facts` decides what is told of what, `loggers` how it looks, and `lines` brings it out
without ever holding the node up; `node_log` is all of it for one node.
"""

from wwwserve.node.logs.facts import FactLog
from wwwserve.node.logs.node_log import NodeLog

__all__ = ["FactLog", "NodeLog"]
