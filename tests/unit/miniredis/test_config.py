"""redis.conf: parsing, CONFIG GET, and of every directive that CONFIG SET accepts, what it changes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from miniredis.config import CommandLine, Config, ConfigError
from miniredis.directives import FIXED, OPTIONS, Option
from miniredis.engine.divergence import of_file, of_primary
from miniredis.loading import take_steps
from miniredis.persist.rdb_format import sealed
from protocol.resp.values import OK
from tests.peers.redis import ROOT, Link, Server, our_server, real_binary, request
from tests.sim.world import SimProcess
from tests.unit.miniredis.append_effects import APPEND_EFFECTS
from tests.unit.miniredis.replica_effects import REPLICA_EFFECTS
from tests.unit.miniredis.world import Ear, World

GOLDEN = ROOT / "tests" / "golden" / "redis-7.4.1-config.json"

# Where we differ from what Redis answers without any file, and why.
OWN_DEFAULTS = {
    "bind": "loopback only, as in the redis.conf that Redis ships with",
    "dir": "the directory it was started in",
    "port": "recorded from a server on a port of its own",
}


def loaded(*arguments: str, files: dict[str, str] | None = None, stdin: bytes = b"") -> Config:
    texts = {path: text.encode() for path, text in (files or {}).items()}

    def read(path: str) -> bytes:
        if path not in texts:
            raise FileNotFoundError(2, "No such file or directory")
        return texts[path]

    def listed(directory: str) -> list[str]:
        return [Path(path).name for path in texts if str(Path(path).parent) == directory]

    config = Config(
        read_file=read, list_directory=listed, is_directory=lambda path: path.startswith("/tmp"), directory="/tmp"
    )
    config.load(CommandLine(arguments), stdin=lambda: stdin)
    return config


# ── files and command lines ────────────────────────────────────────────────────────────────────────────


def test_names_and_defaults_are_those_of_redis() -> None:
    """A tool that reads a setting would miss its name or find another default."""
    real: dict[str, str] = json.loads(GOLDEN.read_text())
    ours = {name.decode(): value.decode() for name, value in loaded().get([b"*"]).items()}
    assert sorted(ours) == sorted(real)
    assert {name for name in real if ours[name] != real[name]} <= set(OWN_DEFAULTS)


def test_command_line_forms() -> None:
    """A way of writing directives that redis-server takes would not start this server."""
    assert loaded("--port", "7000")["port"] == 7000
    assert loaded("--port 7000")["port"] == 7000
    assert loaded("--port", "7000", "--hz 20", "--timeout", "5")["hz"] == 20
    assert loaded("--bind", "127.0.0.1", "::1")["bind"] == ("127.0.0.1", "::1")
    assert loaded("--bind 127.0.0.1 ::1")["bind"] == ("127.0.0.1", "::1")
    assert loaded("--save", "--port", "7000")["port"] == 7000
    assert loaded("--port", "7000", "--save")["save"] == ()
    assert loaded("--requirepass", "--strange")["requirepass"] == "--strange"
    assert loaded("--REQUIREPASS", 'a "b"')["requirepass"] == 'a "b"'
    assert loaded("--maxmemory-policy", "ALLKEYS-LRU")["maxmemory-policy"] == "allkeys-lru"
    assert loaded("--exit-with-parent", "--port", "1")["exit-with-parent"] is True


def test_files_standard_input_and_includes_in_their_order() -> None:
    """The wrong one of several values for a directive would win."""
    files = {
        "/tmp/redis.conf": "# comment\n\nport 1\n  HZ 11  \r\ninclude /tmp/more.conf\ntimeout 3\n",
        "/tmp/more.conf": "timeout 2\nrequirepass 'a b'\n",
        "/tmp/conf.d/a.conf": "hz 100\n",
        "/tmp/conf.d/b.conf": "hz 101\n",
    }
    config = loaded("/tmp/redis.conf", files=files)
    assert (config["port"], config["hz"], config["timeout"], config["requirepass"]) == (1, 11, 3, "a b")
    assert loaded("-", "--port", "9", stdin=b"port 5\n")["port"] == 9
    assert loaded("-", stdin=b"port 5\n")["port"] == 5
    assert loaded("/tmp/redis.conf", "-", files=files, stdin=b"port 5\n")["port"] == 5
    assert loaded("/tmp/redis.conf", "--port", "9", "-", files=files, stdin=b"port 5\n")["port"] == 9
    assert loaded("--include", "/tmp/conf.d/*.conf", files=files)["hz"] == 101
    assert loaded("--include", "/tmp/none.d/*.conf", files=files)["hz"] == 10
    with pytest.raises(ConfigError, match=r"can't open config file '/tmp/none\.conf'"):
        loaded("/tmp/none.conf")
    with pytest.raises(ConfigError, match="include"):
        loaded("/tmp/self.conf", files={"/tmp/self.conf": "include /tmp/self.conf\n"})


BAD = [
    ["--hz", "abc"], ["--nosuch", "1"], ["--port", "70000"], ["--port"], ["--port", "1", "2"], ["--save", "1"],
    ["--save", "x", "y"], ["--maxmemory", "12x"], ["--appendonly", "maybe"], ["--maxmemory-policy", "foo"],
    ["--unixsocketperm", "999"], ["--client-output-buffer-limit", "normal", "1", "2"],
    ["--notify-keyspace-events", "Q"],
    ["--latency-tracking-info-percentiles", "200"], ["--bind 'a"], ["--dir", "/nosuchdirectory"],
    ["--oom-score-adj-values", "1", "2"], ["--replicaof", "host"], ["--include", "/nosuch"], ["--maxclients", "0"],
    ["--proto-max-bulk-len", "100"], ["--active-expire-effort", "11"],
]  # fmt: skip


@pytest.mark.peer
@pytest.mark.parametrize("arguments", BAD, ids=lambda arguments: " ".join(arguments))
def test_a_bad_configuration_is_refused_in_the_same_words(arguments: list[str]) -> None:
    """Who has made a mistake in redis.conf would not find the answer he finds for Redis."""
    real = subprocess.run([real_binary(), *arguments], capture_output=True, text=True, timeout=60, cwd="/tmp")
    assert real.returncode == 1
    with pytest.raises(ConfigError) as caught:
        loaded(*arguments)
    theirs = [line for line in (real.stderr or real.stdout).strip().splitlines() if line]
    ours = [line for line in str(caught.value).strip().splitlines() if line]
    assert re.sub(r"Redis [\d.]+", "Redis x", ours[0]) in re.sub(r"Redis [\d.]+", "Redis x", "\n".join(theirs))
    assert ours[1:] == theirs[1:] or ours[0].startswith("Fatal error")


def test_a_value_that_nothing_reads_is_told() -> None:
    """An operator would believe that a setting works."""
    config = loaded("--activedefrag", "yes", "--appendonly", "no", "--io-threads", "1")
    assert config.ignored == ["activedefrag"]
    assert config["activedefrag"] is False


def test_the_logo_is_shown_where_it_is_asked_for() -> None:
    """Whoever finds a server by its number in the log, as Redis's own tests do, would wait for ever."""
    for word in ("yes", "no"):
        with our_server("--always-show-logo", word) as server:
            assert (f" PID: {server.pid}\n" in server.log()) == (word == "yes")


