"""Clients of the stores: writers that know what they were promised, readers that look everywhere, one that blocks.

    writer    MULTI · RPUSH list:n value · INCR count:n · something of the menu · EXEC        then sometimes WAIT
              RPUSH solo:n long value, alone or with what reads all of that list behind it; or reads it, and no more
    reader    of any store: the last of a list, a volatile key, list and count in one transaction
    blocked   BLPOP of what writers push

Writers live in databases by turns (`home`). What a store tells a client is looked at twice: by the invariants as it
leaves, by the client when it arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from protocol.resp.encoder import encode_command
from protocol.resp.reader import Reader
from protocol.resp.values import Failure

if TYPE_CHECKING:
    from tests.sim.hosts import HostLoop
    from tests.sim.invariants import Observer
    from tests.sim.store import Store

DATABASES = 2
PATIENCE_S = 3.0
LONG_BYTES = 300, 3_000  # of a value: a dozen of them are an answer that leaves by itself
BIG_BYTES = 20_000  # and so is this one
SULK_S = (0.05, 0.4)  # after a refusal
WAIT_MS = 400

# Every line may stand alone or in a transaction. {a}, {b}: keys of a kind; {n}: a number; {w}: a word.
MENU = [
    "SADD s:{a} {w} {n}", "SADD s:{a} {n}", "SPOP s:{a}", "SPOP s:{a} 2", "SMOVE s:{a} s:{b} {n}",
    "SINTERSTORE s:{a} s:{b} s:{a}", "HSET h:{a} f{n} {w}", "HINCRBY h:{a} n {n}", "HINCRBYFLOAT h:{a} x 0.1",
    "HPEXPIRE h:{a} {n} FIELDS 2 f{n} n", "HDEL h:{a} f{n}", "ZADD z:{a} {n} {w}", "ZINCRBY z:{a} 1.5 m{n}",
    "ZPOPMIN z:{a}", "ZREMRANGEBYRANK z:{a} 0 1", "ZRANGESTORE z:{b} z:{a} 0 3", "XADD x:{a} MAXLEN 8 * k {w}",
    "XTRIM x:{a} MAXLEN 3", "LPUSH l:{a} {w}", "RPUSH l:{a} {w} {n}", "LMOVE l:{a} l:{b} LEFT RIGHT", "LTRIM l:{a} 0 6",
    "LPUSH queue {w}", "LPUSH queue {w} {n}", "APPEND t:{a} {w}", "SETRANGE t:{a} {n} {w}", "INCRBYFLOAT f:{a} 0.25",
    "SET t:{a} {w} EX 2", "SET t:{a} {w} KEEPTTL", "SET t:{a} {w} XX GET", "GETEX t:{a} PX {n}0", "GETDEL t:{a}",
    "PEXPIRE l:{a} {n}0", "PEXPIRE t:{a} {n}", "PERSIST t:{a}", "EXPIRE z:{b} 1", "DEL t:{a} s:{b}", "UNLINK l:{b}",
    "RENAME t:{a} t:{b}", "COPY h:{a} h:{b} REPLACE", "SORT s:{a} ALPHA STORE l:{b}", "BITOP OR t:{b} t:{a} t:{a}",
    "PFADD p:{a} {w} {n}", "SETBIT b:{a} {n} 1", "MOVE t:{a} {d}",
]  # fmt: skip


def home(number: int) -> int:
    """The database of this writer."""
    return number % DATABASES


def words(random: Random, here: int) -> list[bytes]:
    """A line of the menu, filled in, for this database."""
    line = random.choice(MENU)
    a, b = random.randrange(2), random.randrange(2)
    n, w = random.randrange(1, 40), "w" * random.randrange(1, 30)
    return line.format(a=a, b=b, n=n, w=w, d=(here + 1) % DATABASES).encode().split()


class Client(asyncio.Protocol):
    """One connection at a time, one request at a time. `aim` says which store is to be asked."""

    pause_s = (0.05, 0.34)
    db = 0

    def __init__(self, loop: HostLoop, number: int, observer: Observer, aim: Callable[[Random], Store | None]) -> None:
        self.loop = loop
        self.number = number
        self.observer = observer
        self.aim = aim
        self.random = Random(loop.world.seed * 100 + number)
        self.transport: Any = None
        self.is_quiet = False
        self.is_write = False  # what is asked now
        self.answered = self.refused = 0
        self._early = self._late = Reader()
        self._told = 0
        self._ahead = [0, 0]  # answers to what was sent ahead of a request: that leave, that arrive
        self._replies: list[Any] = []
        self._expected = 0
        self._attempt = 0
        self._asked_at = 0.0
        self._is_waiting = False  # for a next step
        self._next(0.5)

    # The connection.

    def _next(self, seconds: float) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self.loop.call_later(seconds, self._step)

    def _step(self) -> None:
        self._is_waiting = False
        if self.is_quiet:
            self._next(0.1)
        elif self.transport is not None:
            self._ask(self.request())
        else:
            self._connect()

    def _connect(self) -> None:
        store = self.aim(self.random)
        if store is None:
            self._next(0.2)
            return
        self._attempt += 1
        attempt, protocol = self._attempt, Wire(self)
        dialled = self.loop.create_task(self.loop.create_connection(lambda: protocol, "127.0.0.1", store.port))

        def late() -> None:
            if attempt == self._attempt and self.transport is None:
                dialled.cancel()

        def done(task: asyncio.Task[Any]) -> None:
            if task.cancelled() or task.exception() is not None:
                self._next(self.random.uniform(*SULK_S))

        dialled.add_done_callback(done)
        self.loop.call_later(PATIENCE_S, late)

    def connected(self, wire: Wire) -> None:
        self.transport = wire.transport
        self._early, self._late = Reader(), Reader()
        self._expected = 0
        self._ahead = [0, 0]
        if self.db:
            self._ahead = [1, 1]
            self.transport.write(encode_command([b"SELECT", b"%d" % self.db]))
        self._next(0)

    def lost(self, wire: Wire) -> None:
        if wire.transport is self.transport:
            self.transport = None
            self._expected = 0
            self._next(self.random.uniform(*SULK_S))

    def leave(self) -> None:
        """Look for another store."""
        if self.transport is not None:
            self.transport.abort()

    # Requests.

    def request(self) -> list[list[bytes]]:
        """The next commands to send."""
        raise NotImplementedError

    def told(self, store: Store, at: int, reply: Any) -> None:
        """The store answers the command at that place: this is leaving it."""

    def _ask(self, commands: list[list[bytes]]) -> None:
        self._expected, self._told, self._replies = len(commands), 0, []
        self._asked_at = asked_at = self.loop.time()
        self.transport.write(b"".join(map(encode_command, commands)))

        def give_up() -> None:
            if self._expected and self._asked_at == asked_at:
                self.leave()

        self.loop.call_later(PATIENCE_S, give_up)

    def leaving(self, store: Store, wire: Wire, data: bytes) -> None:
        if wire.transport is not self.transport:
            return
        for reply in self._early.take(data):
            if self._ahead[0]:
                self._ahead[0] -= 1
                continue
            self.told(store, self._told, reply)
            self._told += 1

    def arrived(self, data: bytes) -> None:
        replies = self._late.take(data)
        while self._ahead[1] and replies:
            self._ahead[1] -= 1
            del replies[0]
        self._replies += replies
        if self._expected and len(self._replies) >= self._expected:
            self._expected = 0
            bad = [reply for reply in self._replies if isinstance(reply, Failure)]
            if bad and self.is_refusal(bad[-1]):
                self.refused += 1
                if self.random.random() < 0.5:
                    self.leave()
                else:
                    self._next(self.random.uniform(*SULK_S))
                return
            self.answered += self.is_write
            self._next(self.pause())

    def pause(self) -> float:
        """Until the next request."""
        return self.random.uniform(*self.pause_s)

    @staticmethod
    def is_refusal(failure: Failure) -> bool:
        return not failure.text.startswith((b"WRONGTYPE", b"ERR no such key"))


class Wire(asyncio.Protocol):
    """One connection of a client's."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.client.connected(self)

    def data_received(self, data: bytes) -> None:
        if self.transport is self.client.transport:
            self.client.arrived(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.client.lost(self)


class Writer(Client):
    """Writes numbered values to the list of its own."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.db = home(self.number)
        self.writes = 0
        self.marker = b""
        self._last = b""  # the command behind the transaction
        self._is_solo = False
        self._life_ms = 0

    def request(self) -> list[list[bytes]]:
        random, n = self.random, self.number
        kind = random.random()
        self.writes += 1
        self._last = b""
        self.is_write = True
        self._is_solo = 0.3 <= kind < 0.5 or (self.observer.rhythm_s > 0 and random.random() < 0.4)
        if self.writes == 1:
            self.marker = b""
            return [[b"SET", b"big:%d" % n, b"z" * BIG_BYTES]]
        if self._is_solo:
            return self._solo()
        if kind < 0.2:
            self._life_ms = random.choice((30, 100, 400, 1500))
            self.marker = b"v%d:%06d" % (n, self.writes)
            option = (b"PX", b"%d" % self._life_ms)
            return [[b"SET", b"tmp:%d:%d" % (n, random.randrange(3)), self.marker, *option]]
        self._life_ms = 0
        if kind < 0.3:
            self.marker = b""
            return [words(random, self.db)]
        self.marker = b"c%d:%06d:%b" % (n, self.writes, b"x" * random.randrange(60))
        commands = [[b"MULTI"], [b"RPUSH", b"list:%d" % n, self.marker], [b"INCR", b"count:%d" % n], [b"EXEC"]]
        if random.random() < 0.5:
            commands.insert(random.randrange(1, 4), words(random, self.db))
        if kind > 0.85:
            self._last = random.choice((b"WAIT", b"WAITAOF"))
            local = [b"%d" % random.randrange(2)] if self._last == b"WAITAOF" else []
            commands.append([self._last, *local, b"%d" % random.randrange(3), b"%d" % WAIT_MS])
        return commands

    def pause(self) -> float:
        """All in one rhythm, if there is one."""
        beat = self.observer.rhythm_s
        return beat - self.loop.time() % beat if beat else super().pause()

    def _solo(self) -> list[list[bytes]]:
        """A write and a long read, one of them or both."""
        n, kind = self.number, self.random.random()
        read = [b"LRANGE", b"solo:%d" % n, b"0", b"-1"]
        if self.random.random() < 0.5:
            read = [b"GET", b"big:%d" % n]
        self.is_write = kind < 0.65
        if not self.is_write:
            return [read]
        size = self.random.choice((9, self.random.randrange(*LONG_BYTES)))
        self.marker = b"c%d:%06d:%b" % (n, self.writes, b"y" * size)
        write = [b"RPUSH", b"solo:%d" % n, self.marker]
        return [write, read] if kind < 0.15 else [write]

    def told(self, store: Store, at: int, reply: Any) -> None:
        observer, marker = self.observer, self.marker
        if isinstance(reply, Failure):
            return
        if self._is_solo:
            if isinstance(reply, list) and reply:
                observer.told(store, reply[-1])
            elif isinstance(reply, int):
                observer.promises(store, marker)
            return
        if not marker:
            return
        if self._life_ms:
            observer.ends[marker] = store.wall_ms + self._life_ms
        elif isinstance(reply, list) and at >= 3 and not (self._last and at == self._expected - 1):
            observer.promises(store, marker)
        elif self._last and at == self._expected - 1 and marker in store.promised:
            if self._last == b"WAIT":
                observer.waited(store, marker, int(reply), self._asked_at)
            else:
                observer.waited_for_files(store, marker, int(reply[0]), int(reply[1]), self._asked_at)


class Looker(Client):
    """Reads, of any store; turns to another one now and then."""

    pause_s = (0.1, 0.8)

    def request(self) -> list[list[bytes]]:
        if self.random.random() < 0.15:
            self.leave()
        writer = self.random.randrange(self.observer.clients)
        at = b"list:%d" % writer, b"count:%d" % writer
        return [
            [b"SELECT", b"%d" % home(writer)], [b"LINDEX", at[0], b"-1"],
            [b"GET", b"tmp:%d:%d" % (writer, self.random.randrange(3))],
            [b"MULTI"], [b"LLEN", at[0]], [b"GET", at[1]], [b"EXEC"],
        ]  # fmt: skip

    def told(self, store: Store, at: int, reply: Any) -> None:
        if at == 1 and isinstance(reply, bytes):
            self.observer.told(store, reply)
        elif at == 2 and isinstance(reply, bytes):
            self.observer.read_volatile(store, reply)
        elif at == 6 and isinstance(reply, list) and reply[0] != int(reply[1] or 0):
            self.observer.fail("J5", f"{store.name} shows half a transaction: {reply}")


class Sleeper(Client):
    """Waits for what others push."""

    def request(self) -> list[list[bytes]]:
        return [[b"SELECT", b"%d" % self.random.randrange(DATABASES)], [b"BLPOP", b"queue", b"1"]]
