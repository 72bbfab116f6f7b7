"""Hostile bytes for everything that reads Kafka's formats: frames, headers, messages, batches, records.

`FUZZ_INPUTS` says how many inputs are generated (1,000,000 before a release), `FUZZ_SEED` which. Every input is read in
one piece and in pieces; nothing but `ProtocolError` may come of it, and what is understood must survive being written
and read again.
"""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from protocol.kafka.batch import HEADER, BatchHeader, iterate, stamped_front, verify_crc
from protocol.kafka.compression import GZIP, LZ4, NONE, SNAPPY, ZSTD
from protocol.kafka.framing import (
    DIRECT_FRAME_BYTES,
    Framer,
    Scratch,
    frame_request,
    read_reply,
    read_request_header,
    skip_header_tags,
)
from protocol.kafka.primitives import Buffer, ProtocolError
from protocol.kafka.records import (
    ABORT,
    COMMIT,
    Record,
    build_batch,
    build_control_batch,
    build_end_marker,
    control_type,
    each_record,
    read_end_marker,
    read_records,
    rebuild_batch,
    recompressed_batch,
    skim,
    unfold,
    walk,
)
from protocol.kafka.schema import Message, Request, Response, each
from protocol.ops.slices import at_once
from tests.unit.protocol.kafka.examples import Maker, make, message_classes, versions_of

