"""wwwserve: independent LLM servers joined into one open, competitive network.

A node stands in front of an engine a provider already runs. Its users talk to it as to any
OpenAI endpoint; when it is busy it hands requests to other nodes, and when it is idle it serves
theirs. `docs/architecture.md` is the one-page map of the packages below.
"""

__version__ = "0.1.0"
