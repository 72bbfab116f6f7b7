"""CLUSTER and what goes with it, as a server answers that is not part of a cluster: this one never is."""

from __future__ import annotations

from typing import Final

from miniredis.engine.call import Call
from miniredis.engine.registry import (
    ADMIN,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NOSCRIPT,
    STALE,
    History,
    command,
    container,
)
from protocol.resp.values import Failure, Reply

_READS: Final = ADMIN | STALE
_CHANGES: Final = ADMIN | STALE | NO_ASYNC_LOADING
_VARIES: Final = ("nondeterministic_output",)
_SLOTS: Final = "slot:integer [slot:integer ...]"
_RANGES: Final = "range=<start-slot:integer end-slot:integer> [start-slot:integer end-slot:integer ...]"
_MANY_SLOTS: Final = "O(N) with N the number of slots."


def _declare(
    line: str, summary: str, flags: int, since: str = "3.0.0", *, tips: tuple[str, ...] = (), complexity: str = "O(1)",
    acl: tuple[str, ...] = (), history: History = (), deprecated: tuple[str, str] | None = None,
) -> None:  # fmt: skip
    """One command more that needs a cluster."""

    def refuse(call: Call) -> Reply:
        raise Failure("ERR This instance has cluster support disabled")

    refuse.__doc__ = summary
    command(
        line, flags, since=since, group="cluster", key_specs=(), tips=tips, complexity=complexity, acl=acl,
        history=history, deprecated=deprecated,
    )(refuse)  # fmt: skip


container("CLUSTER", since="3.0.0", group="cluster", summary="Commands about a cluster of servers.", has_help=False)
_declare("CLUSTER|HELP", "Return a text about the subcommands.", LOADING | STALE, "5.0.0")
_declare(f"CLUSTER|ADDSLOTS {_SLOTS}", "Take charge of slots.", _CHANGES, complexity=_MANY_SLOTS)
_declare(f"CLUSTER|ADDSLOTSRANGE {_RANGES}", "Take charge of ranges of slots.", _CHANGES, "7.0.0",
         complexity=_MANY_SLOTS)  # fmt: skip
_declare("CLUSTER|BUMPEPOCH", "Advance the epoch of the configuration.", _CHANGES, tips=_VARIES)
_declare("CLUSTER|COUNT-FAILURE-REPORTS node-id", "Count the reports that a node fails.", _READS, tips=_VARIES,
         complexity="O(N) with N the number of reports.")  # fmt: skip
_declare("CLUSTER|COUNTKEYSINSLOT slot:integer", "Count the keys in a slot.", STALE)
_declare(f"CLUSTER|DELSLOTS {_SLOTS}", "Take slots from a node.", _CHANGES, complexity=_MANY_SLOTS)
_declare(f"CLUSTER|DELSLOTSRANGE {_RANGES}", "Take ranges of slots from a node.", _CHANGES, "7.0.0",
         complexity=_MANY_SLOTS)  # fmt: skip
_declare("CLUSTER|FAILOVER options=[FORCE | TAKEOVER]", "Let a replica take the place of its primary.", _CHANGES)
_declare("CLUSTER|FLUSHSLOTS", "Forget about all slots.", _CHANGES)
_declare("CLUSTER|FORGET node-id", "Forget a node.", _CHANGES)
_declare("CLUSTER|GETKEYSINSLOT slot:integer count:integer", "Return keys of a slot.", STALE, tips=_VARIES,
         complexity="O(N) with N the number of keys asked for.")  # fmt: skip
_declare("CLUSTER|INFO", "Tell about the state of the cluster.", STALE, tips=_VARIES)
_declare("CLUSTER|KEYSLOT key:string", "Tell the slot of a key.", STALE, complexity="O(N) with N the bytes of the key.")
_declare("CLUSTER|LINKS", "List the connections between nodes.", STALE, "7.0.0", tips=_VARIES,
         complexity="O(N) with N the number of nodes.")  # fmt: skip
_declare("CLUSTER|MEET ip port:integer [cluster-bus-port:integer @4.0.0]", "Introduce a node to this one.", _CHANGES,
         history=(("4.0.0", "Takes the port of the cluster bus."),))  # fmt: skip
_declare("CLUSTER|MYID", "Return the name of this node.", STALE)
_declare("CLUSTER|MYSHARDID", "Return the name of this node's shard.", STALE, "7.2.0", tips=_VARIES)
_declare("CLUSTER|NODES", "Tell the configuration as this node sees it.", STALE, tips=_VARIES,
         complexity="O(N) with N the number of nodes.")  # fmt: skip
_declare("CLUSTER|REPLICAS node-id", "List the replicas of a primary.", _READS, "5.0.0", tips=_VARIES,
         complexity="O(N) with N the number of replicas.")  # fmt: skip
_declare("CLUSTER|REPLICATE node-id", "Become the replica of a primary.", _CHANGES)
_declare("CLUSTER|RESET reset-type=[HARD | SOFT]", "Forget the cluster.", ADMIN | STALE | NOSCRIPT,
         complexity="O(N) with N the number of nodes.")  # fmt: skip
_declare("CLUSTER|SAVECONFIG", "Write the configuration to the disk.", _CHANGES)
_declare("CLUSTER|SET-CONFIG-EPOCH config-epoch:integer", "Set the epoch of a new node.", _CHANGES)
_declare(
    "CLUSTER|SETSLOT slot:integer subcommand=<IMPORTING importing/node-id | MIGRATING migrating/node-id | "
    "NODE node/node-id | STABLE>", "Bind a slot to a node.", _CHANGES,
)  # fmt: skip
_declare("CLUSTER|SHARDS", "Tell which nodes have which slots.", LOADING | STALE, "7.0.0", tips=_VARIES,
         complexity="O(N) with N the number of nodes.")  # fmt: skip
_declare("CLUSTER|SLAVES node-id", "List the replicas of a primary.", _READS, tips=_VARIES,
         complexity="O(N) with N the number of replicas.", deprecated=("5.0.0", "`CLUSTER REPLICAS`"))  # fmt: skip
_declare("CLUSTER|SLOTS", "Tell which slots are on which nodes.", LOADING | STALE, tips=_VARIES,
         complexity="O(N) with N the number of nodes.", deprecated=("7.0.0", "`CLUSTER SHARDS`"),
         history=(("4.0.0", "Tells the names of nodes."), ("7.0.0", "Tells more about nodes.")))  # fmt: skip
_declare("ASKING", "Let the next command pass where a slot is on its way here.", FAST, acl=("connection",))
_declare("READONLY", "Allow reads of a cluster's replica.", FAST | LOADING | STALE, acl=("connection",))
_declare("READWRITE", "Take READONLY back.", FAST | LOADING | STALE, acl=("connection",))
