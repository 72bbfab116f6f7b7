"""One batch for one partition: what most producers send most of the time, answered without decoder and encoder.

    0 │ acks i16 │ timeout i32 │ 2 │ topic: compact name, from v13 its id │ 2 │ index i32 │ compact records │ 0 │ 0 │ 0
    └────────────────────────────────── head ─────────────────────────────────┘                          └ no tags ┘
    no transactional id, one topic, one partition                                           of partition, topic, request

All requests of a producer to a partition begin with the same head. What decoder and encoder make of it is learned once.

Law 1: nothing is refused here, and nothing decided. Whatever is out of the ordinary is left as it came to the handler,
       which knows everything.
Law 2: the bytes of requests and answers are the schemas' business: a head is believed because the decoder read it, and
       the answer's frame is what the encoder wrote, but for the offsets in it.
"""

from __future__ import annotations

from struct import Struct as Packer

from minikafka.api.context import Context
from protocol.kafka.framing import frame_response
from protocol.kafka.messages.produce import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from protocol.kafka.primitives import ProtocolError, read_uvarint

__all__ = ["FIRST_WITH_TOPIC_IDS", "INTERNAL_TOPICS", "ProduceOne"]

INTERNAL_TOPICS = frozenset(("__consumer_offsets", "__transaction_state", "__share_group_state"))
FIRST_WITH_TOPIC_IDS = 13
TOPICS_AT = 7  # in a head: the number of topics
NAME_AT = 8  # the length of the topic's name
HEAD_BYTES = 13  # of a head, without its topic
ID_BYTES = 16
PARTITIONS_FROM_END = 5  # the number of partitions, from a head's end
ONE = 2  # a compact count says one more than it counts
NO_TAGS = b"\0\0\0"
MAX_HEADS = 10_000  # learned; beyond that all are forgotten
MARK = -0x0102030405060708  # a base offset that is found again in an encoded answer
ANSWERED_ACKS = (1, -1)
FRAME_HEAD = Packer(">ii")  # size, correlation id
OFFSETS_BYTES = 24


class Head:
    """What is known of the requests that begin with the same bytes."""

    __slots__ = ("back", "front", "pack", "partition", "size", "topic_id")

    def __init__(self, partition: tuple[str, int], topic_id: bytes | None, answer: bytes) -> None:
        at = answer.rindex(MARK.to_bytes(8, "big", signed=True))
        self.partition = partition
        self.topic_id = topic_id  # None where the request names the topic
        self.size = len(answer) - 4
        self.front = answer[FRAME_HEAD.size : at]
        self.back = answer[at + OFFSETS_BYTES :]
        self.pack = Packer(f">ii{len(self.front)}sqqq{len(self.back)}s").pack


class ProduceOne:
    """The short way of one version."""

    __slots__ = ("heads", "uses_ids", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.uses_ids = version >= FIRST_WITH_TOPIC_IDS
        self.heads: dict[bytes, Head] = {}

    def answer(self, broker: Context, frame: memoryview, at: int, correlation_id: int) -> bytes | None:
        """The framed answer to the request whose body begins at `at`; None: nothing was done, ask the handler."""
        try:
            end = at + HEAD_BYTES + (ID_BYTES if self.uses_ids else frame[at + NAME_AT])
            head = self.heads.get(bytes(frame[at:end]))
            if head is None:
                head = self.learn(broker, frame, at, end)
                if head is None:
                    return None
            size = frame[end]
            if size < 0x80:
                begin = end + 1
            else:
                size, begin = read_uvarint(frame, end)
        except IndexError:  # it ends too early: the decoder will say so
            return None
        stop = begin + size - 1
        if frame[stop:] != NO_TAGS or broker.authorizer is not None:
            return None
        partition = broker.replicas.partitions.get(head.partition)
        if partition is None or (head.topic_id is not None and head.topic_id != partition.topic_id):
            return None
        offset = partition.append_usual(frame[begin:stop])
        if offset < 0:
            return None
        return head.pack(head.size, correlation_id, head.front, offset, -1, partition.log.log_start_offset, head.back)

    def learn(self, broker: Context, frame: memoryview, at: int, end: int) -> Head | None:
        """What the decoder makes of a request with a new head, if that is what the drawing shows."""
        if frame[at] or frame[at + TOPICS_AT] != ONE or frame[end - PARTITIONS_FROM_END] != ONE:
            return None
        if not self.uses_ids and frame[at + NAME_AT] > 0x7F:
            return None
        try:
            request = ProduceRequest.decode(self.version, frame, at)
        except ProtocolError:
            return None
        topic = request.topic_data[0]
        index = topic.partition_data[0].index
        name = topic.name
        if self.uses_ids:
            found = broker.image.topics_by_id.get(bytes(topic.topic_id))
            if found is None:
                return None
            name = found.name
        if request.acks not in ANSWERED_ACKS or name in INTERNAL_TOPICS:
            return None
        if len(self.heads) >= MAX_HEADS:
            self.heads.clear()
        answer = PartitionProduceResponse(index=index, base_offset=MARK, log_append_time_ms=-1, log_start_offset=0)
        response = ProduceResponse(
            responses=[TopicProduceResponse(name=topic.name, topic_id=topic.topic_id, partition_responses=[answer])]
        )
        head = self.heads[bytes(frame[at:end])] = Head(
            (name, index),
            bytes(topic.topic_id) if self.uses_ids else None,
            b"".join(frame_response(response, self.version, 0)),
        )
        return head
