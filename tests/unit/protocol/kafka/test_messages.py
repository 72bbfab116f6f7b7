"""Messages and the codecs made of them."""

from __future__ import annotations

import gc
import struct

import pytest

from protocol.kafka.messages import topics as t
from protocol.kafka.messages.groups import (
    JoinGroupRequest,
    MemberIdentity,
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from protocol.kafka.messages.metadata import PartitionChangeRecord
from protocol.kafka.messages.produce import (
    FetchableTopicResponse,
    FetchPartition,
    FetchPartitionData,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    LeaderIdAndEpoch,
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from protocol.kafka.messages.topics import CreateTopicsRequest, MetadataRequest, MetadataResponse
from protocol.kafka.messages.versions import ApiVersionsRequest
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.schema import Request, memory_budget
from tests.unit.protocol.kafka.examples import examples, make, message_classes


def test_every_message_comes_back_as_it_was() -> None:
    """A field would be lost, or read from another's place."""
    for kind, version, style in examples(("full", "blank", "mixed")):
        message = make(kind, version, style)
        data = message.encode(version)
        assert kind.decode(version, data) == message, (kind, version, style)
        assert kind.decode(version, b"front" + data + b"behind", 5) == message
        assert kind.decode(version, memoryview(bytearray(data))) == message


def test_every_cut_is_a_protocol_error() -> None:
    """A frame that ends too early would kill the connection's handler, or be taken for a whole one."""
    for kind, version, style in examples(("full",)):
        data = make(kind, version, style).encode(version)
        for end in range(len(data)):
            with pytest.raises(ProtocolError):
                kind.decode(version, data[:end])


def test_api_keys_are_unique() -> None:
    """Two requests would answer to one key."""
    keys = [kind.api_key for kind in message_classes() if issubclass(kind, Request)]
    assert len(keys) == len(set(keys)) > 60


def test_reply_speaks_the_versions_of_its_request() -> None:
    """A request could be decoded that cannot be answered."""
    for kind in message_classes():
        if issubclass(kind, Request):
            assert kind.reply.versions == kind.versions
            assert min(kind.flexible, kind.highest + 1) == min(kind.reply.flexible, kind.highest + 1)


def test_unknown_version_is_refused() -> None:
    """A version nobody declared would be guessed at."""
    for version in (-1, 10):
        with pytest.raises(ProtocolError):
            JoinGroupRequest.decode(version, b"")
        with pytest.raises(ProtocolError):
            JoinGroupRequest(group_id="g").encode(version)  # type: ignore[call-arg]


def test_what_is_left_out_is_empty() -> None:
    """Replies that only say an error could not be made without knowing which they are."""
    reply = MetadataResponse(error_code=3)
    assert (reply.throttle_time_ms, reply.brokers, reply.cluster_id, reply.controller_id) == (0, [], None, -1)
    assert MetadataResponse().topics is not MetadataResponse().topics
    with pytest.raises(TypeError):
        MetadataResponse(eror_code=3)  # type: ignore[call-arg]


def test_structs_compare_and_print() -> None:
    """Tests and logs could not tell two messages apart."""
    one, same, other = (MemberIdentity(member_id=name) for name in ("a", "a", "b"))
    assert one == same
    assert one != other
    assert one != "a"
    assert hash(one) == hash(same)
    assert repr(other) == "MemberIdentity(member_id='b')"


def test_unknown_tags_are_stepped_over() -> None:
    """A client with newer tagged fields would be turned away."""
    data = bytearray(ApiVersionsRequest(client_software_name="a", client_software_version="1").encode(3))
    assert data[-1] == 0
    data[-1:] = b"\x02" + b"\x07\x03abc" + b"\xe8\x07\x00"
    assert ApiVersionsRequest.decode(3, data).client_software_version == "1"
    for broken in (b"\x02\x07\x03abc", b"\x01\x07\x04abc", b"\xff\xff\xff\xff\x0f"):
        with pytest.raises(ProtocolError):
            ApiVersionsRequest.decode(3, bytes(data[:-9]) + broken)


def test_unknown_tags_beside_known_ones() -> None:
    """The same where some of the tags are known."""
    request = FetchRequest(max_wait_ms=1, min_bytes=1, topics=[], forgotten_topics_data=[], cluster_id="c", rack_id="")
    data = request.encode(12)
    assert data.endswith(b"\x01\x00\x02\x02c")
    longer = data[:-5] + b"\x02" + data[-4:] + b"\x63\x01x"
    assert FetchRequest.decode(12, longer) == request
    for broken in (b"\x01\x00\x03\x02cc", b"\x01\x00\x02\x03c", b"\x7f"):
        with pytest.raises(ProtocolError):
            FetchRequest.decode(12, data[:-5] + broken)


def test_tagged_fields_at_their_default_are_not_sent() -> None:
    """Records of the metadata log would grow and differ from Kafka's bytes."""
    record = PartitionChangeRecord(partition_id=0, topic_id=bytes(16))
    assert record.encode(2).endswith(b"\0")
    assert len(record.encode(2)) == 4 + 16 + 1
    record.leader = 1
    record.isr = [1]
    again = PartitionChangeRecord.decode(2, record.encode(2))
    assert (again.leader, again.isr, again.replicas) == (1, [1], None)


def test_null_where_none_may_be() -> None:
    """A null group or topic name would reach a handler that believes its types."""
    for version, data in ((0, b"\xff\xff"), (6, b"\0")):
        with pytest.raises(ProtocolError, match="group_id was null"):
            JoinGroupRequest.decode(version, data)
    assert MetadataRequest.decode(1, b"\xff\xff\xff\xff").topics is None
    with pytest.raises(ProtocolError, match="topics was null"):
        MetadataRequest.decode(0, b"\xff\xff\xff\xff")


def test_invalid_utf8_is_replaced() -> None:
    """Java reads such a name with U+FFFD in it and refuses the topic, not the connection."""
    assert MetadataRequest.decode(0, b"\0\0\0\1\0\2\xff\xfe").topics[0].name == "��"  # type: ignore[index]


def test_records_are_neither_copied_in_nor_out() -> None:
    """Every produced and fetched byte would be copied once more."""
    records = bytes(range(256)) * 8
    request = ProduceRequest(
        acks=1,
        timeout_ms=1,
        topic_data=[TopicProduceData(name="t", partition_data=[PartitionProduceData(index=0, records=records)])],
    )
    frame = request.encode(9)
    decoded = ProduceRequest.decode(9, memoryview(frame)).topic_data[0].partition_data[0].records
    assert isinstance(decoded, memoryview)
    assert decoded.obj is frame
    partitions = [
        FetchPartitionData(partition_index=index, high_watermark=1, aborted_transactions=None, records=sent)
        for index, sent in enumerate(([records, b"", records], None, b""))
    ]
    partitions[2].current_leader = LeaderIdAndEpoch(leader_id=1, leader_epoch=2)
    response = FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=partitions)])
    parts = response.encode_parts(12)
    assert sum(part is records for part in parts) == 2
    received = FetchResponse.decode(12, b"".join(parts)).responses[0].partitions
    assert [one.records for one in received] == [records + records, None, b""]
    assert received[2].current_leader == partitions[2].current_leader


