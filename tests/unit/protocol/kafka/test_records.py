"""Record batches: their header, their records, their codecs."""

from __future__ import annotations

import struct

import cramjam
import pytest

from protocol.kafka.batch import (
    CONTROL,
    HEADER,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    TRANSACTIONAL,
    BatchHeader,
    iterate,
    stamped_front,
    verify_crc,
)
from protocol.kafka.compression import CODECS, GZIP, LZ4, NONE, SNAPPY, ZSTD, compress, decompress
from protocol.kafka.primitives import ProtocolError, encode_uvarint, encode_varlong, read_uvarint, read_varlong
from protocol.kafka.records import (
    Record,
    build_batch,
    build_control_batch,
    build_end_marker,
    control_type,
    read_end_marker,
    read_records,
    rebuild_batch,
)

# Made by Kafka's Java client 4.3: offset 5, timestamp 1000, "k" -> "v".
GOLDEN = bytes.fromhex(
    "00000000000000050000003affffffff02716a618900000000000000000000000003e800000000000003e8"
    "ffffffffffffffffffffffffffff0000000110000000026b027600"
)
ALL_CODECS = (NONE, GZIP, SNAPPY, LZ4, ZSTD)
NEW = [
    (1000, b"key", b"value", [("h", b"1"), ("empty", None), ("ä", b"")]),
    (999, None, b"x" * 300),
    (1000 + 2**40, b"", None),
    (1001, b"k" * 200, b""),
]


def test_golden_batch() -> None:
    """Files and replies would be unreadable to Kafka."""
    assert build_batch([(1000, b"k", b"v")], base_offset=5) == GOLDEN
    assert read_records(GOLDEN) == [Record(5, 1000, b"k", b"v")]
    assert verify_crc(GOLDEN)
    header = BatchHeader.peek(b"xx" + GOLDEN, 2)
    assert (header.base_offset, header.size, header.last_offset, header.codec) == (5, len(GOLDEN), 5, 0)
    assert (header.producer_id, header.producer_epoch, header.base_sequence, header.count) == (-1, -1, -1, 1)


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_records_come_back(codec: int) -> None:
    """A coordinator would not find again what it wrote."""
    batch = build_batch(NEW, base_offset=7, codec=codec, producer_id=3, producer_epoch=1, base_sequence=9)
    assert verify_crc(batch)
    header = BatchHeader.peek(batch)
    assert (header.base_timestamp, header.max_timestamp, header.last_offset, header.codec) == (
        1000, 1000 + 2**40, 10, codec,
    )  # fmt: skip
    found = read_records(batch)
    assert [(one.timestamp, one.key, one.value) for one in found] == [one[:3] for one in NEW]
    assert [one.offset for one in found] == [7, 8, 9, 10]
    assert list(found[0].headers) == NEW[0][3]  # type: ignore[misc]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("codec", ALL_CODECS)
def test_kafka_python_reads_ours_and_we_read_its(codec: int) -> None:
    """Consumers could not read what coordinators and compaction write, or we not what producers send."""
    from kafka.record import MemoryRecords
    from kafka.record.default_records import DefaultRecordBatchBuilder

    batch = MemoryRecords(build_batch(NEW, codec=codec)).next_batch()
    theirs = [(one.timestamp, one.key, one.value, list(one.headers)) for one in batch]
    assert theirs == [(*one[:3], list(one[3]) if len(one) == 4 else []) for one in NEW]
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
    for at, (timestamp, key, value, *headers) in enumerate(NEW):
        builder.append(at, timestamp, key, value, headers[0] if headers else [])
    batch = bytes(builder.build())
    assert verify_crc(batch)
    assert [(one.timestamp, one.key, one.value) for one in read_records(batch)] == [one[:3] for one in NEW]


def test_stamping_leaves_the_rest_alone() -> None:
    """A batch with its place in the log would fail its checksum."""
    batch = bytearray(stamped_front(BatchHeader.peek(GOLDEN), 2**40, 17) + GOLDEN[16:])
    header = BatchHeader.peek(batch)
    assert (header.base_offset, header.leader_epoch) == (2**40, 17)
    assert verify_crc(batch)
    batch[-1] ^= 1
    assert not verify_crc(batch)
    assert not verify_crc(batch[: HEADER_SIZE - 1])


def test_walking_batches() -> None:
    """A fetch that ends within a batch would be taken for damage, or damage for an end."""
    second = build_batch(NEW, base_offset=6)
    assert [(header.base_offset, len(view)) for header, view in iterate(GOLDEN + second)] == [
        (5, len(GOLDEN)), (6, len(second)),
    ]  # fmt: skip
    for cut in (1, 60, len(second) - 1):
        assert len(list(iterate(GOLDEN + second[:cut]))) == 1
    for broken in (b"\1", b"\0"):
        with pytest.raises(ProtocolError):
            list(iterate(GOLDEN[:16] + broken + GOLDEN[17:]))
    with pytest.raises(ProtocolError):
        list(iterate(GOLDEN[:8] + struct.pack(">i", 48) + GOLDEN[12:]))
    with pytest.raises(ProtocolError):
        BatchHeader.peek(GOLDEN[:60])


