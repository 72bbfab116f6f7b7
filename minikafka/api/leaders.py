"""Where the leader is, for clients that asked the wrong broker: the tagged fields that save them a Metadata request.

Produce since v10 and Fetch since v16 (KIP-951) name, beside NOT_LEADER_OR_FOLLOWER, the leader and its epoch, and once
per answer the addresses of the leaders named.
"""

from __future__ import annotations

from minikafka.api.context import Context
from protocol.kafka.messages.produce import LeaderIdAndEpoch, NodeEndpoint

__all__ = ["endpoints", "leader_of"]


def leader_of(broker: Context, topic: str, index: int) -> LeaderIdAndEpoch | None:
    """Whom the metadata names as leader; None for a partition it does not know."""
    agreed = broker.image.partition(topic, index)
    return None if agreed is None else LeaderIdAndEpoch(leader_id=agreed.leader, leader_epoch=agreed.leader_epoch)


def endpoints(broker: Context, leaders: set[int]) -> list[NodeEndpoint]:
    """The addresses of these brokers on the listener the client came in by."""
    found = []
    for node_id in sorted(leaders):
        node = broker.image.brokers.get(node_id)
        place = node.endpoints.get(broker.listener) if node is not None else None
        if node is not None and place is not None:
            found.append(NodeEndpoint(node_id=node_id, host=place.host, port=place.port, rack=node.rack))
    return found
