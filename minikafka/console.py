"""What the console shows of a broker: metrics and whether it is in service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minikafka.broker import Broker

Page = Callable[[], tuple[str, bytes]]


def pages(broker: Broker) -> dict[str, Page]:
    """Path to page."""
    return {
        "/metrics": broker.metrics.text,
        "/health": lambda: ("text/plain; charset=utf-8", b"ok\n" if broker.is_serving else b"starting\n"),
        "/topics": lambda: ("text/plain; charset=utf-8", _topics(broker)),
        "/groups": lambda: ("text/plain; charset=utf-8", _groups(broker)),
        "/quorum": lambda: ("text/plain; charset=utf-8", _quorum(broker)),
    }


def declare_metrics(broker: Broker) -> None:
    """Gauges that are read when somebody looks."""
    registry = broker.metrics
    registry.gauge(
        "minikafka_connections",
        "Open client connections.",
        lambda: sum(len(listener.connections) for listener in broker.listeners),
    )
    registry.gauge("minikafka_topics", "Topics in the metadata image.", lambda: len(broker.image.topics))
    registry.gauge("minikafka_partitions", "Partitions served here.", lambda: len(broker.replicas.partitions))
    registry.gauge(
        "minikafka_log_bytes",
        "Bytes in all logs served here.",
        lambda: sum(partition.log.size for partition in broker.replicas.partitions.values()),
    )
    registry.gauge(
        "minikafka_metadata_offset", "Offset of the last metadata record applied.", lambda: broker.image.offset
    )
    registry.gauge("minikafka_resident_bytes", "Memory in RAM.", broker.process.resident_bytes)


def _topics(broker: Broker) -> bytes:
    lines = [f"{'partition':<60} {'leader':>6} {'epoch':>6} {'start':>12} {'end':>12} {'bytes':>14}"]
    for (topic, index), partition in sorted(broker.replicas.partitions.items()):
        log = partition.log
        lines.append(
            f"{f'{topic}-{index}':<60} {broker.node_id:>6} {partition.leader_epoch:>6} "
            f"{log.log_start_offset:>12} {log.log_end_offset:>12} {log.size:>14}"
        )
    return "\n".join([*lines, ""]).encode()


def _groups(broker: Broker) -> bytes:
    lines = [f"{'group':<60} {'offsets partition':>18}"]
    for index, shard in sorted(broker.groups.shards.items()):
        lines += [f"{name:<60} {index:>18}" for name in sorted(shard.machine.groups)]
    return "\n".join([*lines, ""]).encode()


def _quorum(broker: Broker) -> bytes:
    node = broker.node
    return (
        f"cluster id    {broker.cluster_id}\nleader        {node.me.id}\nepoch         {node.machine.epoch}\n"
        f"log end       {node.end_offset}\nhigh watermark {node.machine.high_watermark}\n"
        f"last snapshot {node.last_snapshot.file_name}\n"
    ).encode()
