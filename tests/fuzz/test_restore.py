"""RESTORE under damaged payloads: an error or a value that can be worked with, at once, and nothing else ever.

The payloads are real ones (tests/golden/redis-payloads.json, from 7.0.15 and 7.4.1), those of our own encoder, and the
forms of older versions. A fifth of `FUZZ_INPUTS` is how many damaged ones are tried (default 2,000).
"""

from __future__ import annotations

import json
import os
import random
import time
from functools import cache
from pathlib import Path

from miniredis.engine.settings import Settings
from miniredis.keyspace.value import type_name
from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_format import sealed
from miniredis.structures import listpack
from protocol.resp.values import Failure
from tests.unit.miniredis.world import World

INPUTS = int(os.environ.get("FUZZ_INPUTS", "10000")) // 5  # each is worked with: a millisecond
SEED = int(os.environ.get("FUZZ_SEED", "1"))
GOLDEN = Path(__file__).parents[1] / "golden" / "redis-payloads.json"
# What one command may take of the processor at most: ten times what any of them should.
MAX_COMMAND_S = 0.25

# Traffic of each type, on what was accepted under the key `k`.
TRAFFIC = {
    b"string": "GET k|STRLEN k|APPEND k x|GETRANGE k 0 5|SETRANGE k 3 yy|INCR k|BITCOUNT k|SETBIT k 100 1",
    b"list": "LLEN k|LRANGE k 0 -1|LINDEX k 1|LPOS k a|RPUSH k new|LPUSH k new|LINSERT k BEFORE new x|LSET k 0 first|"
             "LREM k 1 new|LTRIM k 0 3|RPOP k|LPOP k 2|SORT k ALPHA",
    b"set": "SCARD k|SMEMBERS k|SISMEMBER k a|SADD k new 7 77777777777|SREM k a|SRANDMEMBER k 3|SSCAN k 0|SPOP k|"
            "SINTER k k|SMOVE k k2 new|SUNIONSTORE d k",
    b"zset": "ZCARD k|ZRANGE k 0 -1 WITHSCORES|ZRANGEBYSCORE k -inf +inf|ZADD k 5 new|ZINCRBY k 2 new|ZRANK k new|"
             "ZSCORE k a|ZREM k a|ZPOPMIN k|ZRANDMEMBER k 2|ZSCAN k 0|ZRANGEBYLEX k - +|ZUNIONSTORE d 1 k",
    b"hash": "HLEN k|HGETALL k|HGET k f|HSET k f new g 2|HINCRBY k count 1|HDEL k f|HRANDFIELD k 2|HSCAN k 0|HVALS k",
    b"stream": "XLEN k|XRANGE k - +|XREVRANGE k + - COUNT 2|XINFO STREAM k FULL|XADD k * f v|XGROUP CREATE k n 0|"
               "XREADGROUP GROUP n me COUNT 2 STREAMS k >|XREADGROUP GROUP g me COUNT 2 STREAMS k 0|XPENDING k g - + 5|"
               "XAUTOCLAIM k g you 0 0 COUNT 3|XDEL k 5-2 200-1|XTRIM k MAXLEN 3|XINFO GROUPS k|XGROUP DESTROY k g",
}  # fmt: skip
ANY_TYPE = (
    "DUMP k|OBJECT ENCODING k|MEMORY USAGE k|DEBUG DIGEST-VALUE k|COPY k twin REPLACE|DEBUG OBJECT k|DEBUG RELOAD"
)


def test_damaged_payloads_are_errors_or_values() -> None:
    """A payload from outside could end the connection, hang the server, or leave a key that does later."""
    chance = random.Random(SEED)
    payloads = corpus()
    accepted = 0
    for _ in range(INPUTS):
        body = damaged(chance.choice(payloads)[:-10], chance)
        accepted += survives(sealed(body, chance.choice((6, 9, 10, 11, 12))))
    assert INPUTS // 50 < accepted < INPUTS


def test_every_payload_is_accepted_whole() -> None:
    """The damage would be tried on what was never understood."""
    for payload in corpus():
        assert survives(payload), payload.hex()


def test_every_cut_is_refused_or_whole() -> None:
    """Reading would go on beyond the end."""
    chance = random.Random(SEED)
    for payload in chance.sample(corpus(), 12):
        body = payload[:-10]
        for size in chance.sample(range(len(body)), min(len(body), 25)):
            survives(sealed(body[:size], 10))


