"""Replies recorded from real servers long ago, played again to ours: no real server is needed for it.

`tests/golden/redis-7.4.1-replies.jsonl` and `redis-7.0.15-replies.jsonl` hold calls in groups; each group starts on an
empty server and new connections. What 7.4.1 answers otherwise than 7.0.15 stands beside it as `7.4.1`. The first line
of a file says what its fields mean. HELP texts are not in them: their sentences are our own.

    python -m tests.oracle.redis.recorded PORT            the differences of the server there
    python -m tests.oracle.redis.recorded PORT --write    what a 7.4.1 at that port answers otherwise than 7.0.15
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import miniredis.commands  # noqa: F401  for what it declares
from miniredis.engine.registry import CommandTable, declared
from tests.oracle.redis.runner import Step, agree
from tests.peers.redis import Link, reply_end, request

GOLDEN = Path(__file__).parents[2] / "golden"
COMMANDS = json.loads((GOLDEN / "redis-7.4.1-commands.json").read_text())
DEADLINE_S = 30.0  # PFSELFTEST of a real server takes some seconds

# What differs from run to run, and how far it is compared (the options of runner.py). First match counts.
RULES: tuple[tuple[str, str], ...] = (
    # Times, ids, random choices and orders.
    ("CLIENT INFO", "names"),
    ("CLIENT LIST", "type"),
    ("CLIENT ID", "type"),
    ("INFO replication", "names"),
    ("ROLE", "digits"),
    ("MEMORY STATS", "type"),
    ("LATENCY HISTOGRAM", "type"),
    ("HEXPIRETIME", "digits"),
    ("XINFO STREAM t FULL", "digits"),
    ("XADD x MAXLEN", "digits"),
    ("RANDOMKEY", "type"),
    ("UNSUBSCRIBE$", "type"),
    ("EVAL return math.random", "type"),  # goes on from script to script
    ("MONITOR lines", "digits"),
    ("CONFIG GET maxmemor", "unordered 2"),
    ("COMMAND LIST", "unordered"),
    # 7.4.1's footer claims version 12 of the format; ours the lowest that can hold the value.
    ("FUNCTION DUMP", "payload"),
)

# Not comparable at all, each with its reason.
EXCEPTIONS: tuple[tuple[str, str], ...] = (
    ("SLOWLOG (GET|LEN)", "which command was slow is chance: there it was PFSELFTEST"),
    ("COMMAND COUNT", "7.4.1 has modules' and cluster's commands we have not, we have some of 8.x"),
    ("CONFIG SET port 1$", "recorded without the privilege to listen there"),
)

Row = dict[str, Any]


def rows(version: str, proto: int) -> list[Row]:
    """The recording of a version; of 7.4.1 the column of one protocol, as rows like those of 7.0.15."""
    lines = (GOLDEN / f"redis-{version}-replies.jsonl").read_text().splitlines()[1:]
    found: list[Row] = [json.loads(line) for line in lines]
    if version != "7.4.1":
        return found
    connection = "a3" if proto == 3 else "a"
    return [
        {**row, "connection": connection, "reply": row["resp2" if row["resp3"] == "same" else f"resp{proto}"]}
        for row in found
    ]


def groups(version: str, proto: int = 0) -> Iterator[tuple[str, list[Row]]]:
    for name, group in groupby(rows(version, proto), key=lambda row: row["group"]):
        yield name, list(group)


def is_built(argv: list[str], table: CommandTable) -> bool:
    """Whether what these words call in 7.4.1 is a command that we have as well."""
    words = [word.lower() for word in argv[:2]]
    name = "|".join(words) if "|".join(words) in COMMANDS else words[0]
    return name not in COMMANDS or table.find(name.encode()) is not None


def rule(argv: list[str]) -> Step:
    text = " ".join(argv)
    options: dict[str, str] = {}
    for pattern, option in RULES:
        if re.match(pattern, text, re.IGNORECASE):
            name, _, value = option.partition(" ")
            options = {name: value}
            break
    return Step(0, text, text, options=options)


def is_exception(argv: list[str]) -> bool:
    return any(re.match(pattern, " ".join(argv)) for pattern, _reason in EXCEPTIONS)


class Replay:
    """One group, played to the server at a port; `compared` counts the replies that were."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.links: dict[str, Link] = {}
        self.ids: dict[str, str] = {}
        self.asked: dict[str, list[str]] = {}  # connection → what it called last, for replies that come later
        self.control = Link(port, DEADLINE_S)
        self.table = declared()
        self.lacking: set[str] = set()  # connections that a command we have not has been left out on
        self.compared = 0
        self.left_out = 0

    def play(self, group: list[Row]) -> list[str]:
        """What differs, one text for each row."""
        for words in (["FLUSHALL"], ["FUNCTION", "FLUSH"], ["SCRIPT", "FLUSH"], ["SLOWLOG", "RESET"]):
            self.control.command(*words)
        for row in group:
            if "connection" in row:  # all of them at once: a MONITOR would see others come
                self.link(row["connection"])
        try:
            return [text for row in group if (text := self.row(row))]
        finally:
            for link in [*self.links.values(), self.control]:
                link.close()

    def row(self, row: Row) -> str:
        """Empty when the reply is the recorded one, or is not to be compared."""
        wanted = row.get("7.4.1", row["reply"]).encode("latin-1")
        argv = row.get("argv", self.asked.get(row.get("connection", ""), []))
        name = row.get("connection", "")
        if "argv" in row and not is_built(argv, self.table):
            self.lacking.add(name)
        elif not is_exception(argv) and ("argv" in row or name not in self.lacking):
            return self.compare(row, argv, wanted)
        self.left_out += 1
        return ""

    def compare(self, row: Row, argv: list[str], wanted: bytes) -> str:
        try:
            got = self.answer(row, wanted)
        except (TimeoutError, EOFError, ConnectionError) as error:
            got = f"!! {type(error).__name__}: {error}".encode()
        self.compared += 1
        if self.same(row, argv, got, wanted):
            return ""
        return f"{row['group']}: {row.get('argv', row.get('raw', '<-'))}\n    wanted {wanted!r}\n    ours   {got!r}"

    def same(self, row: Row, argv: list[str], got: bytes, wanted: bytes) -> bool:
        step = rule(["MONITOR", "lines"] if argv == ["MONITOR"] and "argv" not in row else argv)
        return agree(step, got[: len(wanted)] if row.get("cut") else got, wanted)

    def answer(self, row: Row, wanted: bytes) -> bytes:
        if "raw" in row:
            return self.raw(row, wanted)
        name = row["connection"]
        link = self.link(name)
        if "argv" in row:
            self.asked[name] = row["argv"]
            link.send(request([word.encode("latin-1") for word in row["argv"]]))
            if not wanted and row["argv"][0] not in ("CLIENT", "PING"):  # those after CLIENT REPLY are silenced
                self.wait_until_blocked(name)
        return self.read(link, wanted) if wanted else b""

    def wait_until_blocked(self, name: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            listed = self.control.command("CLIENT", "LIST", "ID", self.ids[name])
            if b" flags=b " in listed:
                return
            time.sleep(0.002)
        raise TimeoutError(f"{name} does not block: {self.asked[name]}")

    def raw(self, row: Row, wanted: bytes) -> bytes:
        data = row["raw"].encode("latin-1")
        data += data[-1:] * (row.get("grow_to", 0) - len(data))
        link = Link(self.port, DEADLINE_S)
        try:
            with suppress(ConnectionError):  # closed while we still send what is too much
                link.send(data)
            return self.read(link, wanted)
        finally:
            link.close()

    def read(self, link: Link, wanted: bytes) -> bytes:
        """As many replies as the recording has, or all until the end where it has that."""
        if wanted.endswith(b"<EOF>"):
            return link.to_the_end() + b"<EOF>"
        found, position = b"", 0
        while position < len(wanted):
            end = reply_end(wanted, position)
            found += link.reply()
            position = end if end > 0 else len(wanted)
        return found

    def link(self, name: str) -> Link:
        if name not in self.links:
            self.links[name] = Link(self.port, DEADLINE_S)
            self.ids[name] = self.links[name].command("CLIENT", "ID")[1:-2].decode()
            if name.endswith("3"):
                self.links[name].command("HELLO", "3")
        return self.links[name]


def differences(port: int, version: str, proto: int = 0) -> tuple[list[str], int, int]:
    """What differs, how many replies were compared, and how many were not."""
    found: list[str] = []
    compared = left_out = 0
    for _name, group in groups(version, proto):
        replay = Replay(port)
        found += replay.play(group)
        compared += replay.compared
        left_out += replay.left_out
    return found, compared, left_out


def write(port: int) -> None:
    """Put what the 7.4.1 at this port answers otherwise beside the replies of 7.0.15."""
    path = GOLDEN / "redis-7.0.15-replies.jsonl"
    lines = path.read_text().splitlines()[:1]
    for _name, group in groups("7.0.15"):
        for row in group:
            row.pop("7.4.1", None)
        Changes(port).play(group)
        lines += [json.dumps(row) for row in group]
    path.write_text("\n".join(lines) + "\n")


class Changes(Replay):
    """Writes into the rows what differs."""

    def row(self, row: Row) -> str:
        wanted = row["reply"].encode("latin-1")
        argv = row.get("argv", self.asked.get(row.get("connection", ""), []))
        got = self.answer(row, wanted)
        if not is_exception(argv) and not self.same(row, argv, got, wanted):
            row["7.4.1"] = got.decode("latin-1")
        return ""


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(int(sys.argv[1]))
    for what in (("7.4.1", 2), ("7.4.1", 3), ("7.0.15", 0)):
        texts, compared, left_out = differences(int(sys.argv[1]), *what)
        print(*texts, f"{what}: {len(texts)} differ of {compared}, {left_out} not compared", sep="\n")
