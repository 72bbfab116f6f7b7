"""Clients that append to lists and read them, in every way a transaction can be made, and write down what they saw.

    python -m tests.chaos.client FILE --nodes 127.0.0.1:6379 ... [--clients N] [--seed N] [--share I/N]
        [--promise WAITAOF|WAIT --replicas N --promise-ms N]

A process of its own, so that it can run in another network namespace than the rig, until it gets a SIGTERM; then FILE
has the history (`tests/chaos/history.py`). With `--replicas` a transaction is acknowledged by WAITAOF (or WAIT) only,
and has always something to append, so that what it read is acknowledged with it. Of several such processes on the same
lists each has its `--share` of the values.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from tests.chaos.history import Append, Operation, Outcome, Read, Transaction, dump
from tests.peers.redis import request

LISTS = 6  # in use at once
APPENDS_A_LIST = 40  # then another takes its place: a reader gets all of it
# Of each third list the values are written with so many digits: whoever reads it whole gets a long answer.
LONG_DIGITS = 600
OPERATIONS_MOST = 4
ANSWER_S = 3.0
RETRY_S = 0.06

SCRIPT = b"""
local seen = {}
for i, key in ipairs(KEYS) do
  if ARGV[i] == '' then seen[i] = redis.call('lrange', key, 0, -1)
  else seen[i] = redis.call('rpush', key, ARGV[i]) end
