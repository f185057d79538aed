"""Where the world is reached: links, disks, engines, local networks and the machine itself.

Each folder fills one port and can be deleted alone. Failures of the world are mapped here to the
port's few types; nothing outside knows which library was behind them.
"""
