"""Clients of a server that is recorded: what they ask, and how an acknowledgment is known in what it sent.

    MULTI · RPUSH list:<n> <k> · SET pad:<n> <noise> · SET seen:<n> ack:<n>:<k>, · INCR count:<n> · INCR all
          · ECHO ack:<n>:<k>, · EXEC

A write is acknowledged by whatever the server sends that holds its `ack:…`: the answer to the one who wrote, and the
answer to another who read `seen:<n>` (and `pad:<n>`). Of client n everything up to k must be there once ack:<n>:<k>
has left.
"""

from __future__ import annotations

import asyncio
import re
from random import Random
from typing import Final, NamedTuple

from tests.crash.recorded import Recording
from tests.peers.redis import DEADLINE_S

WRITERS: Final = 4
READERS: Final = 2
# Once in so many transactions the noise is so long that the answer to its reader leaves by itself.
A_LONG_ONE: Final = 30
LONG_BYTES: Final = 17_000
ACKNOWLEDGED: Final = re.compile(rb"ack:(\d+):(\d+),")


class Load(NamedTuple):
    """How much is asked of the server: transactions of each writer, what it rests after one (seconds, at most), and
    how often a rewrite is asked for: once in so many transactions of all."""

    transactions: int
    rest_s: float
    a_rewrite: int


async def _connected(recording: Recording) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Waits until it serves."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while loop.time() < deadline:
        try:
            reader, writer = await asyncio.open_unix_connection(recording.socket)
            writer.write(b"PING\r\n")
            if await reader.readline() == b"+PONG\r\n":
                return reader, writer
            writer.close()
        except OSError:
            pass
        if recording.process.poll() is not None:
            break
        await asyncio.sleep(0.01)
    raise RuntimeError(f"it does not serve:\n{recording.log()}")


async def _until(reader: asyncio.StreamReader, end: bytes) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(end)


async def _write(recording: Recording, number: int, seed: int, load: Load) -> None:
    reader, writer = await _connected(recording)
    chance = Random(seed * 100 + number)
    for k in range(load.transactions):
        noise = "x" * (LONG_BYTES if chance.randrange(A_LONG_ONE) == 0 else chance.randrange(1, 200))
        text = (
            f"MULTI\r\nRPUSH list:{number} {k}\r\nSET pad:{number} {noise}\r\nSET seen:{number} ack:{number}:{k},\r\n"
            f"INCR count:{number}\r\nINCR all\r\nECHO ack:{number}:{k},\r\nEXEC\r\n"
        )
        if chance.randrange(load.a_rewrite) == 0:
            text = "BGREWRITEAOF\r\n" + text
        writer.write(text.encode())
        await _until(reader, b"ack:%d:%d,\r\n" % (number, k))
        if load.rest_s:
            await asyncio.sleep(chance.random() * load.rest_s)
    writer.close()


async def _read(recording: Recording) -> None:
    reader, writer = await _connected(recording)
    try:
        while True:
            for number in range(WRITERS):
                writer.write(b"GET seen:%d\r\nGET pad:%d\r\nPING\r\n" % (number, number))
                await _until(reader, b"+PONG\r\n")
            await asyncio.sleep(0.01)
    finally:
        writer.close()


def play(recording: Recording, seed: int, load: Load) -> None:
    """All of it, to its end."""

    async def main() -> None:
        reading = [asyncio.ensure_future(_read(recording)) for _ in range(READERS)]
        try:
            await asyncio.gather(*[_write(recording, number, seed, load) for number in range(WRITERS)])
        finally:
            for each in reading:
                each.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    asyncio.run(main())
