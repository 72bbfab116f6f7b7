"""Replicas that are slow, lie, talk, or ask for what is not there: the server goes on, and its memory is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.peers.follower import Follower
from tests.peers.redis import DEADLINE_S, Link, Server, our_server, request

LIMIT_BYTES = 2_000_000
DIRECTIVES = (
    "--repl-diskless-sync", "no", "--repl-backlog-size", "16384", "--client-output-buffer-limit",
    f"replica {LIMIT_BYTES} 0 0",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with our_server(*DIRECTIVES) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Link]:
    link = Link(server.port)
    yield link
    link.close()
    check = Link(server.port)
    assert check.command("PING") == b"+PONG\r\n"
    until(lambda: field(check, "connected_slaves") == "0")
    check.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def field(link: Link, name: str) -> str:
    text = link.command("INFO", "everything").decode()
    return next(line.partition(":")[2] for line in text.split("\r\n") if line.startswith(name + ":"))


def online(client: Link) -> None:
    until(lambda: "state=online" in client.command("INFO", "replication").decode())


def asked(port: int, *words: str) -> tuple[Link, bytes]:
    """A replica that has asked with PSYNC, and what it was answered."""
    link = Link(port)
    link.command("REPLCONF", "capa", "psync2")
    link.send(b" ".join([word.encode() for word in words]) + b"\r\n")
    line = b""
    while not line.endswith(b"\r\n"):
        line = (line + link.socket.recv(1)).lstrip(b"\n")
    return link, line


def test_offsets_that_are_not_there(server: Server, client: Link) -> None:
    """A replica would be given the stream from a place it does not know, or the server would fail."""
    first, line = asked(server.port, "PSYNC", "?", "-1")
    assert line.startswith(b"+FULLRESYNC ")
    online(client)
    for _ in range(100):
        client.command("SET", "k", "x" * 1000)
    until(lambda: int(field(client, "repl_backlog_first_byte_offset")) > 1)
    id, offset = field(client, "master_replid"), int(field(client, "master_repl_offset"))
    oldest = int(field(client, "repl_backlog_first_byte_offset"))
    wild = [-(2**63), -1, 0, 1, oldest - 1, offset + 2, offset + 10**9, 2**63 - 1]
    for wanted, named in [(each, id) for each in wild] + [(offset, "0" * 40), (offset, "x" * 100)]:
        link, line = asked(server.port, "PSYNC", named, str(wanted))
        assert line.startswith(b"+FULLRESYNC "), (wanted, named)
        link.close()
    for wanted in (oldest, offset, offset + 1):
        link, line = asked(server.port, "PSYNC", id.upper(), str(wanted))
        assert line == b"+CONTINUE %b\r\n" % id.encode()
        client.command("SET", "now", str(wanted))
        data = b""
        while b"$3\r\nnow\r\n" not in data:
            data += link.socket.recv(1 << 20)
        assert len(data) >= offset + 1 - wanted
        link.close()
    first.close()


def test_one_that_joins_what_it_cannot_read(server: Server, client: Link) -> None:
    """A Valkey that comes while a snapshot with fields that expire is made for another would fail to load it, and ask
    again and again, without a word about why; the field may be gone by then, and is in the snapshot all the same."""
    client.command("HSET", "with:an:end", "field", "value")
    client.command("HEXPIRE", "with:an:end", "1000", "FIELDS", "1", "field")
    client.command("CONFIG", "SET", "rdb-key-save-delay", "2000000")
    first, line = asked(server.port, "PSYNC", "?", "-1")
    assert line.startswith(b"+FULLRESYNC ")
    assert field(client, "rdb_bgsave_in_progress") == "1"
    assert client.command("DEL", "with:an:end") == b":1\r\n"
    second = Link(server.port)
    second.command("REPLCONF", "capa", "psync2", "version", "8.1.1")
    assert second.command("PSYNC", "?", "-1").startswith(b"-ERR there are fields that expire")
    assert "with:an:end" in server.log().partition("is refused")[2]
    client.command("CONFIG", "SET", "rdb-key-save-delay", "0")
    first.close()
    second.close()
    until(lambda: field(client, "rdb_bgsave_in_progress") == "0")


def test_one_that_takes_nothing(server: Server, client: Link) -> None:
    """A replica that hangs would take the server's memory, until there is none."""
    stuck = Follower(server.port)
    online(client)
    value = b"x" * 100_000
    most = 0
    for number in range(400):
        client.command("SET", "k", value)
        if not number % 10:
            most = max(most, int(field(client, "mem_total_replication_buffers")))
            if field(client, "connected_slaves") == "0":
                break
    assert field(client, "connected_slaves") == "0"
    assert most < LIMIT_BYTES + 2 * len(value)
    client.command("SET", "k", "v")
    assert int(field(client, "mem_total_replication_buffers")) < LIMIT_BYTES
    stuck.close()


