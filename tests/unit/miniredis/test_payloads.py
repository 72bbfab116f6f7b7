"""Payloads that real servers wrote (tests/golden/redis-payloads.json): read, summed and written again as they do."""

import json
from pathlib import Path

import pytest

from miniredis.engine.call import TO_AOF
from miniredis.engine.settings import Settings
from miniredis.persist import digest
from protocol.resp.parser import Parser
from tests.unit.miniredis.world import Ear, World

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "redis-payloads.json").read_text())
FOOTER_BYTES = 10
# What is written in a type that Redis 7.0 reads, where 7.4.1 writes one of its own.
OLDER_TYPES = {"7.4.1 set", "7.4.1 gone", "7.4.1 nodes"}
# 7.0 prints scores in 17 digits, and has other encodings for small lists and sets of text.
OLD_WAYS = {"7.0.15 zset", "7.0.15 skiplist"}
OLD_ENCODINGS = {"7.0.15 list", "7.0.15 set"}


def restored(name: str) -> World:
    is_compressed = name.endswith("compressed")
    world = World(Settings(enable_debug_command="yes", rdbcompression=is_compressed))
    reply = world.engine.execute(world.client, [[b"RESTORE", b"k", b"0", bytes.fromhex(GOLDEN[name]["payload"])]])
    assert reply[0].text == b"OK"
    return world


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.removesuffix(" compressed") not in OLD_WAYS])
def test_digest_is_the_real_servers(name: str) -> None:
    """A value would arrive changed."""
    assert restored(name)("DEBUG DIGEST-VALUE k")[0].text.decode() == GOLDEN[name]["digest"]


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.removesuffix(" compressed") in OLD_WAYS])
def test_only_the_digits_of_scores_are_summed_otherwise_by_7_0(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DEBUG DIGEST tells apart in a 7.0 would be more than how it prints a score."""
    monkeypatch.setattr(digest, "format_shortest", lambda score: b"%.17g" % score)
    assert restored(name)("DEBUG DIGEST-VALUE k")[0].text.decode() == GOLDEN[name]["digest"]


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.removesuffix(" compressed") not in OLD_ENCODINGS])
def test_encoding_is_the_real_servers(name: str) -> None:
    """A value would lie otherwise than where it came from."""
    assert restored(name)("OBJECT ENCODING k").decode() == GOLDEN[name]["encoding"]


WRITTEN_ALIKE = [name for name in GOLDEN if not name.endswith("compressed") and name not in OLDER_TYPES | OLD_WAYS]


@pytest.mark.parametrize("name", WRITTEN_ALIKE)
def test_what_is_written_is_what_was_read(name: str) -> None:
    """DUMP would give other bytes than a real server does for the same value."""
    payload = bytes.fromhex(GOLDEN[name]["payload"])
    assert restored(name)("DUMP k")[:-FOOTER_BYTES] == payload[:-FOOTER_BYTES]


@pytest.mark.parametrize("name", GOLDEN)
def test_reload_changes_nothing(name: str) -> None:
    """DEBUG RELOAD, and so a snapshot, would lose something."""
    world = restored(name)
    before = world("DEBUG DIGEST"), world("OBJECT ENCODING k"), world("DUMP k")
    assert world("DEBUG RELOAD").text == b"OK"
    assert (world("DEBUG DIGEST"), world("OBJECT ENCODING k"), world("DUMP k")) == before


def test_a_time_to_live_is_told_as_an_instant() -> None:
    """A replica would start its own countdown, or restore what is over."""
    world, ear = World(), Ear(TO_AOF)
    world.state.journal.attach(ear)
    payload = bytes.fromhex(GOLDEN["7.4.1 int8"]["payload"])
    instant = world.clock.ms + 5000
    told = {
        (b"RESTORE", b"k", b"0", payload): [b"RESTORE", b"k", b"0", payload],
        (b"RESTORE", b"k", b"5000", payload, b"REPLACE"): [
            b"RESTORE", b"k", b"%d" % instant, payload, b"REPLACE", b"ABSTTL",
        ],
        (b"RESTORE", b"k", b"1", payload, b"REPLACE", b"ABSTTL"): [b"DEL", b"k"],
    }  # fmt: skip
    for words, effect in told.items():
        ear.data = b""
        world.engine.execute(world.client, [list(words)])
        assert Parser().take(ear.data)[-1] == effect