def test_counts_are_not_believed() -> None:
    """A few bytes could claim two thousand million topics."""
    for count in (2, 2**20, 2**31 - 1):
        with pytest.raises(ProtocolError):
            MetadataRequest.decode(1, struct.pack(">i", count) + b"\0")
    with pytest.raises(ProtocolError):
        MetadataRequest.decode(9, b"\xff\xff\xff\xff\x0f")


def test_elements_have_a_budget() -> None:
    """A frame of a megabyte full of empty elements would unfold into hundreds."""
    count = memory_budget(1 << 20) // 64 + 1
    data = struct.pack(">i", count) + b"\0\0" * count
    with pytest.raises(ProtocolError, match="more elements"):
        MetadataRequest.decode(1, data)
    nested = struct.pack(">i", 100) + (b"\0\0" + struct.pack(">ihi", 1, 1, 2000) + b"\0" * 16000 + bytes(4)) * 100
    with pytest.raises(ProtocolError, match="more elements"):
        CreateTopicsRequest.decode(2, nested)


MANY = 20_000
NAMES = [f"orders-{at:05d}" for at in range(MANY)]
HONEST: list[Request] = [
    t.MetadataRequest(topics=[t.MetadataRequestTopic(name=name) for name in NAMES]),
    t.CreateTopicsRequest(
        topics=[
            t.CreatableTopic(
                name=f"orders-{at:05d}", num_partitions=1, replication_factor=1, assignments=[], configs=[]
            )
            for at in range(MANY)
        ]
    ),
    t.CreatePartitionsRequest(
        topics=[t.CreatePartitionsTopic(name=name, count=2, assignments=None) for name in NAMES],
        timeout_ms=0,
        validate_only=False,
    ),
    ListOffsetsRequest(
        replica_id=-1,
        topics=[
            ListOffsetsTopic(
                name=f"orders-{topic}",
                partitions=[ListOffsetsPartition(partition_index=at, timestamp=-1) for at in range(MANY // 100)],
            )
            for topic in range(100)
        ],
    ),
    OffsetFetchRequest(
        group_id="g",
        groups=[
            OffsetFetchRequestGroup(
                group_id="g",
                topics=[
                    OffsetFetchRequestTopics(name=name, topic_id=bytes(16), partition_indexes=[at])
                    for at, name in enumerate(NAMES)
                ],
            )
        ],
    ),
    OffsetCommitRequest(
        group_id="g",
        member_id="",
        topics=[
            OffsetCommitRequestTopic(
                name="t",
                topic_id=bytes(16),
                partitions=[
                    OffsetCommitRequestPartition(partition_index=at, committed_offset=1 << 40, committed_metadata="")
                    for at in range(MANY)
                ],
            )
        ],
    ),
    FetchRequest(
        max_wait_ms=1,
        min_bytes=1,
        topics=[
            FetchTopic(
                topic="t",
                topic_id=bytes(16),
                partitions=[
                    FetchPartition(partition=at, fetch_offset=1 << 40, partition_max_bytes=1 << 20)
                    for at in range(MANY)
                ],
            )
        ],
        forgotten_topics_data=[],
        rack_id="",
    ),
]


@pytest.mark.parametrize("request_", HONEST, ids=lambda each: type(each).__name__)
def test_honest_requests_fit_into_the_budget(request_: Request) -> None:
    """An administrator who asks for twenty thousand partitions at once would be turned away."""
    version = request_.highest
    assert type(request_).decode(version, request_.encode(version)).encode(version) == request_.encode(version)


def test_messages_leave_no_cycles() -> None:
    """The collector would have to run because of ordinary requests."""
    data = JoinGroupRequest(
        group_id="g", session_timeout_ms=1, member_id="", protocol_type="consumer", protocols=[]
    ).encode(5)
    gc.collect()
    gc.disable()
    try:
        for _ in range(1000):
            JoinGroupRequest.decode(5, data).encode(5)
        assert gc.collect() == 0
    finally:
        gc.enable()