def test_one_that_does_not_take_its_snapshot(server: Server, client: Link) -> None:
    """What changes while a snapshot waits to be taken would be kept without end."""
    client.command("CONFIG", "SET", "rdbcompression", "no")
    client.command("DEBUG", "POPULATE", "30000", "key", "1000")
    stuck = Link(server.port)
    stuck.send(b"SYNC\r\n")
    until(lambda: "state=send_bulk" in client.command("INFO", "replication").decode())
    for _ in range(60):
        client.command("SET", "k", b"x" * 100_000)
    until(lambda: field(client, "connected_slaves") == "0")
    client.command("FLUSHALL")
    client.command("CONFIG", "SET", "rdbcompression", "yes")
    stuck.close()


@pytest.mark.parametrize(
    "said", [b"PING\r\n", b"GET k\r\n", b"*1\r\n$-5\r\n", b"SUBSCRIBE c\r\n", b"MULTI\r\nEXEC\r\n"]
)
def test_one_that_talks(server: Server, client: Link, said: bytes) -> None:
    """An answer would be taken for a part of the stream."""
    talking = Follower(server.port)
    online(client)
    talking.socket.sendall(said)
    heard = b""
    while data := talking.socket.recv(4096):
        heard += data
    assert b"PONG" not in heard
    assert b"-" not in heard
    assert b"$-1" not in heard
    talking.close()


def test_what_is_said_of_one_that_talks(server: Server, client: Link) -> None:
    """Nobody would find out which replica is cut off again and again, and for what."""
    for said, name in ((b"GET k\r\n", "get"), (b"XINFO HELP\r\n", "xinfo|help"), (b"PINK\r\n", "<unknown>")):
        talking = Follower(server.port)
        talking.socket.sendall(said)
        while talking.socket.recv(4096):
            pass
        talking.close()
        until(lambda name=name: f"Replica generated a reply to command '{name}', disconnecting it: id=" in server.log())
    assert "sending an error to its replica: 'ERR Replica can't interact with the keyspace' after" in server.log()
    before = server.log().count("asks for synchronization but with a wrong offset")
    assert client.command("PSYNC", "x" * 40, "y").startswith(b"-ERR value is not an integer")
    assert server.log().count("asks for synchronization but with a wrong offset") == before + 1


@pytest.mark.parametrize(("points", "is_kept"), [("", False), ("900 1", True)])
def test_a_file_that_nobody_waits_for(client: Link, server: Server, points: str, is_kept: bool) -> None:
    """The next snapshot would wait for one that is of no use; or one that the user wants would not be."""
    for number in range(20):
        client.command("SET", f"k{number}", "v")
    client.command("CONFIG", "SET", "rdb-key-save-delay", "200000", "save", points)
    waiting = [asked(server.port, "PSYNC", "?", "-1")[0] for _ in range(2)]
    until(lambda: client.command("INFO", "replication").count(b"state=wait_bgsave") == 2)
    waiting[0].close()
    until(lambda: field(client, "connected_slaves") == "1")
    assert field(client, "rdb_bgsave_in_progress") == "1"
    waiting[1].close()
    until(lambda: field(client, "connected_slaves") == "0")
    assert field(client, "rdb_bgsave_in_progress") == str(int(is_kept))
    client.command("CONFIG", "SET", "rdb-key-save-delay", "0", "save", "")
    client.command("FLUSHALL")
    until(lambda: field(client, "rdb_bgsave_in_progress") == "0")


def test_acknowledgements_of_all_kinds(server: Server, client: Link) -> None:
    """Numbers that are none, or too large, would break the count that WAIT answers."""
    liar = Follower(server.port)
    online(client)
    for words in (b"ACK", b"ACK x", b"ACK 99999999999999999999", b"ACK -5", b"ACK 1 FACK", b"ACK 1 FACK x"):
        liar.socket.sendall(b"REPLCONF %b\r\n" % words)
        if words in (b"ACK", b"ACK 1 FACK"):  # it is answered: half a pair is no acknowledgement
            until(lambda: field(client, "connected_slaves") == "0")
            liar.close()
            liar = Follower(server.port)
            online(client)
    client.command("SET", "k", "v")
    assert client.command("WAIT", "1", "50") == b":0\r\n"
    liar.socket.sendall(b"REPLCONF ACK 9223372036854775807 FACK 9223372036854775807\r\n")
    assert client.command("WAIT", "1", "10000") == b":1\r\n"
    assert client.command("WAITAOF", "0", "1", "10000") == b"*2\r\n:0\r\n:1\r\n"
    liar.close()


