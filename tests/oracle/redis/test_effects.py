"""What a command tells the append-only file is what the real server writes there, command by command."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from miniredis.engine.client import Client
from miniredis.engine.execute import Engine
from miniredis.engine.journal import TO_AOF
from miniredis.engine.settings import Settings
from miniredis.engine.state import State
from protocol.ops.clock import Clock
from protocol.resp.parser import Parser
from tests.oracle.redis.generated import Draw, Episode, table
from tests.oracle.redis.play import shown
from tests.oracle.redis.wire import Wire
from tests.peers.redis import Server, binary_74, real_binary

COMMANDS = int(os.environ.get("EFFECTS_COMMANDS", "3000"))
SEED = int(os.environ.get("GENERATED_SEED", "1"))
# Written at once (a pending fsync would hold writes back), as commands from the start, never rewritten.
AOF = ["--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no"]
# Deadlines are instants: the two servers did not ask the clock at the same moment.
INSTANT_FROM, INSTANT_APART_MS = 1_000_000_000_000, 60_000
CHANCE = (b"SPOP",)

pytestmark = pytest.mark.peer


class Kept:
    """A sink that keeps what the append-only file would be fed."""

    target = TO_AOF

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes, effects: int = 1) -> None:
        self.data += data


class Ours:
    """The engine without a socket."""

    def __init__(self) -> None:
        self.state = State(Settings(), Clock(), Random(SEED), table())
        self.engine = Engine(self.state)
        self.state.apply_settings(Settings())
        self.client = Client(1, self.state.dbs[0])
        self.engine.admit(self.client)
        self.sink = Kept()
        self.state.journal.attach(self.sink)

    def effects(self, argv: list[bytes]) -> list[list[bytes]]:
        self.engine.plain.run(self.client, [list(argv)])
        if self.client.blocked is not None:
            self.engine.waiting.unblock(self.client, with_error=False)
        self.client.out.clear()
        data, self.sink.data = self.sink.data, b""
        return Parser().take(data) if data else []


class Theirs:
    """The real server, and the end of its append-only file."""

    def __init__(self, server: Server) -> None:
        self.wire = Wire("127.0.0.1", server.port)
        (self.path,) = Path(server.directory, "appendonlydir").glob("*.incr.aof")
        self.at = 0

    def effects(self, argv: list[bytes]) -> list[list[bytes]]:
        self.wire.ask(*argv)  # answered after it was written down
        with self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        self.at += len(data)
        return Parser().take(data) if data else []


def alike(theirs: list[list[bytes]], ours: list[list[bytes]], is_old: bool) -> bool:
    if is_old:
        theirs, ours = as_new(theirs), as_new(ours)
    if len(theirs) != len(ours):
        return False
    for their_words, our_words in zip(theirs, ours, strict=True):
        if len(their_words) != len(our_words) or their_words[0].upper() != our_words[0].upper():
            return False
        for a, b in zip(their_words[1:], our_words[1:], strict=True):
            if a != b and not (is_instant(a) and is_instant(b) and abs(int(a) - int(b)) < INSTANT_APART_MS):
                return False
    return True


def as_new(effects: list[list[bytes]]) -> list[list[bytes]]:
    """Without what 7.0 tells otherwise than 7.4: SELECT before MULTI, SET with a deadline without its conditions."""
    found = [unconditional(words) if words[0].upper() == b"SET" else words for words in effects]
    if [words[0] for words in found[:2]] == [b"SELECT", b"MULTI"]:
        found[:2] = found[1::-1]
    return found


def less_told(argv: list[bytes], effects: list[list[bytes]]) -> list[list[bytes]]:
    """Without what ours tells and 7.4.1 forgets: that HINCRBYFLOAT leaves a field its end, which the HSET it is told as
    takes from it."""
    if argv[0].upper() == b"HINCRBYFLOAT" and [words[0] for words in effects[1:3]] == [b"HSET", b"HPEXPIREAT"]:
        return effects[1:2]
    return effects


def unconditional(words: list[bytes]) -> list[bytes]:
    return words[:3] + [word.upper() for word in words[3:] if word.upper() not in (b"NX", b"XX", b"GET")]


def is_instant(word: bytes) -> bool:
    return word.isdigit() and int(word) >= INSTANT_FROM


def compare(binary: str, is_old: bool) -> None:
    commands = [argv for argv in Episode(Draw(SEED, is_old=is_old), COMMANDS).commands if argv[0].upper() not in CHANCE]
    with Server([binary], AOF) as server:
        theirs, ours = Theirs(server), Ours()
        for number, argv in enumerate(commands):
            expected, found = theirs.effects(argv), less_told(argv, ours.effects(argv))
            assert alike(expected, found, is_old), (
                f"GENERATED_SEED={SEED}, command {number}: {shown(argv)}\n"
                f"real {[shown(words) for words in expected]}\nours {[shown(words) for words in found]}"
            )
        theirs.wire.close()


def test_effects_equal_the_real_servers() -> None:
    """A replica or an append-only file would be told something else than Redis tells it."""
    compare(real_binary(), is_old=True)


def test_effects_equal_those_of_7_4() -> None:
    """A replica or an append-only file would be told something else than the version we claim tells it."""
    binary = binary_74()
    if binary is None:
        pytest.skip("REDIS_SERVER_74 names no redis-server 7.4.1")
    compare(binary, is_old=False)
