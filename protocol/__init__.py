"""How bytes travel and rest: what both servers share, and what knows neither a broker nor a keyspace.

    ops (clock, processes, config, metrics, console)        may import net
    net (sockets)    disk (files)    resp (wire)    kafka (wire)      siblings: never each other
    checksums

Laws of the house, kept by tests/house:
1. Imports go down, never up, never sideways between siblings.
2. Five doors to the outside: sockets and timers are the running event loop; files are `disk.files`; wall time is
   `ops.clock`; chance is a `random.Random` given at construction; processes are `ops.process`.
3. Bytes become values, values decisions, decisions effects. No floor calls the floor above; wake-ups are futures.
4. Each fact stands once, and where Kafka or Redis has a format, ours is that format.
5. No mutable module state: ten servers live in one process.
6. Configuration stops at the wiring (`server.py`, `broker.py`); below it modules take plain arguments.
"""