def test_append_time_is_the_time_of_every_record() -> None:
    """Consumers of a LogAppendTime topic would see the producers' clocks."""
    batch = build_batch(NEW)
    changed = rebuild_batch(read_records(batch), BatchHeader.peek(batch), NONE, append_time_ms=5)
    assert BatchHeader.peek(changed).attributes & LOG_APPEND_TIME
    assert {one.timestamp for one in read_records(changed)} == {5}
    assert verify_crc(changed)


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_rebuilding_keeps_offsets_and_producer(codec: int) -> None:
    """Compaction would move records, or make a producer's next batch look like a gap."""
    batch = build_batch(NEW, base_offset=100, producer_id=3, producer_epoch=1, base_sequence=9)
    header = BatchHeader.peek(batch)
    rest = [read_records(batch)[index] for index in (1, 3)]
    smaller = rebuild_batch(rest, header, codec)
    again = BatchHeader.peek(smaller)
    assert read_records(smaller) == rest
    assert (again.base_offset, again.last_offset, again.base_sequence, again.count) == (100, 103, 9, 2)
    assert BatchHeader.peek(rebuild_batch([], header, NONE)).count == 0
    assert read_records(rebuild_batch([], header, NONE)) == []


def test_control_records() -> None:
    """Consumers would hand markers to applications, or take a commit for an abort."""
    batch = build_control_batch([(2, b"who"), (5, b"what")], timestamp_ms=9, base_offset=1, leader_epoch=3)
    assert BatchHeader.peek(batch).attributes == CONTROL
    assert [(control_type(one), one.value) for one in read_records(batch)] == [(2, b"who"), (5, b"what")]
    for is_commit in (True, False):
        marker = build_end_marker(is_commit, timestamp_ms=9, producer_id=4, producer_epoch=2, coordinator_epoch=8)
        assert BatchHeader.peek(marker).attributes == CONTROL | TRANSACTIONAL
        assert read_end_marker(marker) == (not is_commit, 8)
    for other in (batch, GOLDEN, rebuild_batch([], BatchHeader.peek(GOLDEN), NONE)):
        with pytest.raises(ProtocolError):
            read_end_marker(other)


def test_damaged_records() -> None:
    """A batch from a client could end the broker's handler in something else than an error reply."""
    plain = build_batch(NEW)
    for position in range(HEADER_SIZE, len(plain)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            damaged = plain[:position] + bytes([value]) + plain[position + 1 :]
            try:
                read_records(damaged)
            except ProtocolError:
                continue
    for broken in (plain[:-1], plain + b"\0", plain[:16] + b"\1" + plain[17:]):
        with pytest.raises(ProtocolError):
            read_records(broken)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_compressed_bytes_are_bounded(codec: int) -> None:
    """A few kilobytes would unfold into all of the memory."""
    bomb = compress(codec, bytes(8 << 20))
    assert decompress(codec, bomb, 8 << 20) == bytes(8 << 20)
    with pytest.raises(ProtocolError, match="decompress to more"):
        decompress(codec, bomb, (8 << 20) - 1)
    for damaged in (bomb[:-5], bomb[: len(bomb) // 2], b"\0" * 20, b"\xff" * 50):
        with pytest.raises(ProtocolError):
            decompress(codec, damaged)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_nothing_is_a_zstd_stream_of_no_frames(codec: int) -> None:
    """A batch without any compressed byte would be refused for another reason than Kafka's, or taken."""
    if codec == ZSTD:
        assert decompress(codec, b"") == b""
    else:
        with pytest.raises(ProtocolError):
            decompress(codec, b"")


def test_codecs() -> None:
    """Java would refuse our lz4 frames (blocks must stand alone), and we the raw snappy blocks of librdkafka."""
    assert compress(LZ4, b"a" * 100_000)[4] & 0x20
    assert decompress(SNAPPY, bytes(cramjam.snappy.compress_raw(b"raw"))) == b"raw"
    assert compress(SNAPPY, b"x").startswith(b"\x82SNAPPY\x00\0\0\0\1\0\0\0\1")
    assert decompress(NONE, b"same") == compress(NONE, b"same") == b"same"
    assert len(compress(GZIP, bytes(range(256)) * 50, 9)) <= len(compress(GZIP, bytes(range(256)) * 50, 1))
    assert compress(GZIP, b"x" * 500, -1) == compress(GZIP, b"x" * 500)
    assert CODECS["zstd"] == 4
    with pytest.raises(ProtocolError):
        decompress(5, b"")
    for block in (b"\0\0\0", b"\0\0\0\0", b"\x7f\0\0\0abc", b"\xff\xff\xff\xff"):
        with pytest.raises(ProtocolError):
            decompress(SNAPPY, compress(SNAPPY, b"x") + block)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**14, 2**31 - 1, 2**32 - 1])
def test_unsigned_varints(value: int) -> None:
    """Lengths of more than 126 bytes would be misread."""
    assert read_uvarint(b"x" + encode_uvarint(value) + b"y", 1) == (value, 1 + len(encode_uvarint(value)))


@pytest.mark.parametrize("value", [0, -1, 1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_signed_varints(value: int) -> None:
    """Timestamps before the first of their batch would be misread."""
    assert read_varlong(encode_varlong(value), 0)[0] == value


def test_endless_varints() -> None:
    """A length could go on for the whole frame."""
    assert read_uvarint(b"\xff\xff\xff\xff\x7f", 0) == (0xFFFFFFFF, 5)
    with pytest.raises(ProtocolError):
        read_uvarint(b"\xff" * 5 + b"\0", 0)
    with pytest.raises(ProtocolError):
        read_varlong(b"\xff" * 10 + b"\0", 0)


def test_a_batch_from_the_end_of_time_is_rebuilt() -> None:
    """A producer whose timestamps do not fit into 64 bits ends the cleaner, or every append under another codec."""
    made = build_batch([(0, b"k", b"v"), (1 << 62, b"l", None), (-(1 << 62), b"m", b"")])
    header = BatchHeader.peek(made)._replace(base_timestamp=(1 << 63) - 1)
    batch = HEADER.pack(*header) + made[HEADER_SIZE:]
    records = read_records(batch)
    for kept in (records, records[1:], records[:1]):
        again = rebuild_batch(kept, header, NONE)
        assert verify_crc(again)
        assert read_records(again) == kept
