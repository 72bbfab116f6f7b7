"""The connections to other members: whatever is at the other end, what was asked comes to an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from minikafka.raft.messages import Member, OffsetAndEpoch, Request, Send, Vote
from minikafka.raft.peers import Peers
from protocol.net.connection import Turn
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

ASKED = Vote(1, Member(2), Member(1), OffsetAndEpoch(0, 0), False)
DEADLINE_S = 5.0


@pytest.mark.parametrize("said", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1\0", b"\0\0\0\4\0\0\0\1", b""])
async def test_nonsense_from_a_member_is_no_answer(said: bytes) -> None:
    """The machine would wait for an answer that cannot come, or a fault of another node's would be one of ours."""
    loop, faults = asyncio.get_running_loop(), []  # type: ignore[var-annotated]
    loop.set_exception_handler(lambda _, context: faults.append(context))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    lost: asyncio.Future[tuple[int, Request]] = loop.create_future()
    answers: list[Any] = []
    peers = Peers(
        loop, Turn(loop), "raft-client-1", DEADLINE_S, lambda _: ("127.0.0.1", port),
        lambda *told: answers.append(told), lambda *told: lost.set_result(told),
        KafkaLogger(Clock(), "raft", write=lambda _: None),
    )  # fmt: skip
    peers.send(Send(7, ASKED))
    assert await asyncio.wait_for(lost, DEADLINE_S) == (7, ASKED)
    peers.close()
    server.close()
    await asyncio.sleep(0)
    assert not answers
    assert not faults
