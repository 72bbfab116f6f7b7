"""redis-cli and redis-benchmark find nothing to complain of that the real server would not give them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest

from tests.peers.redis import Link, Server, missing, request

pytestmark = pytest.mark.peer

DEADLINE_S = 60.0
PROMPT = r"127\.0\.0\.1:\d+> "
# Commands whose arguments are the same in 7.0, of which redis-cli is a part, and in 7.4.
HINTED = ["GET", "SET", "ZADD", "ZRANGESTORE", "LMPOP", "SINTERCARD", "HSET", "BZMPOP", "EXPIRE", "COPY", "CONFIG GET"]


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        missing(f"no {name}: apt-get install redis-tools")
    return str(found)


def run(server: Server, *arguments: str, name: str = "redis-cli", feed: bytes = b"") -> str:
    """What the tool prints; whatever it has to say on stderr fails the test."""
    found = subprocess.run(
        [tool(name), "-p", str(server.port), *arguments], input=feed, capture_output=True, timeout=120, check=False
    )
    assert found.returncode == 0, (arguments, found.stderr, found.stdout[-500:])
    assert not found.stderr, (arguments, found.stderr)
    return found.stdout.decode()


def fill(server: Server) -> None:
    link = Link(server.port)
    link.command("FLUSHALL")
    link.send(b"".join(request([b"SET", b"string:%d" % number, b"x" * number]) for number in range(500)))
    for _ in range(500):
        assert link.reply() == b"+OK\r\n"
    for number in range(60):
        for words in (
            ["RPUSH", "list"],
            ["SADD", "set"],
            ["HSET", "hash", f"f{number}"],
            ["ZADD", "zset", f"{number}"],
        ):
            link.command(*words, f"member:{number}")
    link.close()


class Terminal:
    """redis-cli as somebody sits before it."""

    def __init__(self, server: Server) -> None:
        binary = tool("redis-cli")
        self.child, self.handle = pty.fork()
        if self.child == 0:
            os.environ["TERM"] = "xterm"
            os.environ["REDISCLI_HISTFILE"] = "/dev/null"
            os.execv(binary, ["redis-cli", "-p", str(server.port)])
        # Without a size redis-cli asks the terminal where its cursor is, and nobody would answer.
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def until(self, pattern: str) -> str:
        """What the screen shows once the pattern has appeared."""
        deadline = time.monotonic() + DEADLINE_S
        while not re.search(pattern, self.seen, re.S):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.handle], [], [], max(left, 0))
            assert ready, f"{pattern!r} never came: {self.seen[-500:]!r}"
            self.seen += os.read(self.handle, 65536).decode("utf-8", "replace")
        shown, self.seen = self.seen, ""
        return shown

    def hint(self, command: str) -> str:
        """The grey text behind a command that is being typed."""
        self.type(command + " ")
        # Every key draws the line again; the hint of the last one stands between its colour codes.
        grey = re.compile(r"\x1b\[0;90;49m(?P<hint>[^\x1b]*)\x1b\[0m")
        shown = self.until(re.escape(command) + r" \x1b\[0;90;49m[^\x1b]+\x1b\[0m")
        found = grey.findall(shown)
        self.type("\x15")  # Ctrl-U: forget the line
        return str(found[-1]).strip()

    def close(self) -> None:
        os.write(self.handle, b"\x04")
        os.close(self.handle)
        os.waitpid(self.child, 0)


def colourless(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def test_interactive_hints(ours: Server, theirs: Server) -> None:
    """Somebody at redis-cli is not told a command's arguments, or others than Redis tells."""
    hints = []
    for server in (theirs, ours):
        terminal = Terminal(server)
        terminal.until(PROMPT)
        hints.append({command: terminal.hint(command) for command in HINTED})
        terminal.close()
    assert hints[1] == hints[0]
    assert all(hints[0].values())


def test_help_knows_every_command(ours: Server) -> None:
    """`help` in redis-cli shows nothing for one of our commands."""
    terminal = Terminal(ours)
    terminal.until(PROMPT)
    terminal.type("help zadd\r")
    shown = colourless(terminal.until("sorted-set\r[^>]*" + PROMPT))
    assert "ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]" in shown
    assert "since: 1.2.0" in shown
    terminal.type("help @set\r")
    assert "SINTERSTORE destination key [key ...]" in colourless(terminal.until("SUNIONSTORE[^>]*" + PROMPT))
    terminal.close()


def test_pipe(ours: Server) -> None:
    """Mass insertion loses replies, or never ends."""
    feed = b"".join(request([b"SET", b"pipe:%d" % number, b"v%d" % number]) for number in range(20_000))
    assert "errors: 0, replies: 20000" in run(ours, "--pipe", feed=feed)
    assert run(ours, "GET", "pipe:19999").strip() == "v19999"


def test_scan_and_big_keys(ours: Server, theirs: Server) -> None:
    """A walk over the keys misses some, or sums them up otherwise."""
    for server in (ours, theirs):
        fill(server)
    for arguments in (["--scan"], ["--scan", "--pattern", "string:4*"], ["--scan", "--pattern", "nothing*"]):
        assert sorted(run(ours, *arguments).split()) == sorted(run(theirs, *arguments).split())
    summaries = [run(server, "--bigkeys").partition("-------- summary -------")[2] for server in (theirs, ours)]
    assert sorted(summaries[1].splitlines()) == sorted(summaries[0].splitlines())


def test_stat(ours: Server) -> None:
    """The rolling statistics stop, or show a field we do not have."""
    child = subprocess.Popen(
        [tool("redis-cli"), "-p", str(ours.port), "-i", "0.05", "--stat"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        lines = [child.stdout.readline() for _ in range(6)]
    finally:
        child.kill()
        _, complaints = child.communicate()
    assert not complaints
    assert "keys" in lines[1]
    numbers = [line.split() for line in lines[2:]]
    assert all(int(row[0]) >= 0 and int(row[2]) >= 1 for row in numbers), lines


def test_latency(ours: Server) -> None:
    """The latency of our PING cannot be measured."""
    least, most, average, samples = map(float, run(ours, "-i", "0.2", "--latency", "--raw").split())
    assert least <= average <= most
    assert samples > 0


def test_benchmark(ours: Server, theirs: Server) -> None:
    """redis-benchmark warns, stops or leaves out a test."""
    tests = []
    for server in (theirs, ours):
        shown = run(server, "-q", "-n", "1000", name="redis-benchmark")
        lines = [line for line in re.split(r"[\r\n]+", shown) if "requests per second" in line]
        tests.append([line.partition(":")[0] for line in lines])
        assert not re.search(r"(?i)error|warning", shown)
    assert tests[1] == tests[0]
    assert len(tests[0]) >= 19


def test_benchmark_with_pipelines(ours: Server) -> None:
    """redis-benchmark with pipelines and random keys meets an error."""
    shown = run(ours, "-q", "-n", "2000", "-P", "16", "-r", "1000", "-d", "100", name="redis-benchmark")
    assert not re.search(r"(?i)error|warning", shown)
    assert shown.count("requests per second") >= 19