def test_a_full_synchronization_is_on_the_replicas_disk() -> None:
    """With `appendfsync no` nobody would ever hear that the file a replica begins anew with what it got is synced."""
    with our_server("--repl-diskless-sync-delay", "0") as server:
        client = Link(server.port)
        assert client.command("SET", "k", "v") == b"+OK\r\n"
        primary = ("--replicaof", f"127.0.0.1 {server.port}")
        with our_server("--appendonly", "yes", "--appendfsync", "no", *primary):
            online(client)
            assert client.command("WAITAOF", "0", "1", "10000") == b"*2\r\n:0\r\n:1\r\n"


def test_who_waits_for_a_file_that_is_turned_off_is_told() -> None:
    """The sync with which the file ends would be taken for the one that was waited for."""
    with our_server("--appendonly", "yes", "--appendfsync", "no") as server:
        client, other = Link(server.port), Link(server.port)
        assert client.command("SET", "k", "v") == b"+OK\r\n"
        client.send(b"WAITAOF 1 0 0\r\n")
        until(lambda: b"blocked_clients:1" in other.command("INFO", "clients"))
        assert other.command("CONFIG", "SET", "appendonly", "no") == b"+OK\r\n"
        assert client.reply().startswith(b"-ERR WAITAOF cannot be used when numlocal is set")


def test_introductions_without_end(server: Server, client: Link) -> None:
    """Each thing a replica says of itself would be kept beside the one before."""
    link = Link(server.port)
    link.command("PING")
    count = 20_000
    before = int(field(client, "used_memory_rss"))
    for _ in range(10):
        link.send(b"REPLCONF ip-address %b listening-port 7 capa eof capa nobody\r\n" % (b"h" * 200) * (count // 10))
        for _ in range(count // 10):
            assert link.reply() == b"+OK\r\n"
    assert int(field(client, "used_memory_rss")) - before < 32 << 20
    link.close()


SLOW_SCRIPT = """
local started = os.clock()
redis.call('INCR', 'n')
while os.clock() < started + 1.5 do end
return redis.call('INCR', 'n')
"""


def test_no_snapshot_is_begun_amid_a_script() -> None:
    """A replica's snapshot would show half of a script, and the stream tell it the whole of it again."""
    directives = (
        "--repl-diskless-sync-delay", "0", "--rdb-key-save-delay", "100000", "--busy-reply-threshold", "20",
        "--repl-ping-replica-period", "1000",
    )  # fmt: skip
    with our_server(*directives) as server:
        client = Link(server.port)
        for number in range(5):
            client.command("SET", f"k{number}", "v")
        first, line = asked(server.port, "PSYNC", "?", "-1")
        assert line.startswith(b"+FULLRESYNC ")
        second = Link(server.port)
        second.send(b"PSYNC ? -1\r\n")  # has to wait for the end of the first one's
        until(lambda: field(client, "connected_slaves") == "2")
        before = int(field(client, "master_repl_offset"))
        assert field(client, "rdb_bgsave_in_progress") == "1"
        assert client.command("EVAL", SLOW_SCRIPT, "0") == b":2\r\n"
        client.command("CONFIG", "SET", "rdb-key-save-delay", "0")
        line = b""
        while not line.endswith(b"\r\n"):
            line = (line + second.socket.recv(1)).lstrip(b"\n")
        assert int(line.split()[2]) > before, "begun before the script had told what it did"
        for link in (first, second, client):
            link.close()


@pytest.mark.parametrize("load", ["disabled", "swapdb"])
def test_a_script_sees_one_data_set(load: str) -> None:
    """What a slow script reads on a replica would change under it, since the primary's data has come."""
    script = """
    local before = redis.call('GET', 'k')
    local started = os.clock()
    while os.clock() < started + 1.5 do end
    return {before, redis.call('GET', 'k')}
    """
    with (
        our_server("--repl-diskless-sync-delay", "0") as primary,
        our_server("--repl-diskless-load", load, "--busy-reply-threshold", "20") as replica,
    ):
        source, client, asker = Link(primary.port), Link(replica.port), Link(replica.port)
        source.command("SET", "k", "new")
        client.command("SET", "k", "old")
        client.send(request([b"REPLICAOF", b"127.0.0.1", b"%d" % primary.port]))
        client.send(request([b"EVAL", script.encode(), b"0"]))
        assert client.reply() == b"+OK\r\n"
        assert client.reply() == b"*2\r\n$3\r\nold\r\n$3\r\nold\r\n"
        until(lambda: asker.command("GET", "k") == b"$3\r\nnew\r\n")
        for link in (source, client, asker):
            link.close()
