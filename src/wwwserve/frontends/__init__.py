"""Where people and programs come in: the OpenAI-compatible gateway and the operator's API.

Each is handed a `PeerHandle` by the node that mounts it, submits commands and reads facts; none
knows how peers are reached or where state is kept.
"""
