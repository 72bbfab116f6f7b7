"""What Produce makes of its partitions."""

from minikafka.api.produce import named_once
from protocol.kafka.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


def topic(name: str, *partitions: tuple[int, bytes]) -> TopicProduceData:
    return TopicProduceData(
        name=name,
        topic_id=bytes(16),
        partition_data=[PartitionProduceData(index=index, records=records) for index, records in partitions],
    )


def test_a_partition_named_twice_is_written_once() -> None:
    """Kafka keeps the last batch and answers once: a client would read both of them here."""
    request = ProduceRequest(
        acks=1,
        timeout_ms=1,
        topic_data=[
            topic("a", (0, b"1"), (1, b"2"), (0, b"3")),
            topic("b", (0, b"4")),
            topic("a", (1, b"5"), (2, b"6")),
        ],
    )
    assert named_once(request) == [topic("a", (0, b"3"), (1, b"5"), (2, b"6")), topic("b", (0, b"4"))]
