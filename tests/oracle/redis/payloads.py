"""Records what real servers DUMP: tests/golden/redis-payloads.json.

    REDIS_SERVER_74=/path/redis-server python -m tests.oracle.redis.payloads

Of each type and encoding one value, with compression off and on, from a 7.4.1 and the redis-server of the path; with
the payload its OBJECT ENCODING and DEBUG DIGEST-VALUE.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.peers.redis import Link, Server, real_server, server_74

GOLDEN = Path(__file__).parents[2] / "golden" / "redis-payloads.json"
ELEMENTS = " ".join([*(f"e{number}" for number in range(20)), "12", "-70000", "x" * 300])
VALUES = f"""
SET int8 -100|SET int32 1234567|SET text some-text-some-text-some-text|SET long {"abcdefgh" * 40}|RPUSH list {ELEMENTS}
CONFIG SET list-max-listpack-size 4|RPUSH quicklist {" ".join(f"el{number % 3}" for number in range(11))}
DEBUG QUICKLIST-PACKED-THRESHOLD 100b|RPUSH plain a {"b" * 200} c|DEBUG QUICKLIST-PACKED-THRESHOLD 0
CONFIG SET list-max-listpack-size -2|SADD intset16 1 2 -300|SADD intset32 70000 1|SADD intset64 {1 << 40} -5
SADD set a b 3 {"x" * 30}|SADD hashset {"y" * 70} b 3|ZADD zset 1 a 2.5 b -inf c 3e10 d 0.1 17
ZADD skiplist 1 {"q" * 70} inf b -2.25 c|HSET hash f v n 12 long {"z" * 60}|HSET hashtable f {"v" * 70} g 2
XADD stream 200-1 other 1|XADD stream 210-1 f 1 g text|XADD stream 220-5 f 2 g text|XADD stream 230-0 f 3 g text
XDEL stream 220-5|XGROUP CREATE stream g 0|XGROUP CREATE stream h $|XREADGROUP GROUP g me COUNT 2 STREAMS stream >
XGROUP CREATECONSUMER stream g idle|XADD gone 1-1 a b|XDEL gone 1-1|CONFIG SET stream-node-max-entries 2
XADD nodes 1-0 f 1|XADD nodes 2-0 f 2|XADD nodes 3-0 f 3|CONFIG SET stream-node-max-entries 100
"""
ENDING_FIELDS = f"""
HSET hash_ttl f v g 2 h 3|HPEXPIREAT hash_ttl 9000000000000 FIELDS 1 g|HPEXPIREAT hash_ttl 8000000000000 FIELDS 1 h
HSET hashtable_ttl f {"v" * 70} g 2 h 3|HPEXPIREAT hashtable_ttl 9000000000000 FIELDS 1 g
HPEXPIREAT hashtable_ttl 8000000000000 FIELDS 1 h
"""


def text(link: Link, *words: str) -> str:
    """A status, or the only one of an array."""
    return link.command(*words).split(b"\r\n")[-2].lstrip(b"+").decode()


def record(version: str, server: Server, found: dict[str, dict[str, str]]) -> None:
    with server:
        link = Link(server.port)
        for is_compressed in (False, True):
            link.command("FLUSHALL")
            link.command("CONFIG", "SET", "rdbcompression", "yes" if is_compressed else "no")
            lines = VALUES + (ENDING_FIELDS if version == "7.4.1" else "")
            for line in lines.strip().replace("\n", "|").split("|"):
                reply = link.command(*line.split())
                assert not reply.startswith(b"-"), (line, reply)
            keys = link.command("KEYS", "*").split(b"\r\n")[2::2]
            for key in sorted(name.decode() for name in keys if name):
                payload = link.command("DUMP", key).split(b"\r\n", 1)[1][:-2].hex()
                plain = f"{version} {key}"
                if is_compressed and found[plain]["payload"] == payload:
                    continue
                found[plain + " compressed" if is_compressed else plain] = {
                    "payload": payload,
                    "encoding": text(link, "OBJECT", "ENCODING", key),
                    "digest": text(link, "DEBUG", "DIGEST-VALUE", key),
                }
        link.close()


def main() -> None:
    newer = server_74()
    assert newer is not None, "REDIS_SERVER_74 names no redis-server 7.4.1"
    found: dict[str, dict[str, str]] = {}
    record("7.4.1", newer, found)
    record("7.0.15", real_server(), found)
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