def test_a_pid_file_that_cannot_be_written_is_told() -> None:
    """A server would not start, or not end in order, for want of a file that nobody may look at."""
    with our_server("--pidfile", "/nowhere/redis.pid") as server:
        assert "Failed to write PID file: No such file or directory" in server.log()
        link = Link(server.port)
        link.send(b"SHUTDOWN\r\n")
        assert link.to_the_end() == b""
        assert server.process is not None
        assert server.process.wait(60) == 0


def test_start_with_a_bad_configuration() -> None:
    """A wrong option would end in a traceback."""
    run = subprocess.run(
        [sys.executable, "-m", "miniredis", "--hz", "abc"], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert run.returncode == 1
    assert "FATAL CONFIG FILE ERROR" in run.stderr
    assert "Traceback" not in run.stderr


# ── what each directive changes ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with our_server() as running:
        yield running


class Client:
    """A connection whose replies are text."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.link = Link(server.port)

    def __call__(self, *words: str) -> str:
        reply = self.link.command(*words).decode()
        return reply[1:-2] if reply[0] in ":+-" else reply

    def set(self, name: str, value: str) -> None:
        assert self("CONFIG", "SET", name, value) == "OK"

    def encoding(self, key: str) -> str:
        return self("OBJECT", "ENCODING", key).split("\r\n")[1]

    def info(self, section: str, field: str) -> str:
        found = re.search(rf"^{field}:(.*?)\r$", self("INFO", section), re.M)
        return found[1] if found else ""


def until(condition: Callable[[], bool], deadline_s: float = 60.0) -> bool:
    """Wait for a condition; whether it came true."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def is_closed(link: Link) -> bool:
    try:
        link.to_the_end()
    except TimeoutError:
        return False
    return True


def _encoding(name: str, value: str, command: str, before: str, after: str) -> Callable[[Client], None]:
    def check(client: Client) -> None:
        words = command.split()
        client(*words)
        assert client.encoding(words[1]) == before
        client("DEL", words[1])
        client.set(name, value)
        client(*words)
        assert client.encoding(words[1]) == after

    return check


def _active_expire_effort(client: Client) -> None:
    # One key in twenty is dead: too few for effort 1 to look further than a sample, too many for effort 10.
    client("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    client("DEBUG", "POPULATE", "4000")
    for number in range(4000):
        client("PEXPIRE", f"key:{number}", "1" if number % 20 == 0 else "1000000")
    client.set("active-expire-effort", "10")
    client("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    assert until(lambda: int(client("DBSIZE")) <= 3840, 10.0)  # effort 1 needs 200 ticks, 20 s


def _output_limit(client: Client) -> None:
    client.set("client-output-buffer-limit", "pubsub 100kb 0 0")
    listener = Link(client.server.port)
    listener.command("SUBSCRIBE", "flood")
    for _ in range(400):
        client("PUBLISH", "flood", "x" * 100_000)
    assert until(lambda: client("PUBSUB", "NUMSUB", "flood").endswith(":0\r\n"))
    assert client.info("stats", "client_output_buffer_limit_disconnections") == "1"


def _query_limit(client: Client) -> None:
    client.set("client-query-buffer-limit", "1mb")
    talker = Link(client.server.port)
    try:
        talker.send(b"*2\r\n$4\r\nECHO\r\n$3000000\r\n" + b"x" * 2_900_000)
    except ConnectionError:
        pass
    assert is_closed(talker)


def _hz(client: Client) -> None:
    client.set("hz", "100")
    assert client.info("server", "hz") == "100"
    # A tick looks at 20 keys with a deadline, so 150 ticks see them all: in 1.5 s, or in 15 s at 10 a second.
    client("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    client("DEBUG", "POPULATE", "3000")
    for number in range(3000):
        client("PEXPIRE", f"key:{number}", "1" if number % 20 == 0 else "1000000")
    client("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    assert until(lambda: int(client("DBSIZE")) <= 2850, 8.0)


def _dynamic_hz(client: Client) -> None:
    client.set("hz", "1")
    links = [Link(client.server.port) for _ in range(205)]
    assert until(lambda: client.info("server", "hz") == "2", 10.0)
    assert client.info("server", "configured_hz") == "1"
    client.set("dynamic-hz", "no")
    assert until(lambda: client.info("server", "hz") == "1", 10.0)
    for link in links:
        link.close()


def _slow_load(client: Client) -> None:
    for name in ("a", "b", "c"):
        client("SET", name, "1")
    assert client("SAVE") == "OK"
    client.set("key-load-delay", "100000")
    started = time.monotonic()
    assert client("DEBUG", "RELOAD", "NOSAVE") == "OK"
    assert time.monotonic() - started >= 0.3


def _load_interval(world: World, config: Config) -> None:
    """How often a load gives way, where it would not by the clock, which stands still."""
    world.disk.make_dirs("/tmp")
    for number in range(100):
        world(f"SET k{number} {'x' * 200}")
    config.set([b"rdbcompression", b"no", b"save", b""], allows_protected=False)
    assert world("SAVE") == OK
    turns = []
    for interval in (b"1024", b"10240", b"1000000"):
        config.set([b"loading-process-events-interval-bytes", interval], allows_protected=False)
        world("FLUSHALL")
        turns.append(asyncio.run(_turns(world)))
    assert 18 <= turns[0] <= 24
    assert turns[1:] == [2, 0]


async def _turns(world: World) -> int:
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            await asyncio.sleep(0)
            others += 1

    counter = asyncio.create_task(count())
    await asyncio.sleep(0)
    await take_steps(world.state.snapshots.load(now_ms=0), world.state)
    counter.cancel()
    return others


class _Mortal(SimProcess):
    ends = 0

    def end_at_once(self, code: int) -> NoReturn:
        self.ends += 1
        return None  # type: ignore[misc]


def _propagation_errors(world: World, config: Config) -> None:
    """Whether it ends by an error of its primary, the same where clients may write, and by one of its file."""
    world.state.config = config
    found = {}
    for word in ("ignore", "panic", "panic-on-replicas"):
        config.set([b"propagation-error-behavior", word.encode()], allows_protected=False)
        world.state.process = process = _Mortal()
        seen = []
        for writable, tell in ((b"yes", of_primary), (b"no", of_primary), (b"yes", of_file)):
            config.set([b"replica-read-only", writable], allows_protected=False)
            before = process.ends
            tell(world.state, lambda line: None, b"incr", b"ERR of some kind")
            seen.append(process.ends > before)
        found[word] = seen
    assert found == {
        "ignore": [False, False, False], "panic": [True, False, True], "panic-on-replicas": [True, False, False],
    }  # fmt: skip
    assert world.state.unexpected_errors == 9


def _latency_tracking(client: Client) -> None:
    assert "latency_percentiles_usec_" in client("INFO", "latencystats")
    client.set("latency-tracking", "no")
    assert "latency_percentiles_usec_" not in client("INFO", "latencystats")


def _percentiles(client: Client) -> None:
    client("GET", "k")
    client.set("latency-tracking-info-percentiles", "12.5 100")
    assert re.search(r"usec_get:p12\.5=\d+\.\d{3},p100=\d+\.\d{3}\r", client("INFO", "latencystats"))


def _frequency(client: Client, key: str, reads: int) -> int:
    for _ in range(reads):
        client("GET", key)
    return int(client("OBJECT", "FREQ", key))


def _lfu_log_factor(client: Client) -> None:
    client.set("maxmemory-policy", "allkeys-lfu")
    client.set("lfu-log-factor", "0")
    client("SET", "often", "1")
    assert _frequency(client, "often", 50) == 55
    client.set("lfu-log-factor", "1000000")
    client("SET", "seldom", "1")
    assert _frequency(client, "seldom", 50) <= 10


def _compress_depth(client: Client) -> None:
    client.set("list-compress-depth", "1")
    client("RPUSH", "l", *["some text of an element"] * 3000)
    assert "ql_compressed:1" in client("DEBUG", "OBJECT", "l")
    assert client("LINDEX", "l", "1500") == "$23\r\nsome text of an element\r\n"


def _latency_monitor(client: Client) -> None:
    client("LATENCY", "RESET")
    client("DEBUG", "SLEEP", "0.02")
    assert "command" not in client("LATENCY", "LATEST")
    client.set("latency-monitor-threshold", "10")
    client("DEBUG", "SLEEP", "0.02")
    assert "command" in client("LATENCY", "LATEST")


def _compression(client: Client) -> None:
    client("SET", "k", "a" * 1000)
    short = len(client.link.command("DUMP", "k"))
    client.set("rdbcompression", "no")
    assert short < 100 < 1000 < len(client.link.command("DUMP", "k"))


def _sanitize(client: Client) -> None:
    command = request([b"RESTORE", b"k", b"0", sealed(bytes.fromhex("0b0a02000000010000000100"), 10), b"REPLACE"])
    before = int(client.info("stats", "dump_payload_sanitizations"))
    for setting, more in (("yes", 1), ("clients", 2), ("no", 2)):
        client.set("sanitize-dump-payload", setting)
        client.link.send(command)
        assert client.link.reply() == b"+OK\r\n"
        assert int(client.info("stats", "dump_payload_sanitizations")) == before + more


def _policy(client: Client) -> None:
    client("SET", "k", "1")
    assert client("OBJECT", "FREQ", "k").startswith("ERR An LFU maxmemory policy is not selected")
    client.set("maxmemory-policy", "volatile-lfu")
    assert client("OBJECT", "FREQ", "k").isdigit()


def _log_level(client: Client) -> None:
    client("DEBUG", "LOG", "line one")
    client.set("loglevel", "warning")
    client("DEBUG", "LOG", "line two")
    client.set("loglevel", "notice")
    client("DEBUG", "LOG", "line three")
    assert until(lambda: "line three" in client.server.log())
    assert "line one" in client.server.log()
    assert "line two" not in client.server.log()


def _max_clients(client: Client) -> None:
    count = int(client.info("clients", "connected_clients"))
    client.set("maxclients", str(count))
    late = Link(client.server.port)
    assert late.to_the_end() == b"-ERR max number of clients reached\r\n"
    client.set("maxclients", str(count + 1))
    assert until(lambda: Link(client.server.port).command("PING") == b"+PONG\r\n")


def _events(client: Client) -> None:
    listener = Link(client.server.port)
    listener.command("SUBSCRIBE", "__keyevent@0__:set")
    client("SET", "k", "silent")
    client.set("notify-keyspace-events", "E$")
    client("SET", "loud", "1")
    assert listener.reply().endswith(b"$4\r\nloud\r\n")


def _bulk_limit(client: Client) -> None:
    client.set("proto-max-bulk-len", "1mb")
    talker = Link(client.server.port)
    talker.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")
    assert talker.to_the_end() == b"-ERR Protocol error: invalid bulk length\r\n"


def _password(client: Client) -> None:
    client.set("requirepass", "secret")
    stranger = Link(client.server.port)
    assert stranger.command("PING").startswith(b"-NOAUTH")
    assert stranger.command("AUTH", "secret") == b"+OK\r\n"
    assert stranger.command("PING") == b"+PONG\r\n"
    assert client("PING") == "PONG"


def _slow_threshold(client: Client) -> None:
    client("SLOWLOG", "RESET")
    client("PING")
    assert client("SLOWLOG", "LEN") == "0"
    client.set("slowlog-log-slower-than", "0")
    client("PING")
    assert int(client("SLOWLOG", "LEN")) >= 1


def _slow_length(client: Client) -> None:
    client.set("slowlog-log-slower-than", "0")
    client.set("slowlog-max-len", "0")
    client("SLOWLOG", "RESET")
    for _ in range(5):
        client("PING")
    client.set("slowlog-max-len", "128")
    client("PING")
    ids = re.findall(r":(\d+)\r\n:\d+\r\n:\d+\r\n\*1\r\n\$4\r\nPING", client("SLOWLOG", "GET", "1"))
    assert len(ids) == 1
    client("PING")
    client.set("slowlog-max-len", "0")
    for _ in range(5):
        client("PING")
    client.set("slowlog-max-len", "128")
    client("PING")
    # What is not kept takes no number either: between the two are a PING, the two of CONFIG SET, and nothing else.
    found = re.findall(r":(\d+)\r\n:\d+\r\n:\d+\r\n\*1\r\n\$4\r\nPING", client("SLOWLOG", "GET", "1"))
    assert int(found[0]) - int(ids[0]) < 8
    client.set("slowlog-log-slower-than", "10000")
    client.set("slowlog-log-slower-than", "0")
    client.set("slowlog-max-len", "3")
    for _ in range(10):
        client("PING")
    assert client("SLOWLOG", "LEN") == "3"


def _timeout(client: Client) -> None:
    client.set("timeout", "1")
    idle = Link(client.server.port)
    assert idle.command("PING") == b"+PONG\r\n"
    idle.timeout_s = 0.1
    assert until(lambda: client("PING") == "PONG" and is_closed(idle))


def _keep_alive(client: Client) -> None:
    # The kernel shows the timer of the probes (02 in the column `tr`) of connections that have one.
    client.set("tcp-keepalive", "0")
    without = Link(client.server.port)
    without.command("PING")
    client.set("tcp-keepalive", "77")
    with_timer = Link(client.server.port)
    with_timer.command("PING")

    def has_timer(link: Link) -> bool:
        own, server_port = link.socket.getsockname()[1], client.server.port
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == server_port and int(fields[2].split(":")[1], 16) == own:
                return fields[5].startswith("02")
        raise AssertionError("the connection is not in /proc/net/tcp")

    assert has_timer(with_timer)
    assert not has_timer(without)


def _directory(client: Client) -> None:
    with tempfile.TemporaryDirectory() as directory:
        client.set("dir", directory)
        assert os.path.realpath(f"/proc/{client.server.pid}/cwd") == os.path.realpath(directory)
        client.set("dir", client.server.directory)


def _file_name(client: Client) -> None:
    client.set("dbfilename", "other.rdb")
    assert client("SAVE") == "OK"
    assert (Path(client.server.directory) / "other.rdb").stat().st_size > 20


def _save_points(client: Client) -> None:
    client.set("save", "1 2")
    assert client("MSET", "a", "1", "b", "2") == "OK"
    assert until(lambda: client.info("persistence", "rdb_changes_since_last_save") == "0")
    assert client.info("persistence", "rdb_saves") == "1"


def _slow_child(client: Client) -> None:
    client("MSET", "a", "1", "b", "2", "c", "3")
    client.set("rdb-key-save-delay", "100000")
    started = time.monotonic()
    assert client("BGSAVE") == "Background saving started"
    assert until(lambda: client.info("persistence", "rdb_bgsave_in_progress") == "0")
    assert time.monotonic() - started > 0.3


def _stop_writes(client: Client) -> None:
    client.set("save", "3600 1")
    (Path(client.server.directory) / "taken").mkdir()
    client.set("dbfilename", "taken")
    assert client("BGSAVE") == "Background saving started"
    assert until(lambda: client.info("persistence", "rdb_last_bgsave_status") == "err")
    assert client("SET", "k", "v").startswith("MISCONF Redis is configured to save RDB snapshots")
    assert client("PING").startswith("MISCONF")
    client.set("stop-writes-on-bgsave-error", "no")
    assert client("SET", "k", "v") == "OK"
    client.set("dbfilename", "dump.rdb")
    assert client("SAVE") == "OK"
    client.set("stop-writes-on-bgsave-error", "yes")
    assert client("SET", "k", "v") == "OK"


def _syncs_on_the_way(world: World, config: Config) -> None:
    world.disk.make_dirs("/tmp")
    done: list[str] = []
    world.disk.fault = lambda operation, path: done.append(operation)
    counts = []
    for word in (b"yes", b"no"):
        config.set([b"rdb-save-incremental-fsync", word, b"rdbcompression", b"no"], allows_protected=False)
        world("SETRANGE k 5000000 x")
        done.clear()
        world("SAVE")
        counts.append(done.count("sync"))
    assert counts == [2, 1]


def _in_process(check: Callable[[World, Config], None]) -> Callable[[Client], None]:
    """For what no client can see: an engine with a configuration, and an ear where a replica would be."""

    def run(client: Client) -> None:
        world = World()
        config = loaded()
        config.changed = world.state.apply_settings
        check(world, config)

    return run


def _told(world: World, lines: list[str]) -> bytes:
    ear = Ear(3)
    world.state.journal.attach(ear)
    for line in lines:
        world(line)
    world.later(100)
    world("GET k")
    world.state.journal.detach(ear)
    return ear.data


def _lazy_expire(world: World, config: Config) -> None:
    assert b"DEL\r\n$1\r\nk" in _told(world, ["SET k v PX 1"])
    config.set([b"lazyfree-lazy-expire", b"yes"], allows_protected=False)
    assert b"UNLINK\r\n$1\r\nk" in _told(world, ["SET k v PX 1"])


def _lazy_server_del(world: World, config: Config) -> None:
    lines = ["SADD s a b", "SPOP s 2"]
    assert b"DEL\r\n$1\r\ns" in _told(world, lines)
    config.set([b"lazyfree-lazy-server-del", b"yes"], allows_protected=False)
    assert b"UNLINK\r\n$1\r\ns" in _told(world, lines)


def _lfu_decay(world: World, config: Config) -> None:
    config.set([b"maxmemory-policy", b"allkeys-lfu"], allows_protected=False)
    world("SET k v")
    config.set([b"lfu-decay-time", b"0"], allows_protected=False)
    world.later(600_000)
    assert world("OBJECT FREQ k") == 5
    config.set([b"lfu-decay-time", b"2"], allows_protected=False)
    assert world("OBJECT FREQ k") == 0


def _busy_threshold(client: Client) -> None:
    client.set("busy-reply-threshold", "1")
    endless = Link(client.server.port)
    began = time.monotonic()
    endless.send(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")
    assert until(lambda: client("PING").startswith("BUSY"))
    assert time.monotonic() - began < 4.5, "that is when the default of 5 s would have told"
    assert client("SCRIPT", "KILL") == "OK"
    assert endless.reply().startswith(b"-ERR Script killed by user with SCRIPT KILL")


def _is_there(host: str, port: int) -> bool:
    try:
        return Link(port, host=host).command("PING") == b"+PONG\r\n"
    except OSError:
        return False


def _port(client: Client) -> None:
    before = client.server.port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert client("CONFIG", "SET", "port", str(port)).endswith("Unable to listen on this port. Check server logs.")
        assert f"$4\r\nport\r\n${len(str(before))}\r\n{before}\r\n" in client("CONFIG", "GET", "port")
        assert _is_there("127.0.0.1", before)
    client.set("port", str(port))
    assert _is_there("127.0.0.1", port)
    assert not _is_there("127.0.0.1", before)
    client.set("port", "0")
    assert not _is_there("127.0.0.1", port)
    assert client("PING") == "PONG", "whoever is connected stays"


def _bind(client: Client) -> None:
    port = client.server.port
    assert not _is_there("127.0.0.2", port)
    client.set("bind", "127.0.0.2 -192.0.2.1")
    assert _is_there("127.0.0.2", port)
    assert not _is_there("127.0.0.1", port)
    refused = client("CONFIG", "SET", "bind", "127.0.0.1 192.0.2.1")
    assert refused.endswith("(possibly related to argument 'bind') - Failed to bind to specified addresses.")
    assert _is_there("127.0.0.2", port)
    assert not _is_there("127.0.0.1", port)
    client.set("bind", "127.0.0.1")


def _sparse_bytes(client: Client) -> None:
    client.set("hll-sparse-max-bytes", "20")
    client("PFADD", "p", "a", "b")
    assert client("PFDEBUG", "ENCODING", "p") == "dense"


def _stream_nodes(name: str, value: str) -> Callable[[Client], None]:
    """Three entries, more than one node of them may hold."""

    def show(client: Client) -> None:
        client.set(name, value)
        for number in range(1, 4):
            client("XADD", "s", f"{number}-0", "field", "value")
        assert "$15\r\nradix-tree-keys\r\n:2\r\n" in client("XINFO", "STREAM", "s")

    return show


def _max_memory(client: Client) -> None:
    client("CONFIG", "SET", "maxmemory-policy", "noeviction")
    client.set("maxmemory", "1")
    assert client("SET", "k", "v") == "OOM command not allowed when used memory > 'maxmemory'."
    client.set("maxmemory", "0")
    assert client("SET", "k", "v") == "OK"


def _max_memory_clients(client: Client) -> None:
    large = Client(client.server)
    large.link.send(b"*2\r\n$4\r\nPING\r\n$2000000\r\n" + b"x" * 1_000_000)
    client.set("maxmemory-clients", "500kb")
    assert until(lambda: "evicted_clients:1" in client("INFO", "stats"))
    client.set("maxmemory-clients", "0")


def _lazy_eviction(client: Client) -> None:
    for name, value in (("lazyfree-lazy-eviction", "yes"), ("maxmemory-policy", "allkeys-random")):
        client.set(name, value)
    client("SADD", "large", *map(str, range(-5000, 5000)))
    client.set("maxmemory", "1")
    assert until(lambda: client("EXISTS", "large") == "0")
    for name in ("maxmemory", "lazyfree-lazy-eviction", "maxmemory-policy"):
        client.set(name, {"maxmemory": "0", "maxmemory-policy": "noeviction"}.get(name, "no"))


EFFECTS: dict[str, Callable[[Client], None]] = {
    **APPEND_EFFECTS,
    **REPLICA_EFFECTS,
    "active-expire-effort": _active_expire_effort,
    "bind": _bind,
    "busy-reply-threshold": _busy_threshold,
    "client-output-buffer-limit": _output_limit,
    "client-query-buffer-limit": _query_limit,
    "dbfilename": _file_name,
    "dir": _directory,
    "hash-max-listpack-entries": _encoding("hash-max-listpack-entries", "1", "HSET h a 1 b 2", "listpack", "hashtable"),
    "hash-max-listpack-value": _encoding("hash-max-listpack-value", "3", "HSET h a 12345", "listpack", "hashtable"),
    "hll-sparse-max-bytes": _sparse_bytes,
    "dynamic-hz": _dynamic_hz,
    "hz": _hz,
    "key-load-delay": _slow_load,
    "latency-monitor-threshold": _latency_monitor,
    "latency-tracking": _latency_tracking,
    "latency-tracking-info-percentiles": _percentiles,
    "lazyfree-lazy-expire": _in_process(_lazy_expire),
    "lazyfree-lazy-server-del": _in_process(_lazy_server_del),
    "lfu-decay-time": _in_process(_lfu_decay),
    "lfu-log-factor": _lfu_log_factor,
    "list-compress-depth": _compress_depth,
    "list-max-listpack-size": _encoding("list-max-listpack-size", "2", "RPUSH l a b c", "listpack", "quicklist"),
    "loglevel": _log_level,
    "loading-process-events-interval-bytes": _in_process(_load_interval),
    "maxclients": _max_clients,
    "lazyfree-lazy-eviction": _lazy_eviction,
    "maxmemory": _max_memory,
    "maxmemory-clients": _max_memory_clients,
    "maxmemory-policy": _policy,
    "notify-keyspace-events": _events,
    "port": _port,
    "propagation-error-behavior": _in_process(_propagation_errors),
    "proto-max-bulk-len": _bulk_limit,
    "rdb-key-save-delay": _slow_child,
    "rdb-save-incremental-fsync": _in_process(_syncs_on_the_way),
    "rdbcompression": _compression,
    "requirepass": _password,
    "sanitize-dump-payload": _sanitize,
    "set-max-intset-entries": _encoding("set-max-intset-entries", "2", "SADD s 1 2 3", "intset", "listpack"),
    "set-max-listpack-entries": _encoding("set-max-listpack-entries", "2", "SADD s a b c", "listpack", "hashtable"),
    "set-max-listpack-value": _encoding("set-max-listpack-value", "3", "SADD s abcdef", "listpack", "hashtable"),
    "save": _save_points,
    "slowlog-log-slower-than": _slow_threshold,
    "slowlog-max-len": _slow_length,
    "stop-writes-on-bgsave-error": _stop_writes,
    "stream-node-max-bytes": _stream_nodes("stream-node-max-bytes", "60"),
    "stream-node-max-entries": _stream_nodes("stream-node-max-entries", "2"),
    "tcp-keepalive": _keep_alive,
    "timeout": _timeout,
    "zset-max-listpack-entries": _encoding("zset-max-listpack-entries", "1", "ZADD z 1 a 2 b", "listpack", "skiplist"),
    "zset-max-listpack-value": _encoding("zset-max-listpack-value", "3", "ZADD z 1 abcdef", "listpack", "skiplist"),
}

# Who may come in from elsewhere cannot be tried from here: tests/unit/miniredis/test_session.py hands in addresses. Nor
# how good and how long an eviction is, and what a replica leaves alone: test_eviction.py. What concerns a replica's
# link takes two servers: tests/sim/test_following.py. What a rewriting child does is counted in test_append_only.py.
ELSEWHERE = {
    "masterauth", "masteruser", "rdb-del-sync-files", "repl-diskless-load", "repl-timeout", "replica-announce-ip",
    "replica-announce-port", "replica-announced", "replica-lazy-flush", "replica-priority", "replica-read-only",
    "replica-serve-stale-data",
    "protected-mode", "maxmemory-samples", "maxmemory-eviction-tenacity", "replica-ignore-maxmemory",
    "tracking-table-max-keys",  # test_tracking.py
    "aof-rewrite-incremental-fsync",
    "shutdown-on-sigint", "shutdown-on-sigterm", "shutdown-timeout",  # test_ending.py
}  # fmt: skip


def test_every_directive_that_can_be_changed_is_tried() -> None:
    """A directive could be accepted and do nothing."""
    changeable = {option.name for option in OPTIONS if option.is_read and not option.flags & FIXED}
    assert changeable == set(EFFECTS) | ELSEWHERE


@pytest.mark.parametrize("name", EFFECTS)
def test_effect(name: str, server: Server) -> None:
    """CONFIG SET would answer OK and change nothing."""
    client = Client(server)
    client("FLUSHALL")
    client("CONFIG", "RESETSTAT")
    before = client.link.command("CONFIG", "GET", "*").split(b"\r\n")[2::2]
    try:
        EFFECTS[name](client)
    finally:
        after = client.link.command("CONFIG", "GET", "*").split(b"\r\n")[2::2]
        for at in range(0, len(before) - 1, 2):
            if before[at + 1] != after[at + 1]:
                assert client.link.command("CONFIG", "SET", before[at], before[at + 1]) == b"+OK\r\n"
        client.link.close()


UNREAD = [option for option in OPTIONS if not option.is_read and not option.flags & FIXED]


@pytest.mark.parametrize("option", UNREAD, ids=lambda option: option.name)
def test_what_nobody_reads_is_refused(option: Option, server: Server) -> None:
    """A client would be told that a setting is in force which nothing looks at."""
    others = {"yes": "no", "no": "yes", "": "other", "0": "1", "1": "2"}
    name, default = option.name, option.default
    values = [others.get(default, ""), *option.choices, "11", "77", "1 2 3", "127.0.0.1 1", "12 13"]
    client = Client(server)
    for value in values:
        reply = client("CONFIG", "SET", name, value)
        assert reply.startswith("ERR CONFIG SET failed") or value.lower() == default, (name, value, reply)
    client.link.close()


@pytest.mark.parametrize("asked", [["--cluster-enabled", "yes"], ["--tls-port", "6380"]])
def test_what_others_count_on_is_never_ignored(asked: list[str]) -> None:
    """Somebody would take their data for safe, copied or encrypted, and be told only in the log that it is not."""
    words = [sys.executable, "-m", "miniredis", "--port", "0", *asked]
    ended = subprocess.run(words, capture_output=True, timeout=20, check=False, cwd=ROOT)
    assert ended.returncode == 1
    assert asked[0][2:].encode() in ended.stderr
