"""Commands of many clients run together: each as if it had come alone, in the order of arrival."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.engine.client import HOLDING, Client
from miniredis.engine.journal import TO_AOF
from protocol.resp.encoder import encode_command
from protocol.resp.parser import Parser
from tests.unit.miniredis.world import World


class Sender(Client):
    """Notes what it is sent, by whichever way."""

    def __init__(self, world: World, log: list[tuple[int, bytes]]) -> None:
        super().__init__(world.state.next_client_id, world.state.dbs[0])
        world.state.next_client_id += 1
        world.engine.admit(self)
        self.log = log

    def receive(self, data: bytes) -> None:
        self.call.state.engine.plain.run(self, Parser().take(data))  # type: ignore[union-attr]

    def flush(self) -> None:
        self.log.append((self.id, b"".join(self.out)))
        self.out.clear()


class Tape:
    """The stream of effects; the history counts how many it says it has."""

    target = TO_AOF

    def __init__(self, world: World) -> None:
        self.data = b""
        self.feeds = 0
        self.world = world
        world.engine.journal.attach(self)

    def feed(self, data: bytes, effects: int = 1) -> None:
        self.data += data
        self.feeds += 1
        self.world.state.history.append(data, effects)

    def flush(self) -> None: ...


class Room:
    def __init__(self, count: int = 3) -> None:
        self.world = World()
        self.log: list[tuple[int, bytes]] = []
        self.clients = [Sender(self.world, self.log) for _ in range(count)]

    @staticmethod
    def sent(line: str) -> bytes:
        """As clients send it; what begins with a small letter was typed."""
        return line.encode() + b"\r\n" if line[0].islower() else encode_command(line.encode().split())

    def send(self, *said: tuple[int, str]) -> list[tuple[int, bytes]]:
        """(who, what) in order; what everybody got, in order, by the number of the client."""
        clients = [self.clients[who] for who, _ in said]

        def deliver(at: int, answers: list[bytes]) -> None:
            for client, answer in zip(clients[at:], answers, strict=False):
                self.log.append((client.id, answer))

        chunks = [self.sent(line) for _, line in said]
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

    room = Room()
    tape = Tape(room.world)
    room.send((0, "SET a 1"), (1, "GET a"), (1, "SET b 1 EX 5"), (2, "INCR a"), (0, "INCR x y"), (1, "DEL none"))
    words = [word for word in tape.data.split(b"\r\n") if word[:1] not in b"*$"]
    instant = b"%d" % (room.world.clock.ms + 5000)
    assert words == [b"SELECT", b"0", *b"SET a 1 SET b 1 PXAT".split(), instant, b"INCR", b"a"]


def told(tape: Tape) -> bytes:
    """Its words, without lengths."""
    return b" ".join([word for word in tape.data.split(b"\r\n") if word[:1] not in b"*$"])


ANOTHER_DATABASE = b"SELECT 0 SET a 1 SELECT 1 SET x 1 SELECT 0 SET b 1"


def test_after_a_transaction_elsewhere_a_pipeline_names_its_database() -> None:
    """What a pipeline writes after its EXEC in another database would land there, in files and on replicas."""
    world = World()
    tape = Tape(world)
    world.send("SET a 1", "SELECT 1", "MULTI", "SET x 1", "SELECT 0", "EXEC", "SET b 1")
    assert told(tape) == ANOTHER_DATABASE


def test_after_a_transaction_elsewhere_another_client_names_its_database() -> None:
    """What a client writes in the turn of another's EXEC would land in the database of that one."""
    room = Room()
    room.send((1, "SELECT 1"))
    room.send((1, "MULTI"))
    room.send((1, "SET x 1"))
    tape = Tape(room.world)
    room.send((0, "SET a 1"), (1, "EXEC"), (2, "SET b 1"))
    assert told(tape) == ANOTHER_DATABASE


def test_effects_of_a_pipeline_are_told_together() -> None:
    """A pipeline of writes would cost a call of everybody who follows for each of them."""
    world = World()
    tape = Tape(world)
    world.send(*[f"SET k{at} 1" for at in range(10)])  # the database, the first alone, all others
    assert tape.feeds == 3
    assert tape.data.count(b"SET") == 10