end
return seen
"""


class Refusal(Exception):
    """An error reply: nothing of the transaction took place."""


class Incomplete(Exception):
    pass


def parse(data: bytes, position: int) -> tuple[Any, int]:
    """One reply and where it ends; an error is a value here (`Refusal`)."""
    end = data.find(b"\r\n", position)
    if end < 0:
        raise Incomplete
    kind, rest, end = data[position], data[position + 1 : end], end + 2
    if kind == ord("-"):
        return Refusal(rest.decode()), end
    if kind == ord("+"):
        return rest, end
    number = int(rest)
    if kind == ord(":") or number < 0:
        return (number if kind == ord(":") else None), end
    if kind == ord("$"):
        if len(data) < end + number + 2:
            raise Incomplete
        return data[end : end + number], end + number + 2
    values = []
    for _ in range(number):
        value, end = parse(data, end)
        values.append(value)
    return values, end


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, *commands: Sequence[bytes]) -> list[Any]:
        """The replies to these; raises OSError when the connection ends before the last."""
        self.writer.write(b"".join(map(request, commands)))
        data, position = b"", 0
        replies: list[Any] = []
        while len(replies) < len(commands):
            more = await self.reader.read(1 << 16)
            if not more:
                raise ConnectionResetError
            data += more
            try:
                while len(replies) < len(commands):
                    reply, position = parse(data, position)
                    replies.append(reply)
            except Incomplete:
                pass
        return replies


def values_of(reply: Any) -> tuple[int, ...]:
    return tuple(map(int, reply))


@dataclass
class Plan:
    """Which lists are in use, and the next value of each."""

    chance: Random
    share: int
    shares: int
    replicas: int
    promise: bytes
    promise_ms: int

    def __post_init__(self) -> None:
        self.next_list = LISTS
        self.counts = {f"list:{number}": 0 for number in range(LISTS)}

    def append(self, key: str) -> Append:
        count = self.counts.get(key, 0)
        if count == APPENDS_A_LIST - 1:
            del self.counts[key]
            self.counts[f"list:{self.next_list}"] = 0
            self.next_list += 1
        else:
            self.counts[key] = count + 1
        return Append(key, count * self.shares + self.share)

    def operations(self) -> list[Operation]:
        """What a transaction is to do; reads have nothing in them yet."""
        keys = self.chance.choices(list(self.counts), k=self.chance.randint(1, OPERATIONS_MOST))
        made: list[Operation] = []
        for key in keys:
            if key in self.counts and self.chance.random() < 0.5:
                made.append(self.append(key))
            else:
                made.append(Read(key, ()))
        if self.replicas and not any(isinstance(each, Append) for each in made):
            made.append(self.append(self.chance.choice(list(self.counts))))
        return made


def written(append: Append) -> bytes:
    """Its value, as it is sent."""
    is_long = int(append.key.partition(":")[2]) % 3 == 0
    return b"%0*d" % (LONG_DIGITS if is_long else 1, append.value)


def command(operation: Operation) -> list[bytes]:
    if isinstance(operation, Append):
        return [b"RPUSH", operation.key.encode(), written(operation)]
    return [b"LRANGE", operation.key.encode(), b"0", b"-1"]


def answered(operations: Sequence[Operation], replies: Sequence[Any]) -> list[Operation]:
    """The operations with what came back. Raises OSError when one of several was refused: the others were not."""
    done: list[Operation] = []
    for operation, reply in zip(operations, replies, strict=True):
        if isinstance(reply, Refusal):
            raise reply if len(replies) == 1 else OSError(str(reply))
        if isinstance(operation, Append):
            done.append(operation._replace(length=reply))
        else:
            done.append(Read(operation.key, values_of(reply)))
    return done


class Process:
    """One client: one transaction after the other, on one connection while that lasts."""

    def __init__(self, number: int, nodes: list[tuple[str, int]], plan: Plan, history: list[Transaction]) -> None:
        self.number = number
        self.nodes = nodes
        self.plan = plan
        self.chance = plan.chance
        self.history = history
        self.is_ending = False

    async def run(self) -> None:
        while not self.is_ending:
            host, port = self.chance.choice(self.nodes)
            try:
                async with asyncio.timeout(1):
                    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
            except (OSError, TimeoutError):
                await asyncio.sleep(RETRY_S * self.chance.random())
                continue
            try:
                while not self.is_ending and await self.once(Connection(reader, writer)):
                    pass
            finally:
                writer.transport.abort()
            await asyncio.sleep(RETRY_S * self.chance.random())

    async def once(self, connection: Connection) -> bool:
        """One transaction; whether the connection is still of use."""
        operations = self.plan.operations()
        play = self.chance.choices((self.multi, self.script, self.watch), (60, 15, 25))[0]
        if len(operations) == 1:
            play = self.chance.choice((self.plain, play))
        began = monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):
                outcome, done = await play(connection, operations)
        except (OSError, TimeoutError):
            self.note(Outcome.UNKNOWN, began, operations)
            return False
        except Refusal:
            self.note(Outcome.FAIL, began, operations)
            return False  # a replica, or a server that loads
        self.note(outcome, began, done)
        return True

    def note(self, outcome: Outcome, began: float, operations: Sequence[Operation]) -> None:
        kept = operations if outcome is Outcome.OK else [each for each in operations if isinstance(each, Append)]
        if kept:
            self.history.append(Transaction(self.number, outcome, began, monotonic(), tuple(kept)))

    # Ways to make a transaction. All raise OSError when nobody knows what came of it, Refusal when nothing did.

    @property
    def promise(self) -> list[list[bytes]]:
        """What makes an answer an acknowledgement."""
        plan = self.plan
        if not plan.replicas:
            return []
        locally = [b"1"] if plan.promise == b"WAITAOF" else []
        return [[plan.promise, *locally, b"%d" % plan.replicas, b"%d" % plan.promise_ms]]

    def outcome(self, replies: list[Any]) -> Outcome:
        """By what came after the transaction's own reply."""
        for reply in replies:
            locally, replicas = reply if isinstance(reply, list) else (1, reply)
            if isinstance(reply, Refusal) or locally < 1 or replicas < self.plan.replicas:
                return Outcome.UNKNOWN
        return Outcome.OK

    async def plain(self, connection: Connection, operations: list[Operation]) -> tuple[Outcome, list[Operation]]:
        reply, *more = await connection.ask(command(operations[0]), *self.promise)
        return self.outcome(more), answered(operations, [reply])

    async def multi(self, connection: Connection, operations: list[Operation]) -> tuple[Outcome, list[Operation]]:
        replies = await connection.ask([b"MULTI"], *map(command, operations), [b"EXEC"], *self.promise)
        whole = replies[len(operations) + 1]
        if isinstance(whole, Refusal):
            raise whole
        return self.outcome(replies[len(operations) + 2 :]), answered(operations, whole)

    async def script(self, connection: Connection, operations: list[Operation]) -> tuple[Outcome, list[Operation]]:
        keys = [operation.key.encode() for operation in operations]
        words = [written(each) if isinstance(each, Append) else b"" for each in operations]
        call = [b"EVAL", SCRIPT, b"%d" % len(keys), *keys, *words]
        whole, *more = await connection.ask(call, *self.promise)
        if isinstance(whole, Refusal):
            raise whole
        return self.outcome(more), answered(operations, whole)

    async def watch(self, connection: Connection, operations: list[Operation]) -> tuple[Outcome, list[Operation]]:
        """What is read first is still so when the rest is made, or nothing is made."""
        reads = [each for each in operations if isinstance(each, Read)]
        appends = [each for each in operations if isinstance(each, Append)]
        watched = [[b"WATCH", each.key.encode()] for each in reads]
        replies = await connection.ask(*watched, *map(command, reads)) if reads else []
        done = answered(reads, replies[len(reads) :])
        replies = await connection.ask([b"MULTI"], *map(command, appends), [b"EXEC"], *self.promise)
        whole = replies[len(appends) + 1]
        if isinstance(whole, Refusal):
            raise whole
        if whole is None:
            return Outcome.FAIL, done + appends
        return self.outcome(replies[len(appends) + 2 :]), done + answered(appends, whole)


async def main(words: argparse.Namespace) -> None:
    share, shares = map(int, words.share.split("/"))
    history: list[Transaction] = []
    plan = Plan(Random(words.seed), share, shares, words.replicas, words.promise.encode(), words.promise_ms)
    nodes = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in words.nodes)]
    processes = [Process(number * shares + share, nodes, plan, history) for number in range(words.clients)]

    def end() -> None:
        for process in processes:
            process.is_ending = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    await asyncio.gather(*(process.run() for process in processes))
    dump(history, words.file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--nodes", nargs="+", required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--promise", default="WAITAOF")
    parser.add_argument("--promise-ms", type=int, default=400)
    parser.add_argument("--replicas", type=int, default=0)
    asyncio.run(main(parser.parse_args()))
