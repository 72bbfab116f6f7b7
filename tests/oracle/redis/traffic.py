"""Random writes of every kind, reproducible by seed: for what has to hold the same data as its source."""

from __future__ import annotations

import time
from random import Random

from tests.peers.redis import DEADLINE_S, Link, request

KEYS = 40
DATABASES = 3
BATCH = 60
# Scores are whole numbers: a 7.0 server sums others in another notation than 7.4.
KINDS = (
    "SET {s} {v}", "SET {s} {v} PX {ms}", "SET {s} {v} KEEPTTL", "APPEND {s} {v}", "SETRANGE {s} {i} {v}", "GETDEL {s}",
    "GETEX {s} PX {ms}", "INCRBY {n} {i}", "INCRBYFLOAT {f} {i}.25", "MSET {s} {v} {s} {v}", "SETBIT {b} {i} 1",
    "LPUSH {l} {v} {v}", "RPOP {l} 2", "LMOVE {l} {l} LEFT RIGHT", "LINSERT {l} BEFORE {w} {v}", "LTRIM {l} 0 20",
    "SORT {l} ALPHA STORE {l}", "HSET {h} {w} {v}", "HDEL {h} {w} {w}", "HINCRBYFLOAT {g} {w} {i}.5",
    "SADD {S} {w} {w} {w}", "SPOP {S}", "SPOP {S} 3", "SUNIONSTORE {S} {S} {S}", "ZADD {z} {i} {w} {i} {w}",
    "ZPOPMIN {z} 2", "ZINCRBY {z} {i} {w}", "ZUNIONSTORE {z} 2 {z} {z}", "XADD {x} MAXLEN = 30 * {w} {v}",
    "XGROUP CREATE {x} group 0 MKSTREAM", "XREADGROUP GROUP group me COUNT 2 STREAMS {x} >", "PFADD {p} {v} {v}",
    "GEOADD {G} {i} {i} {w}", "PEXPIRE {any} {ms}", "PERSIST {any}", "RENAME {s} {s}", "COPY {l} {l} REPLACE",
    "DEL {any}", "UNLINK {any} {any}", "SELECT {db}", "MOVE {s} {db}",
)  # fmt: skip
SCRIPT = "redis.call('incr', KEYS[1]) redis.call('rpush', KEYS[2], ARGV[1]) return redis.call('spop', KEYS[3])"


class Traffic:
    kinds = KINDS
    scripts = 0.03  # of all

    def __init__(self, port: int, seed: int, keys: int = KEYS) -> None:
        self.link = Link(port)
        self.chance = Random(seed)
        self.keys = keys  # of each kind

    def word(self, longest: int) -> str:
        return "".join(self.chance.choices("abcdef", k=self.chance.randint(1, longest)))

    def key(self, kind: str) -> str:
        return f"{kind}{self.chance.randrange(self.keys)}"

    def one(self) -> list[bytes]:
        chance = self.chance
        if chance.random() < self.scripts:
            words = ["EVAL", SCRIPT, "3", self.key("n"), self.key("l"), self.key("S"), self.word(9)]
            return [word.encode() for word in words]
        filled = []
        for word in chance.choice(self.kinds).split():
            name = word[1:-1] if word.startswith("{") and word.endswith("}") else ""
            if name == "v":
                word = self.word(chance.choice((4, 30, 300)))
            elif name == "w":
                word = self.word(3)
            elif name == "ms":
                word = str(chance.randint(1, 400))
            elif name == "db":
                word = str(chance.randrange(DATABASES))
            elif name == "any":
                word = self.key(chance.choice("snlhSzx"))
            elif name and name != "i":
                word = self.key(name)
            filled.append(word.replace("{i}", str(chance.randint(0, 80))).encode())
        return filled

    def send(self, count: int) -> None:
        """So many commands, some of them in transactions, and their answers awaited."""
        while count > 0:
            batch = [self.one() for _ in range(self.chance.randint(1, min(BATCH, count)))]
            count -= len(batch)
            if self.chance.random() < 0.3:
                batch = [[b"MULTI"], *batch, [b"EXEC"]]
            self.link.send(b"".join(map(request, batch)))
            for _ in batch:
                self.link.reply()


def info(link: Link, field: str) -> str:
    """A field of INFO; empty where it is not told."""
    for line in link.command("INFO", "all").decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name == field:
            return value
    return ""


def until(what: str, condition: object) -> None:
    """Wait until `condition()` is true."""
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def follow(replica: Link, port: int) -> None:
    """Make it a replica of the server at this port, and wait until it is connected."""
    assert replica.command("REPLICAOF", "127.0.0.1", str(port)).startswith(b"+OK")
    until("the link", lambda: info(replica, "master_link_status") == "up")


def same_place(primary: Link, replica: Link) -> None:
    until(
        "the same offset",
        lambda: info(primary, "master_repl_offset") == info(replica, "slave_repl_offset"),
    )


def same_data(primary: Link, *replicas: Link) -> None:
    """Wait until what has to expire has; then all hold the same."""

    def is_settled() -> bool:
        told = [info(primary, f"db{db}") for db in range(DATABASES)]
        return all("expires=0," in each for each in told if each)

    until("the end of keys that end", is_settled)
    for replica in replicas:
        same_place(primary, replica)
        assert replica.command("DEBUG", "DIGEST") == primary.command("DEBUG", "DIGEST")
