"""Frames and headers."""

from __future__ import annotations

import struct

import pytest

from protocol.kafka.framing import (
    Framer,
    Scratch,
    frame_request,
    frame_response,
    read_reply,
    read_request_header,
    skip_header_tags,
)
from protocol.kafka.messages.groups import HeartbeatRequest, HeartbeatResponse
from protocol.kafka.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.kafka.messages.versions import ApiVersionsRequest, ApiVersionsResponse
from protocol.kafka.primitives import ProtocolError


def cut(data: bytes, chunk: int, limit: int = 1000) -> list[bytes]:
    """The frames that come of feeding `data` in chunks of that size."""
    framer = Framer(limit)
    found: list[bytes] = []
    for start in range(0, len(data), chunk):
        framer.feed(data[start : start + chunk])
        found += [bytes(one) for one in framer.frames()]
    return found


def test_frames_are_the_same_in_any_chunking() -> None:
    """A request that arrives in pieces would be read as another."""
    bodies = [b"", b"a", b"bb" * 100, b"", b"c" * 999, b"d" * 7]
    data = b"".join(struct.pack(">i", len(body)) + body for body in bodies)
    for chunk in (1, 2, 3, 4, 5, 7, 100, 1003, len(data)):
        assert cut(data, chunk) == bodies, chunk


def received(data: bytes, chunk: int, scratch: Scratch, limit: int = 1 << 20) -> list[bytes]:
    """The frames that come of receiving `data` where the framer says, `chunk` bytes at most at a time."""
    framer = Framer(limit, scratch)
    found: list[bytes] = []
    while data:
        room = framer.room()
        size = min(len(room), chunk, len(data))
        room[:size] = data[:size]
        data = data[size:]
        framer.filled(size)
        found += [bytes(one) for one in framer.frames()]
    return found


def test_frames_are_the_same_where_the_framer_receives_them() -> None:
    """A produced batch would be written with the bytes of another."""
    sizes = [70_000, 3, 65_536, 65_535, 0, 200_000, 200_001, 1, 5000, 5000, 99_999]
    bodies = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    data = b"".join(struct.pack(">i", len(body)) + body for body in bodies)
    for chunk in (13, 1000, 4096, 65_540, len(data)):
        for scratch in (64, 16_384, 262_144):
            assert received(data, chunk, Scratch(scratch)) == bodies, (chunk, scratch)


def test_a_frame_that_is_looked_at_is_not_written_over() -> None:
    """A batch that waits would be written, or answered, with the bytes of a later one."""
    scratch = Scratch(4096)
    framers = [Framer(1 << 20, scratch) for _ in range(3)]
    kept: list[tuple[int, memoryview]] = []
    buffers: dict[int, object] = {}
    for number in range(60):
        framer, body = framers[number % 3], bytes([number]) * (90_000 + number)
        data = struct.pack(">i", len(body)) + body
        while data:
            room = framer.room()
            room[: len(data)] = data[: len(room)]
            framer.filled(min(len(room), len(data)))
            data = data[len(room) :]
        (found,) = framer.frames()
        assert found == body
        buffers[id(found.obj)] = found.obj
        if number % 7 == 0:
            kept.append((number, found[1000:2000]))
    assert all(bytes(piece) == bytes([number]) * 1000 for number, piece in kept)
    assert len(buffers) < 30  # they are used again, but for those that are looked at


def test_a_claimed_size_takes_no_memory() -> None:
    """A client could fill the broker's memory with a few bytes a connection."""
    framer = Framer(100 << 20, Scratch(65_536))
    room = framer.room()
    room[:1004] = struct.pack(">i", 100 << 20) + bytes(1000)
    framer.filled(1004)
    assert len(framer.room()) < 10_000
    assert framer.buffered_bytes == 1004


