"""The way of a migration: to the target over a connection, and back with what that answered.

    → AUTH …   SELECT …   RESTORE …   RESTORE …        written one after the other, answers are not waited for
    ← +OK      +OK        +OK         -BUSYKEY …       one line each, in that order

A connection is kept for a while: the next migration to the same address finds it open, and its database selected.

Law 1: what the target may send is bounded: a line for each request.
Law 2: no step takes longer than the migration's timeout: to connect, to write the next request, to be answered once.
Law 3: a connection that failed before anything was answered is replaced once: mostly it was an old one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from miniredis.engine.state import BUSY_SCRIPT, LOADING, PAUSED_ALL, PAUSED_WRITES, State
from protocol.net.connection import Connection, Turn
from protocol.net.dialer import dial
from protocol.resp.encoder import encode_command
from protocol.resp.reader import Reader
from protocol.resp.values import Failure, ProtocolError, Reply

# As in Redis: so many connections are kept, for so long.
KEPT_LINKS: Final = 64
KEPT_S: Final = 10.0
# Answers of the target that are read before they are asked for: those of requests it has.
ANSWER_MAX_BYTES: Final = 1024
# While others have the keyspace for themselves, what has come back waits so long at a time.
RETRY_S: Final = 0.02
_TAKEN: Final = BUSY_SCRIPT | PAUSED_ALL | PAUSED_WRITES | LOADING

CONNECTING: Final = "connecting to the client"
WRITING: Final = "writing to target instance"
READING: Final = "reading to target instance"

Address = tuple[bytes, int]


class Migration(Protocol):
    """What is carried (commands/migrate.py)."""

    @property
    def address(self) -> Address: ...
    @property
    def database(self) -> int: ...
    @property
    def login(self) -> tuple[bytes, ...]: ...
    @property
    def requests(self) -> list[list[bytes]]: ...
    @property
    def timeout_s(self) -> float: ...
    def settle(self, answers: list[Reply], trouble: str) -> bool: ...


class _Broken(Exception):
    """The connection is of no use any more; the text says what was being done."""


class Link:
    """The session behind a connection to a target."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.database: int | None = None  # None: not known
        self.kept_since = 0.0  # loop time
        self.is_lost = False
        self._reader = Reader(max_bulk=ANSWER_MAX_BYTES)
        self._answers: deque[Reply] = deque()
        self._awaited: asyncio.Future[None] | None = None

    def received(self, data: bytes) -> None:
        try:
            self._answers += self._reader.take(data)
        except ProtocolError:
            self.connection.abort()
        self._wake()

    def lost(self) -> None:
        self.is_lost = True
        self._wake()

    def resumed(self) -> None:
        self._wake()

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    async def _change(self, timeout_s: float) -> None:
        self._awaited = self.connection.loop.create_future()
        await asyncio.wait_for(self._awaited, timeout_s)

    async def write(self, words: list[bytes], timeout_s: float) -> None:
        """Raises _Broken; TimeoutError if the target does not take it."""
        if self.is_lost:
            raise _Broken(WRITING)
        self.connection.write(encode_command(words))
        self.connection.flush()
        while self.connection.is_congested:
            await self._change(timeout_s)
            if self.is_lost:
                raise _Broken(WRITING)

    async def answer(self, timeout_s: float) -> Reply:
        """The next one. Raises _Broken and TimeoutError."""
        while not self._answers:
            if self.is_lost:
                raise _Broken(READING)
            await self._change(timeout_s)
        return self._answers.popleft()


class Migrations:
    """All that is under way, and the links that are kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: Turn, state: State) -> None:
        self._loop = loop
        self._turn = turn
        self._state = state
        self._links: dict[Address, list[Link]] = {}  # that nobody uses now
        self._tasks: set[asyncio.Task[None]] = set()

    def carry(self, migration: Migration) -> None:
        task = self._loop.create_task(self._carry(migration))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def kept(self) -> int:
        return sum(map(len, self._links.values()))

    def close_old(self) -> None:
        """Close what has been of no use for a while."""
        before = self._loop.time() - KEPT_S
        for address, links in list(self._links.items()):
            for link in links:
                if link.kept_since < before:
                    link.connection.close()
            self._links[address] = [link for link in links if link.kept_since >= before and not link.is_lost]
            if not self._links[address]:
                del self._links[address]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for links in self._links.values():
            for link in links:
                link.connection.close()
        self._links.clear()

    async def _carry(self, migration: Migration) -> None:
        while True:
            answers, trouble = await self._exchange(migration)
            while self._state.mode & _TAKEN:
                await asyncio.sleep(RETRY_S)
            if migration.settle(answers, trouble):
                return

    async def _exchange(self, migration: Migration) -> tuple[list[Reply], str]:
        """Answers to the first of the requests, or to all of them; and what went wrong, if anything did."""
        may_retry = True
        while True:
            answers: list[Reply] = []
            link: Link | None = None
            doing = CONNECTING
            try:
                link = await self._link(migration)
                doing = WRITING
                preface = await self._write(link, migration)
                doing = READING
                refusal = await _read_preface(link, preface, migration)
                for _ in migration.requests:
                    answer = await link.answer(migration.timeout_s)
                    answers.append(refusal or answer)
            except _Broken:
                if may_retry and not answers:
                    may_retry = False
                    continue
                return answers, doing
            except (OSError, ValueError) as error:
                if isinstance(error, ConnectionRefusedError):
                    doing = WRITING  # Redis notices only then
                if link is not None:
                    link.connection.abort()
                return answers, doing
            self._keep(link, migration, answers)
            return answers, ""

    async def _link(self, migration: Migration) -> Link:
        """A kept one, or else a new one. OSError, ValueError: there is no way to that address."""
        links = self._links.get(migration.address, [])
        while links:
            link = links.pop()
            if not link.is_lost:
                return link
        host, port = migration.address
        connection = await dial(
            self._loop, self._turn, Link, lambda connection: None, host.decode(), port, timeout_s=migration.timeout_s
        )
        session = connection.session
        assert isinstance(session, Link)
        return session

    async def _write(self, link: Link, migration: Migration) -> list[list[bytes]]:
        """Everything; which of it stood before the requests."""
        preface = [[b"AUTH", *migration.login]] if migration.login else []
        if link.database != migration.database:
            preface.append([b"SELECT", b"%d" % migration.database])
        for words in preface + migration.requests:
            await link.write(words, migration.timeout_s)
        return preface

    def _keep(self, link: Link, migration: Migration, answers: list[Reply]) -> None:
        is_well = not any(isinstance(answer, Failure) for answer in answers)
        link.database = migration.database if is_well else None
        if link.is_lost or self.kept() >= KEPT_LINKS:
            link.connection.close()
        else:
            link.kept_since = self._loop.time()
            self._links.setdefault(migration.address, []).append(link)


async def _read_preface(link: Link, preface: list[list[bytes]], migration: Migration) -> Failure | None:
    """The first refusal of AUTH and SELECT: it stands for all that was asked after it."""
    refusal: Failure | None = None
    for _ in preface:
        answer = await link.answer(migration.timeout_s)
        if isinstance(answer, Failure):
            refusal = refusal or answer
    return refusal