def survives(payload: bytes) -> bool:
    """RESTORE it into a fresh server and, if that took it, work with it; whether it took it."""
    world = fresh()
    world.state.dbs[0].clear()
    world.state.keyspace.waste.free()
    reply = timed(world, [b"RESTORE", b"k", b"0", payload])
    if isinstance(reply, Failure):
        assert reply.text == b"ERR Bad data format"
        assert len(world.state.dbs[0]) == 0
        return False
    value = world.state.dbs[0].table.get(b"k")
    assert value is not None
    kind = type_name(value)
    for line in f"{ANY_TYPE}|{TRAFFIC[kind]}|{ANY_TYPE}".split("|"):
        timed(world, line.encode().split())
    return True


def timed(world: World, words: list[bytes]) -> object:
    begun = time.thread_time()
    reply = world.engine.execute(world.client, [words])[0]
    assert time.thread_time() - begun < MAX_COMMAND_S, words
    return reply


@cache
def fresh() -> World:
    return World(Settings(enable_debug_command="yes"))


def damaged(body: bytes, chance: random.Random) -> bytes:
    """A payload with something wrong: bits, bytes, lengths, pieces moved, repeated or missing, another type."""
    data = bytearray(body)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(data))
        way = chance.randrange(7)
        if way == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            data[at] = chance.choice((0, 1, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xC3, 0xF0, 0xF4, 0xFE, 0xFF))
        elif way == 2:
            data[0] = chance.randrange(28)
        elif way == 3:
            data[at:at] = bytes((chance.randrange(256),)) * chance.choice((1, 4, 9))
        elif way == 4:
            del data[at : at + chance.choice((1, 2, 8))]
        elif way == 5:
            data[at:at] = data[at : at + chance.randrange(1, 30)]
        else:
            data[at : at + 9] = b"\x81" + chance.choice(
                (b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0\0\0\0\x7f\xff\xff\xff")
            )
        if not data:
            data += b"\0"
    return bytes(data)


@cache
def corpus() -> list[bytes]:
    recorded = [bytes.fromhex(each["payload"]) for each in json.loads(GOLDEN.read_text()).values()]
    return recorded + [sealed(body, 10) for body in old_forms()] + our_own()


def our_own() -> list[bytes]:
    world = World()
    lines = (
        "SET a 17|RPUSH b 1 2 three|SADD c 5 6|SADD d x y|ZADD e 1 x 2.5 y|HSET f k v|XADD g 1-1 f v|PFADD h a b c|"
        "SETBIT i 77 1|XGROUP CREATE g g 0"
    )
    for line in lines.split("|"):
        world(line)
    return [world(f"DUMP {key}") for key in "abcdefghi"]


def old_forms() -> list[bytes]:
    """Values as servers before 7.0 wrote them."""

    def text(data: bytes) -> bytes:
        return rdb.string(data, is_compressed=False)

    zipmap = b"\x02\x03foo\x03\x00bar\x05hello\x05\x00world\xff"
    return [
        b"\x01\x02" + text(b"a") + text(b"12"),
        b"\x02\x02" + text(b"x") + text(b"2"),
        b"\x03\x02" + text(b"x") + b"\x031.5" + text(b"y") + b"\xfe",
        b"\x04\x02" + text(b"f") + text(b"v") + text(b"g") + text(b"1"),
        b"\x05\x02" + text(b"x") + rdb.double(2.5) + text(b"y") + rdb.double(-1.0),
        b"\x09" + text(zipmap),
        b"\x0a" + text(ziplist(b"a", b"5", b"text", b"x" * 100)),
        b"\x0b" + text(bytes.fromhex("0200000003000000010002002c01")),
        b"\x0c" + text(ziplist(b"a", b"1", b"b", b"2")),
        b"\x0d" + text(ziplist(b"f", b"1", b"g", b"text")),
        b"\x0e\x02" + text(ziplist(b"a", b"1")) + text(ziplist(b"b")),
        b"\x14" + text(listpack.encode([b"a", b"1", b"long text"])),
        b"\x0f" + b"\x01" + text(bytes(15) + b"\x01") + text(listpack.encode([1, 0, 1, b"f", 0, 2, 0, 0, b"v", 4]))
        + b"\x01\x00\x01\x00",
    ]  # fmt: skip


def ziplist(*elements: bytes) -> bytes:
    body, before, tail = b"", 0, 10
    for element in elements:
        tail = 10 + len(body)
        head = (
            bytes((before, 0xF1 + int(element)))
            if element.isdigit()
            else (bytes((before, len(element))) if len(element) < 64 else bytes((before, 0x40, len(element))))
        )
        piece = head + (b"" if element.isdigit() else element)
        body += piece
        before = len(piece)
    header = (11 + len(body)).to_bytes(4, "little") + tail.to_bytes(4, "little") + len(elements).to_bytes(2, "little")
    return header + body + b"\xff"