def test_frames_in_one_chunk_are_not_copied() -> None:
    """Every produced byte would be copied once more."""
    data = struct.pack(">i", 3) + b"abc" + struct.pack(">i", 2) + b"de" + b"\0"
    framer = Framer()
    framer.feed(data)
    assert all(one.obj is data for one in framer.frames())
    assert framer.buffered_bytes == 1


@pytest.mark.parametrize("size", [-1, 1001, -(2**31), 2**31 - 1, struct.unpack(">i", b"GET ")[0]])
def test_impossible_sizes(size: int) -> None:
    """A claimed size would be waited for, or allocated; frames before it would be lost."""
    data = struct.pack(">i", 1) + b"x" + struct.pack(">i", size) + b"yyyy"
    for chunk in (1, 3, len(data)):
        framer = Framer(1000)
        found: list[memoryview] = []
        for start in range(0, len(data), chunk):
            framer.feed(data[start : start + chunk])
            if framer.failure is None or not found:
                found += framer.frames()
        with pytest.raises(ProtocolError):
            framer.frames()
        assert [bytes(one) for one in found] == [b"x"]
        framer.feed(b"more")
        assert framer.buffered_bytes < 10


def test_request_headers() -> None:
    """Requests would be answered under another number, or to another client."""
    for version, name in ((0, "me"), (3, None), (4, "ü"), (4, None)):
        request = HeartbeatRequest(group_id="g", generation_id=1, member_id="m")
        data = b"".join(frame_request(request, version, 77, name))
        whole = memoryview(data)[4:]
        assert struct.unpack_from(">i", data)[0] == len(whole)
        *head, client_id, end = read_request_header(whole)
        assert head == [12, version, 77]
        assert client_id == (None if name is None else name.encode())
        start = skip_header_tags(whole, end) if version >= HeartbeatRequest.flexible else end
        assert HeartbeatRequest.decode(version, whole, start) == request


def test_broken_request_headers() -> None:
    """A frame too short for its header would end in something else than a closed connection."""
    whole = b"".join(frame_request(HeartbeatRequest(group_id="g", generation_id=1, member_id="m"), 4, 7, "me"))[4:]
    for end in range(12):
        with pytest.raises(ProtocolError):
            read_request_header(memoryview(whole[:end]))
    with pytest.raises(ProtocolError):
        skip_header_tags(memoryview(whole[:12]), 12)
    tagged = memoryview(whole[:12] + b"\x01\x05\x01x" + whole[13:])
    start = skip_header_tags(tagged, read_request_header(tagged)[-1])
    assert HeartbeatRequest.decode(4, tagged, start).member_id == "m"


def test_response_headers() -> None:
    """The extra byte of header v1 in an answer to ApiVersions makes librdkafka believe in a 34 GB array."""
    for version in range(5):
        data = memoryview(b"".join(frame_response(HeartbeatResponse(error_code=27), version, 5)))
        assert struct.unpack_from(">ii", data) == (len(data) - 4, 5)
        assert read_reply(data[4:], HeartbeatRequest, version) == (5, HeartbeatResponse(error_code=27))
        data = memoryview(b"".join(frame_response(ApiVersionsResponse(error_code=35), version, 5)))
        assert struct.unpack_from(">iih", data) == (len(data) - 4, 5, 35)
        assert read_reply(data[4:], ApiVersionsRequest, version)[1].error_code == 35  # type: ignore[attr-defined]
    for broken in (b"", b"\0\0\0", b"\0\0\0\5", b"\0\0\0\5\1"):
        with pytest.raises(ProtocolError):
            read_reply(memoryview(broken), HeartbeatRequest, 4)


def test_frame_counts_all_parts() -> None:
    """Record batches behind the first part would spill into the next frame."""
    records = PartitionProduceData(index=0, records=b"r" * 100)
    request = ProduceRequest(acks=1, timeout_ms=1, topic_data=[TopicProduceData(name="t", partition_data=[records])])
    data = b"".join(frame_request(request, 9, 1, "me"))
    assert struct.unpack_from(">i", data)[0] == len(data) - 4