INPUTS = int(os.environ.get("FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
FRAME_LIMIT = 1 << 16
NASTY = (
    b"\0",
    b"\1",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff" * 5,
    b"\xff" * 10,
)

HOSTILE_BYTES = 1 << 20
HOSTILE_MEMORY = 8 << 20
HOSTILE_SECONDS = 0.050
TRIES = 9
Decode = Callable[[type[Message], int, Buffer], Message]


def damage(data: bytes, choose: random.Random) -> bytes:
    """A few of the things that happen to bytes."""
    for _ in range(choose.choice((1, 1, 1, 2, 3, 8))):
        at = choose.randrange(len(data) + 1)
        what = choose.randrange(6)
        if what == 0:
            data = data[:at]
        elif what == 1:
            data = data[:at] + choose.choice(NASTY) + data[at:]
        elif what == 2:
            nasty = choose.choice(NASTY)
            data = data[:at] + nasty + data[at + len(nasty) :]
        elif what == 3:
            data = data[:at] + choose.randbytes(choose.randrange(1, 9)) + data[at + 1 :]
        elif what == 4 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]
        else:
            other = choose.randrange(len(data) + 1)
            data = data[:at] + data[min(at, other) : max(at, other)] + data[at:]
    return data


def understood(read: Callable[[], Any]) -> Any:
    """What came of the bytes, or None where they were refused. Anything but a ProtocolError gets through."""
    try:
        return read()
    except ProtocolError:
        return None


def in_slices(kind: type[Message], version: int, data: Buffer) -> Message:
    """What a broker does with a long request."""
    return at_once(kind.decode_in_slices(version, data))


def test_messages() -> None:
    """A request or a stored record could end the broker in an exception nobody expects."""
    choose = random.Random(SEED)
    kinds = [(kind, version) for kind in message_classes() for version in versions_of(kind)]
    samples = {one: make(*one, "mixed", SEED).encode(one[1]) for one in kinds}
    refused = 0
    for _ in range(INPUTS // 2):
        kind, version = choose.choice(kinds)
        data = (
            choose.randbytes(choose.randrange(60)) if choose.random() < 0.1 else damage(samples[kind, version], choose)
        )
        message = understood(lambda kind=kind, version=version, data=data: kind.decode(version, data))
        refused += message is None
        sliced = understood(lambda kind=kind, version=version, data=data: in_slices(kind, version, data))
        assert (sliced is None) == (message is None), (kind, version, data.hex())
        if message is not None:
            again = message.encode(version)
            assert sliced.encode(version) == again, (kind, version, data.hex())
            assert kind.decode(version, again).encode(version) == again, (kind, version, data.hex())
            assert sliced == message or "nan" in repr(message)  # the one value that is not equal to itself
            for row in kind.fields:  # answers are made while they are encoded
                entries = getattr(message, row.name)
                if row.is_list and row.is_struct and entries is not None and row.tag is None:
                    setattr(message, row.name, each(entries, lambda entry: entry))
            assert b"".join(at_once(message.encode_in_slices(version, bytearray()))) == again
        assert understood(lambda kind=kind, data=data: kind.decode(kind.highest + 1, data)) is None
    assert INPUTS // 20 < refused < INPUTS // 2, "neither everything nor nothing is refused"


def read_stream(chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """The frames in a stream, and whether it ended in a refusal."""
    framer = Framer(FRAME_LIMIT)
    found: list[bytes] = []
    for chunk in chunks:
        framer.feed(chunk)
        if framer.failure is None:
            found += map(bytes, framer.frames())
    while ready := understood(framer.frames):
        found += map(bytes, ready)
    return found, framer.failure is not None


def read_rooms(data: bytes, choose: random.Random, scratch: Scratch) -> tuple[list[bytes], bool]:
    """As `read_stream`, received where it belongs, so many bytes at a time as come."""
    framer = Framer(FRAME_LIMIT, scratch)
    found: list[bytes] = []
    at = 0
    while at < len(data) and framer.failure is None:
        room = framer.room()
        count = min(len(room), len(data) - at, choose.choice((1, 7, 5000, FRAME_LIMIT)))
        room[:count] = data[at : at + count]
        at += count
        framer.filled(count)
        assert framer.buffered_bytes <= at
        if framer.failure is None:
            found += map(bytes, framer.frames())
    while ready := understood(framer.frames):
        found += map(bytes, ready)
    return found, framer.failure is not None


def test_large_frames() -> None:
    """A large request would be read otherwise than the same bytes in small pieces."""
    choose, scratch = random.Random(SEED), Scratch()
    for _ in range(INPUTS // 1000):
        parts = []
        for _ in range(choose.randrange(1, 4)):
            body = bytes([choose.randrange(256)]) * choose.choice((10, 5000, DIRECT_FRAME_BYTES, FRAME_LIMIT))
            parts.append(struct.pack(">i", len(body)) + body)
        data = b"".join(parts)
        if choose.random() < 0.5:
            data = damage(data, choose)
        assert read_rooms(data, choose, scratch) == read_stream([data])


def test_frames() -> None:
    """Two chunkings of a stream would be two different conversations."""
    choose = random.Random(SEED)
    requests = [kind for kind in message_classes() if issubclass(kind, Request)]
    for _ in range(INPUTS // 10):
        parts = []
        for _ in range(choose.randrange(1, 4)):
            kind = choose.choice(requests)
            version = choose.choice(versions_of(kind))
            name = choose.choice((None, "", "client", "ö" * 50))
            parts.append(b"".join(frame_request(make(kind, version, "mixed", SEED), version, 1, name)))
        data = b"".join(parts)
        if choose.random() < 0.8:
            data = damage(data, choose)
        size = choose.randrange(1, 200)
        whole = read_stream([data])
        assert whole == read_stream([data[at : at + 1] for at in range(len(data))])
        assert whole == read_stream([data[at : at + size] for at in range(0, len(data), size)])
        for one in whole[0]:
            read_request(memoryview(one), requests)


def read_request(frame: memoryview, requests: list[type[Message]]) -> None:
    """What a session does with a frame, and what a client would."""
    header = understood(lambda: read_request_header(frame))
    if header is None:
        return
    key, version, _, _, end = header
    for kind in requests:
        if issubclass(kind, Request) and kind.api_key == key and kind.lowest <= version <= kind.highest:
            start = understood(lambda: skip_header_tags(frame, end)) if version >= kind.flexible else end
            if start is not None:
                understood(lambda kind=kind, start=start: kind.decode(version, frame, start))
            understood(lambda kind=kind: read_reply(frame, kind, version))


PLAIN_RECORDS = build_batch(
    [(5, b"k", b"v" * 200), (2**40, None, b"x", [("name", b"value"), ("none", None)]), (-1, b"", None)] * 2
)[HEADER.size :]


@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
def test_batches(codec: int) -> None:
    """A produced or fetched batch could end the broker, or be read beyond its end."""
    choose = random.Random(SEED + codec)
    headers = [("name", b"value"), ("none", None)]
    sample = build_batch([(5, b"k", b"v" * 20), (2**40, None, b"x", headers), (1, b"", None)] * 3, codec=codec)
    for _ in range(INPUTS // 20):
        data = damage(sample * choose.choice((1, 1, 3)), choose)
        found = understood(lambda data=data: [(header, bytes(view)) for header, view in iterate(data)])
        for header, batch in found or []:
            place_in_log(header, batch, choose)
            understood(lambda batch=batch: read_end_marker(batch))
            records = understood(lambda batch=batch: read_records(batch, 1 << 20))
            if records is not None:
                agree(records, unfold(batch, 1 << 20), header)
                make_anew(records, batch, choose)
        # The same damage behind a header that fits, so that it reaches the records.
        body = damage(sample[HEADER.size :], choose)
        header = BatchHeader.peek(sample)._replace(length=HEADER.size - 12 + len(body))
        records = understood(lambda header=header, body=body: read_records(HEADER.pack(*header) + body, 1 << 20))
        assert records is None or len(records) <= 1 << 20
        # And without a codec, most of whose damage it is that is noticed first.
        plain = damage(PLAIN_RECORDS, choose)
        seen = BatchHeader.peek(build_batch([(5, b"k", b"v")]))
        agree(understood(lambda plain=plain, seen=seen: list(walk(plain, seen))), plain, seen)


def agree(records: list[Record] | None, data: bytes, header: BatchHeader) -> None:
    """What a skimmer says of records is what they are: where it would err, a broker keeps what it must refuse."""
    skimmed = at_once(skim(data, header))
    if not records:
        assert skimmed is None
        return
    instants = [record.timestamp for record in records]
    has_null_key = any(record.key is None for record in records)
    assert skimmed == (len(records), min(instants), max(instants), has_null_key)


def place_in_log(header: BatchHeader, batch: bytes, choose: random.Random) -> None:
    """What the broker does to a batch that it takes over: it replaces what lies before the checksum, and only that."""
    assert header.size == len(batch)
    offset, epoch = choose.randrange(1 << 62), choose.randrange(1 << 31)
    placed = stamped_front(header, offset, epoch) + batch[16:]
    after = BatchHeader.peek(placed)
    assert (after.base_offset, after.leader_epoch, after.codec) == (offset, epoch, header.codec)
    assert after.last_offset - offset == header.last_offset - header.base_offset
    assert verify_crc(placed) == verify_crc(batch)


def make_anew(records: list[Record], batch: bytes, choose: random.Random) -> None:
    """What compaction does, and an append under another codec: the same records come out of the new batch."""
    header, codec = BatchHeader.peek(batch), choose.choice((NONE, GZIP, SNAPPY, LZ4, ZSTD))
    instant = choose.choice((None, 1_700_000_000_000))
    other = at_once(recompressed_batch(unfold(batch, 1 << 20), header, codec, append_time_ms=instant))
    assert verify_crc(other)
    assert read_records(other) == [at_instant(record, instant) for record in records]
    kept = [record for record in records if choose.random() < 0.7]
    other = rebuild_batch(kept, header, codec, append_time_ms=instant)
    assert verify_crc(other)
    assert [(one.offset, one.key, one.value, one.headers) for one in read_records(other)] == [
        (one.offset, one.key, one.value, one.headers) for one in kept
    ]
    if instant is not None:
        assert {one.timestamp for one in read_records(other)} <= {instant}


def at_instant(record: Record, instant: int | None) -> Record:
    return record if instant is None else record._replace(timestamp=instant)


def test_control_batches() -> None:
    """A marker that ends no transaction is taken for one, or ends the broker."""
    choose = random.Random(SEED)
    value = struct.pack(">hi", 0, 7)
    samples = [
        build_end_marker(is_commit, timestamp_ms=1, producer_id=5, producer_epoch=2, coordinator_epoch=7)
        for is_commit in (False, True)
    ]
    samples += [build_control_batch([(kind, value), (1, b"")], timestamp_ms=1) for kind in range(-1, 8)]
    samples.append(build_batch([(1, None, value)]))
    samples.append(build_batch([(1, b"\0\0\0", value)]))
    assert [read_end_marker(one) for one in samples[:2]] == [(True, 7), (False, 7)]
    ended = 0
    for _ in range(INPUTS // 20):
        data = choose.choice(samples)
        if choose.random() < 0.8:
            body = damage(data[HEADER.size :], choose)
            header = BatchHeader.peek(data)
            data = HEADER.pack(*header._replace(length=HEADER.size - 12 + len(body))) + body
        marker = understood(lambda data=data: read_end_marker(data))
        records = understood(lambda data=data: read_records(data, 1 << 20)) or []
        kinds = [understood(lambda record=record: control_type(record)) for record in records]
        if marker is not None and records:  # otherwise damaged behind the marker
            assert kinds[0] in (ABORT, COMMIT)
            assert marker[0] == (kinds[0] == ABORT)
        ended += marker is not None
    assert INPUTS // 400 < ended < INPUTS // 20


def hostile(kind: type[Message], version: int, decode: Decode) -> list[bytes]:
    """Messages of a mebibyte that consist of as many elements as that can hold, for each list at the top."""
    found = []
    for row in kind.fields:
        if not (row.is_list and row.is_in(version) and row.tag is None):
            continue
        message = make(kind, version, "blank")
        full, blank = getattr(make(kind, version, "full"), row.name)[0], Maker(version, "blank", "").scalar(kind, row)
        for element in ([full], [blank]):
            setattr(message, row.name, element)
            unit = max(1, len(message.encode(version)) - 1)
            setattr(message, row.name, element * 2)
            unit = max(1, len(message.encode(version)) - 1 - unit)
            count = HOSTILE_BYTES // unit
            while count:  # and the most that is not refused
                setattr(message, row.name, element * count)
                found.append(message.encode(version)[:HOSTILE_BYTES])
                padded = found[-1] + bytes(HOSTILE_BYTES - len(found[-1]))
                if understood(lambda data=padded: decode(kind, version, data)):
                    found[-1] = padded
                    break
                count = count * 2 // 3
    return found


def held(read: Callable[[], Any]) -> int:
    """Most bytes held at a time while reading something."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def spent(read: Callable[[], Any]) -> float:
    """Least seconds of some tries of reading something: a busy machine takes from a process's own time as well."""
    tries: list[float] = []
    while len(tries) < TRIES and (not tries or tries[-1] > HOSTILE_SECONDS):
        began = time.process_time()
        read()
        tries.append(time.process_time() - began)
    return min(tries)


def receive(frame: bytes, read: Callable[[memoryview], Any]) -> None:
    """A frame as it comes from a socket, in pieces, and then what is made of it."""
    framer = Framer()
    for at in range(0, len(frame), 1 << 16):
        framer.feed(frame[at : at + (1 << 16)])
    for one in framer.frames():
        understood(lambda one=one: read(one))


def whole(kind: type[Message], version: int, data: Buffer) -> Message:
    """What a client does with a reply, and a broker with what it has stored."""
    return kind.decode(version, data)


def longest_slice(kind: type[Message], version: int, data: bytes) -> float:
    """The seconds others wait at a time while a message is decoded: the least of some tries."""
    longest = []
    while len(longest) < TRIES and (not longest or longest[-1] > HOSTILE_SECONDS):
        slices, decoding, is_done = [], kind.decode_in_slices(version, data), False
        while not is_done:
            began = time.process_time()
            try:
                next(decoding)
            except (StopIteration, ProtocolError):
                is_done = True
            slices.append(time.process_time() - began)
        longest.append(max(slices))
    return min(longest)


def test_hostile_frames_are_cheap() -> None:
    """One client with one frame of a megabyte could take a hundred of memory, or the loop for seconds."""
    choose = random.Random(SEED)
    cases = [
        (kind, version) for kind in message_classes() if not issubclass(kind, Response) for version in kind.versions
    ]
    choose.shuffle(cases)
    worst: list[tuple[float, str]] = []
    for kind, version in cases[: min(40, max(4, INPUTS // 5000))]:
        is_request = issubclass(kind, Request)  # a broker decodes long ones in slices
        decode = in_slices if is_request else whole
        for body in hostile(kind, version, decode):
            frame = struct.pack(">i", len(body)) + body
            reading = partial(receive, frame, partial(decode, kind, version))
            peak = held(reading)
            assert peak <= HOSTILE_MEMORY, f"{kind.__name__} v{version}: {peak / 1e6:.1f} MB"
            seconds = longest_slice(kind, version, body) if is_request else spent(reading)
            worst.append((seconds, f"{kind.__name__} v{version}"))
    assert max(worst)[0] <= HOSTILE_SECONDS, max(worst)


@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
def test_hostile_batches_are_cheap(codec: int) -> None:
    """The same for batches: records without content, and bytes that unfold without end."""
    if codec == NONE:
        data = b"\x0c\0\0\0\1\1\0" * (HOSTILE_BYTES // 7)
        batch = HEADER.pack(*BatchHeader(0, 49 + len(data), 0, 2, 0, 0, 0, 0, 0, -1, -1, -1, 1)) + data
    else:
        batch = build_batch([(0, None, bytes(4 << 20))], codec=codec)
    tracemalloc.start()
    try:
        for at, _record in enumerate(each_record(batch, 4 << 20) if codec == NONE else []):
            if at > 1000:
                break
        if codec != NONE:
            understood(lambda: read_records(batch, 1 << 20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= HOSTILE_MEMORY
