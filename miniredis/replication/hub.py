"""A server's part in replication: whom it follows, who follows it, and the history of writes they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from miniredis.replication.failover import Failover
from miniredis.replication.history import History
from miniredis.replication.primary import Primary


class Replication:
    """What commands reach. Until the wiring says otherwise nobody can be followed."""

    def __init__(self, history: History, primary: Primary) -> None:
        self.history = history
        self.primary = primary
        self.upstream: Any = None  # the link to our primary; None: we are one
        self.failover: Failover
        # Follow this server (host, port); `takes_over`: and ask it to become the primary.
        self.become_replica: Callable[[bytes, int, bool], None]
        # Follow nobody any more.
        self.become_primary: Callable[[], None]
