"""Commands of many clients run together: each as if it had come alone, in the order of arrival."""

from __future__ import annotations

from miniredis.engine.client import HOLDING, Client
from miniredis.engine.journal import TO_AOF
from protocol.resp.encoder import encode_command
from tests.unit.miniredis.world import World


class Sender(Client):
    """Notes what it is sent, by whichever way."""

    def __init__(self, world: World, log: list[tuple[int, bytes]]) -> None:
        super().__init__(world.state.next_client_id, world.state.dbs[0])
        world.state.next_client_id += 1
        world.engine.admit(self)
        self.log = log

    def receive(self, data: bytes) -> None:
        lines = data.split(b"\r\n")
        assert lines.pop() == b""
        self.call.state.engine.plain.run(self, [lines[2::2]])  # type: ignore[union-attr]

    def flush(self) -> None:
        self.log.append((self.id, b"".join(self.out)))
        self.out.clear()


class Room:
    def __init__(self, count: int = 3) -> None:
        self.world = World()
        self.log: list[tuple[int, bytes]] = []
        self.clients = [Sender(self.world, self.log) for _ in range(count)]

    def send(self, *said: tuple[int, str]) -> list[tuple[int, bytes]]:
        """(who, what) in order; what everybody got, in order, by the number of the client."""
        clients = [self.clients[who] for who, _ in said]

        def deliver(at: int, answers: list[bytes]) -> None:
            for client, answer in zip(clients[at:], answers, strict=False):
                self.log.append((client.id, answer))

        chunks = [encode_command(line.encode().split()) for _, line in said]
        self.world.engine.plain.run_each(clients, chunks, 0, deliver)
        numbers = {client.id: number for number, client in enumerate(self.clients)}
        log = [(numbers[id], data) for id, data in self.log]
        self.log.clear()
        return log


def test_everybody_is_answered_in_order_whatever_the_way() -> None:
    """A client would get another's answer, or see the world before a command that came earlier."""
    room = Room()
    assert room.send(
        (0, "SET a 1"), (1, "INCR a"), (2, "GET a"), (0, "GET"), (1, "NOSUCH"), (0, "incr a"), (1, "GET a"),
        (2, "LRANGE a 0 1"), (1, "MULTI"), (1, "INCR a"), (0, "GET a"), (1, "EXEC"), (0, "GET a"), (0, "HGET a x"),
    ) == [
        (0, b"+OK\r\n"), (1, b":2\r\n"), (2, b"$1\r\n2\r\n"),
        (0, b"-ERR wrong number of arguments for 'get' command\r\n"),
        (1, b"-ERR unknown command 'NOSUCH', with args beginning with: \r\n"), (0, b":3\r\n"), (1, b"$1\r\n3\r\n"),
        (2, b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"), (1, b"+OK\r\n"),
        (1, b"+QUEUED\r\n"), (0, b"$1\r\n3\r\n"), (1, b"*1\r\n:4\r\n"), (0, b"$1\r\n4\r\n"),
        (0, b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    ]  # fmt: skip


def test_calls_are_counted_as_if_each_had_come_alone() -> None:
    """INFO commandstats would not add up."""
    room = Room()
    room.send(*[(at % 3, "SET a 1") for at in range(70)], (0, "GET a"), (1, "GET"), (2, "GET a"), (0, "HGET a b"))
    commands = room.world.engine.commands
    assert [commands[name].calls for name in (b"set", b"get", b"hget")] == [70, 2, 1]
    assert commands[b"get"].rejected == 1
    assert commands[b"hget"].failed == 1
    assert sum(commands[b"set"].histogram) == 70


def test_what_a_command_causes_comes_after_the_answers_before_it() -> None:
    """A client would be given an element before the answer to what it had asked, or a waiter be served too early."""
    room = Room()
    assert room.send((0, "BLPOP l 0"), (1, "RPUSH k x"), (1, "RPUSH l x y"), (2, "LLEN l"), (0, "LLEN l")) == [
        (1, b":1\r\n"), (0, b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"), (1, b":2\r\n"), (2, b":1\r\n"), (0, b":1\r\n"),
    ]  # fmt: skip


def test_a_watched_key_is_touched_by_whoever_comes_with_it() -> None:
    """EXEC would go through though the key was changed by a command of the same turn."""
    room = Room()
    room.send((0, "WATCH a"), (0, "MULTI"), (0, "PING"))
    assert room.send((1, "SET a 1"), (0, "EXEC"))[-1] == (0, b"*-1\r\n")


def test_effects_reach_the_journal_in_order() -> None:
    """A replica or the append-only file would tell another story."""

    class Tape:
        target = TO_AOF
        data = b""

        def feed(self, data: bytes) -> None:
            self.data += data

        def flush(self) -> None: ...

    room, tape = Room(), Tape()
    room.world.engine.journal.attach(tape)
    room.send((0, "SET a 1"), (1, "GET a"), (1, "SET b 1 EX 5"), (2, "INCR a"), (0, "INCR x y"), (1, "DEL none"))
    words = [word for word in tape.data.split(b"\r\n") if word[:1] not in b"*$"]
    instant = b"%d" % (room.world.clock.ms + 5000)
    assert words == [b"SELECT", b"0", *b"SET a 1 SET b 1 PXAT".split(), instant, b"INCR", b"a"]


def test_a_client_that_holds_something_back_takes_the_long_way() -> None:
    """Its command would be run before what it had sent earlier."""
    room = Room()
    seen: list[bytes] = []
    room.clients[1].mode |= HOLDING
    room.clients[1].receive = seen.append  # type: ignore[method-assign]
    assert room.send((0, "SET a 1"), (1, "SET a 2"), (0, "GET a")) == [(0, b"+OK\r\n"), (0, b"$1\r\n1\r\n")]
    assert seen == [encode_command([b"SET", b"a", b"2"])]


def test_a_long_answer_is_looked_at_by_its_session() -> None:
    """Somebody who asks for much and reads nothing would never meet the limit of output."""
    room = Room()
    room.send((0, "SET a " + "x" * 3000))
    for _ in range(4):
        room.world("APPEND a " + "y" * 8000)
    at = []
    room.clients[1].send = lambda data: at.append(len(data))  # type: ignore[method-assign]
    assert room.send((0, "SET b 1"), (1, "GET a"), (0, "GET b")) == [(0, b"+OK\r\n"), (0, b"$1\r\n1\r\n")]
    assert at == [35010]
