"""Clients that go on after waiting, and what is left of them when they hang up: nobody is forgotten on the way."""

from __future__ import annotations

import pytest

from miniredis.session import Session
from protocol.resp.encoder import encode_command
from tests.unit.miniredis.engine.test_plain import Room
from tests.unit.miniredis.test_session import Wire, on_both_loops, running, until

CHAIN = 300  # more than a stack of a thousand frames holds


@on_both_loops
async def test_who_is_woken_before_its_pipeline_was_put_by_goes_on() -> None:
    """A client whose pop is served by somebody it woke itself would never be answered again."""
    async with running() as server:
        one, two = await Wire.to(server), await Wire.to(server)
        two.send("BLPOP a 0\nLPUSH b y\n")
        await until(lambda: len(server.state.blocked) == 1)
        one.send("LPUSH a x\nBLPOP b 0\nPING\nECHO z\n")
        await one.expect(b":1\r\n*2\r\n$1\r\nb\r\n$1\r\ny\r\n+PONG\r\n$1\r\nz\r\n")
        one.send("PING\n")
        await one.expect(b"+PONG\r\n")
        await two.expect(b"*2\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n")


@on_both_loops
async def test_two_pipelines_that_wake_each_other() -> None:
    """Each would go on inside the other, until the stack ends."""
    async with running() as server:
        one, two = await Wire.to(server), await Wire.to(server)
        two.send("BLPOP a 0\nLPUSH b y\n" * CHAIN)
        await until(lambda: len(server.state.blocked) == 1)
        one.send("LPUSH a x\nBLPOP b 0\n" * CHAIN + "PING\n")
        await one.expect(b":1\r\n*2\r\n$1\r\nb\r\n$1\r\ny\r\n" * CHAIN + b"+PONG\r\n")
        await two.expect(b"*2\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n" * CHAIN)


async def test_a_chain_of_clients_that_wake_the_next() -> None:
    """The hundredth client of a chain would lose its connection and its answer, and the first as well."""
    async with running() as server:
        wires = [await Wire.to(server) for _ in range(CHAIN)]
        for at, wire in enumerate(wires):
            wire.send(f"BLPOP c{at} 0\nLPUSH c{at + 1} x\n")
        await until(lambda: len(server.state.blocked) == CHAIN)
        first = await Wire.to(server)
        first.send("LPUSH c0 x\n")
        await first.expect(b":1\r\n")
        for at, wire in enumerate(wires):
            await wire.expect(encode_command([b"c%d" % at, b"x"]) + b":1\r\n")


@on_both_loops
async def test_a_peer_that_says_no_more_gets_all_its_answers() -> None:
    """`printf … | nc -N` would get the answers of its first turn."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("PING\n" * 20000)
        wire.writer.write_eof()
        assert await wire.rest() == b"+PONG\r\n" * 20000
        await until(lambda: not server.state.clients)


@on_both_loops
async def test_a_peer_that_says_no_more_and_waits_is_let_go() -> None:
    """A client that has hung up would be served an element."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("PING\n" * 20000 + "BLPOP l 0\n")
        wire.writer.write_eof()
        assert await wire.rest() == b"+PONG\r\n" * 20000
        await until(lambda: not server.state.clients and not server.state.blocked)


@on_both_loops
async def test_words_behind_a_login_that_had_to_wait() -> None:
    """A client that logs in and asks in one write, during CLIENT PAUSE, would wait until it says something more."""
    async with running("--requirepass", "x") as server:
        one, two = await Wire.to(server), await Wire.to(server)
        one.send("AUTH x\nCLIENT PAUSE 200\n")
        await one.expect(b"+OK\r\n+OK\r\n")
        two.send("AUTH x\nSET a 1\nGET a\n")
        await two.expect(b"+OK\r\n+OK\r\n$1\r\n1\r\n")


async def test_line_breaks_in_a_large_value_are_no_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of twenty megabytes of short lines would be received for seven seconds, two thousand lines a turn."""
    slices = 0
    take = Session._first_slice

    def counted(self: Session, data: bytes) -> bytes:
        nonlocal slices
        slices += 1
        return take(self, data)

    monkeypatch.setattr(Session, "_first_slice", counted)
    async with running() as server:
        wire = await Wire.to(server)
        wire.writer.write(encode_command([b"SET", b"k", b"\n" * 8_000_000]))
        await wire.expect(b"+OK\r\n")
        assert len(server.state.dbs[0].find(b"k")) == 8_000_000
    assert slices < 400


@on_both_loops
async def test_a_keepalive_longer_than_the_system_knows() -> None:
    """CONFIG SET tcp-keepalive 100000 would turn every further client away."""
    async with running("--tcp-keepalive", "100000") as server:
        wire = await Wire.to(server)
        wire.send("PING\n")
        await wire.expect(b"+PONG\r\n")


@on_both_loops
async def test_others_go_on_after_a_transaction_that_ends_a_pause() -> None:
    """Commands of another client would be run in the middle of the transaction."""
    async with running() as server:
        one, two = await Wire.to(server), await Wire.to(server)
        two.send("BLPOP k 0\nRPUSH log other\n")
        await until(lambda: len(server.state.blocked) == 1)
        one.send("CLIENT PAUSE 60000 WRITE\nMULTI\nCLIENT UNPAUSE\nEXEC\n")
        await one.expect(b"+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
        lines = "LPUSH k v\nMULTI\nCLIENT PAUSE 60000 WRITE\nRPUSH log a\nCLIENT UNPAUSE\nRPUSH log b\nEXEC\n"
        one.send(lines)
        await one.expect(b":1\r\n+OK\r\n" + b"+QUEUED\r\n" * 4 + b"*4\r\n+OK\r\n:1\r\n+OK\r\n:2\r\n")
        await two.expect(b"*2\r\n$1\r\nk\r\n$1\r\nv\r\n:3\r\n")


def test_what_is_forbidden_meanwhile_is_forbidden_to_the_next_of_a_batch() -> None:
    """While a script runs, or after CLIENT PAUSE, others of the same read would write all the same."""
    room = Room()
    server = room.world.engine.state
    waiting = room.clients[2]
    waiting.receive(encode_command([b"BLPOP", b"l", b"0"]))
    waiting.resume = lambda: waiting.receive(encode_command([b"CLIENT", b"PAUSE", b"60000"]))  # type: ignore[method-assign]
    server.pause_changed = lambda: None
    answers = room.send((0, "RPUSH l x"), (1, "RPUSH l y"), (0, "RPUSH m z"))
    assert (1, b":1\r\n") not in answers
    assert room.clients[1].blocked is not None