LINES = (
    "SET {k} 1", "SET {k} text", "GET {k}", "incr {k}", "SET {k} 1 PX 5", "INCRBYFLOAT {k} 0.5", "DEL {k} k9",
    "RPUSH l{k} a b", "LPOP l{k}", "BLPOP l{k} 0", "SPOP s", "SADD s {k} 7", "EXPIRE {k} 100", "SELECT 1", "SELECT 0",
    "MULTI", "EXEC", "SWAPDB 0 1", "MOVE {k} 1", "MSET {k} 1 k2 2",
    "GETDEL {k}", "SETRANGE {k} 0 yy", "XADD x * a b", "XADD x MAXLEN ~ 1 * a b",
    "ZADD z 1 {k}", "APPEND {k} " + "z" * 3000, "GET {k} {k}", "FLUSHDB", "WATCH {k}", "GEOADD g 1 1 {k}",
)  # fmt: skip


COMMON = ("SET {k} 1", "SET {k} 1 PX 5", "GET {k}", "incr {k}", "SET {k} text", "APPEND {k} x")


def any_line(random: Random) -> str:
    return random.choice(LINES if random.random() < 0.3 else COMMON).format(k=f"k{random.randrange(4)}")


@pytest.mark.parametrize("seed", range(20))
def test_effects_are_those_of_each_command_alone(seed: int) -> None:
    """What comes together, of many clients or of one, would be told in another order, for another database, or not."""
    random = Random(seed)
    together, alone = Room(6), Room(6)
    tapes = Tape(together.world), Tape(alone.world)
    for room in (together, alone):
        room.send(*[(who, "SELECT 1") for who in (3, 4, 5)])
    for _ in range(60):
        said = [(random.randrange(6), any_line(random)) for _ in range(random.randrange(1, 12))]
        # One who waits, or sends several, would hold back what comes after it: here nobody does.
        first: dict[int, str] = {}
        for who, line in said:
            if together.clients[who].blocked is None:
                first.setdefault(who, line)
        together.send(*first.items())
        for who, line in first.items():
            alone.world.engine.plain.run(alone.clients[who], [line.encode().split()])
            alone.clients[who].flush()
        for room in (together, alone):
            room.world.later(3)
        assert tapes[0].data == tapes[1].data
        end = together.world.state.history.offset
        assert end == alone.world.state.history.offset
        for one, other in zip(together.clients, alone.clients, strict=True):
            assert (other.written_at <= one.written_at <= end) if other.written_at else not one.written_at
    assert len(tapes[0].data) > 1000


@pytest.mark.parametrize("seed", range(10))
def test_effects_of_a_pipeline_are_those_of_each_command_alone(seed: int) -> None:
    """A pipeline would be told in another order than it was run."""
    random = Random(seed)
    piped, alone = World(seed=seed), World(seed=seed)
    tapes = Tape(piped), Tape(alone)
    for _ in range(40):
        lines = [any_line(random) for _ in range(random.randrange(1, 12))]
        lines = [*[line for line in lines if not line.startswith("BLPOP")], "EXEC"]
        answers = piped.send(*lines)
        assert answers == b"".join([alone.send(line) for line in lines])
        assert tapes[0].data == tapes[1].data
        piped.later(3)
        alone.later(3)
    assert len(tapes[0].data) > 1000


def test_a_client_that_holds_something_back_takes_the_long_way() -> None:
    """Its command would be run before what it had sent earlier."""
    room = Room()
    seen: list[bytes] = []
    room.clients[1].mode |= HOLDING
    room.clients[1].receive = seen.append  # type: ignore[method-assign]
    assert room.send((0, "SET a 1"), (1, "SET a 2"), (0, "GET a")) == [(0, b"+OK\r\n"), (0, b"$1\r\n1\r\n")]
    assert seen == [encode_command([b"SET", b"a", b"2"])]


class Hearing(list[tuple[int, bytes]]):
    """Answers, and how many effects the journal had when each of them left."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape
        self.told: list[int] = []

    def append(self, item: tuple[int, bytes]) -> None:
        super().append(item)
        self.told.append(self.tape.data.count(b"\r\nSET\r\n"))


def test_an_effect_is_told_before_any_answer_leaves() -> None:
    """A server killed between the two would have acknowledged what is in no file: a long answer sends those before."""
    room = Room()
    tape = Tape(room.world)
    room.send((0, "SET a " + "x" * 20_000), (0, "SET b 0"))
    hearing = Hearing(tape)
    room.log = hearing
    for client in room.clients:
        client.log = hearing
    room.send((0, "SET b 1"), (1, "GET a"), (2, "SET b 2"), (0, "GET b"))
    assert hearing.told == [3, 3, 4, 4]


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
