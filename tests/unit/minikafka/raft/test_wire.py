"""What members of a quorum say, as Apache Kafka 4.3.1 says it: frames recorded from three of its controllers.

`tests/golden/kafka/quorum.jsonl` has some of each kind, without their length, captured between real nodes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minikafka.raft.messages import Fetch, FetchSnapshot, Member, OffsetAndEpoch, Vote
from minikafka.raft.wire import VERSIONS, answer_of, message_of, reply_of, request_of, whole_batches
from protocol.kafka.errors import InvalidRequest
from protocol.kafka.framing import frame_request, frame_response, read_reply, read_request_header, skip_header_tags
from protocol.kafka.messages import produce, quorum
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.records import build_batch
from protocol.kafka.schema import Request

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "kafka" / "quorum.jsonl"
FRAMES = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
SCHEMAS: dict[str, type[Request]] = {
    "FETCH": produce.FetchRequest,
    "VOTE": quorum.VoteRequest,
    "BEGIN_QUORUM_EPOCH": quorum.BeginQuorumEpochRequest,
    "END_QUORUM_EPOCH": quorum.EndQuorumEpochRequest,
    "FETCH_SNAPSHOT": quorum.FetchSnapshotRequest,
}
REQUESTS = [one for one in FRAMES if one["is_request"]]
ANSWERS = [one for one in FRAMES if not one["is_request"]]
ASKED = {
    "FETCH": Fetch(1, Member(2), 0, 0),
    "VOTE": Vote(1, Member(2), Member(1), OffsetAndEpoch(0, 0), False),
    "FETCH_SNAPSHOT": FetchSnapshot(1, Member(2), OffsetAndEpoch(5, 1), 0),
}


@pytest.mark.parametrize("one", REQUESTS, ids=lambda one: one["api"])
def test_a_request_is_said_as_kafka_says_it(one: dict[str, str]) -> None:
    """A real voter would not understand ours, or we would lose what it says."""
    frame = memoryview(bytes.fromhex(one["hex"]))
    schema = SCHEMAS[one["api"]]
    _, version, correlation_id, client_id, start = read_request_header(frame)
    assert version == VERSIONS[schema]
    message = schema.decode(version, frame, skip_header_tags(frame, start))
    again = frame_request(message_of(request_of(message)), version, correlation_id, bytes(client_id or b"").decode())
    assert b"".join(again)[4:] == bytes(frame)


@pytest.mark.parametrize("one", ANSWERS, ids=lambda one: one["api"])
def test_an_answer_of_kafkas_is_understood(one: dict[str, str]) -> None:
    """A vote or a record of a real leader would be lost."""
    frame = memoryview(bytes.fromhex(one["hex"]))
    schema = SCHEMAS[one["api"]]
    correlation_id, message = read_reply(frame, schema, VERSIONS[schema])
    request = ASKED.get(one["api"])
    if request is None:
        kind = {"BEGIN_QUORUM_EPOCH": "BeginQuorumEpoch", "END_QUORUM_EPOCH": "EndQuorumEpoch"}[one["api"]]
        request = next(
            asked
            for asked in (
                request_of(SCHEMAS[each["api"]].decode(1, *_body(each["hex"])))
                for each in REQUESTS
                if each["api"] == one["api"]
            )
            if type(asked).__name__ == kind
        )
    if isinstance(message, produce.FetchResponse):
        base = _first_offset(message)
        assert isinstance(request, Fetch)
        request = request._replace(offset=base)
    answer = answer_of(message, request)
    again = answer_of(reply_of(answer, request), request)
    assert again._replace(endpoint=None) == answer._replace(endpoint=None)
    if not isinstance(message, produce.FetchResponse | quorum.FetchSnapshotResponse):
        written = b"".join(frame_response(reply_of(answer, request), VERSIONS[schema], correlation_id))[4:]
        assert written == bytes(frame)


def _body(text: str) -> tuple[memoryview, int]:
    frame = memoryview(bytes.fromhex(text))
    return frame, skip_header_tags(frame, read_request_header(frame)[4])


def _first_offset(message: produce.FetchResponse) -> int:
    records = bytes(message.responses[0].partitions[0].records or b"")  # type: ignore[arg-type]
    return int.from_bytes(records[:8], "big")


def test_what_is_not_about_the_metadata_is_refused() -> None:
    """Some other partition's epochs would be taken for the quorum's."""
    topic = quorum.VoteRequestTopicData(topic_name="else", partitions=[])
    with pytest.raises(InvalidRequest):
        request_of(quorum.VoteRequest(cluster_id=None, voter_id=1, topics=[topic]))
    with pytest.raises(InvalidRequest):
        request_of(quorum.VoteRequest(cluster_id=None, voter_id=1, topics=[]))


def test_damaged_records_are_not_taken() -> None:
    """A log would hold what its leader never wrote."""
    one = build_batch([(0, None, b"x")], base_offset=7, leader_epoch=1)
    assert whole_batches(one, 7) == (one, 8)
    assert whole_batches(one + one[:20], 7) == (one, 8), "a batch cut off at the end comes again"
    with pytest.raises(ProtocolError):
        whole_batches(one, 6)
    with pytest.raises(ProtocolError):
        whole_batches(one[:-1] + b"y", 7)
