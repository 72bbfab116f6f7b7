"""One client's connection: answers in order, one request at a time, and nothing a client sends does harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from minikafka.api.everything import table
from minikafka.api.registry import Api, Hangup, Operation, Place, Resource
from minikafka.session import MAX_WAITING_BYTES, Session
from protocol.kafka.errors import NotLeaderOrFollower
from protocol.kafka.framing import Framer, Scratch, frame_request, read_reply
from protocol.kafka.messages.groups import HeartbeatRequest, HeartbeatResponse
from protocol.kafka.messages.versions import ApiVersionsRequest
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger
from protocol.ops.slices import Slices


class FakeConnection:
    """Takes what the session writes."""

    peer_address = ("10.0.0.1", 4000)
    local_address = ("10.0.0.9", 9092)
    peer = "10.0.0.1:4000"

    def __init__(self) -> None:
        self.out = bytearray()
        self.is_congested = False
        self.is_reading = True
        self.is_closed = False

    def write_parts(self, parts: list[bytes]) -> None:
        assert not self.is_closed
        self.out += b"".join(parts)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self) -> None:
        self.is_closed = True


class FakeServices:
    """What a context copies; only what these tests touch is real."""

    def __init__(self, apis: dict[int, Api], authorizer: Any = None) -> None:
        self.apis = apis
        self.authorizer = authorizer
        self.log = KafkaLogger(Clock(), "test")

    def __getattr__(self, name: str) -> Any:
        if name == "slices":
            self.slices = Slices(asyncio.get_running_loop())
            return self.slices
        return None


def served(handler: Callable[[Any, Any], Any], *, pipelined: bool = False, needs: Any = None) -> dict[int, Api]:
    """A table in which Heartbeat is answered by `handler`."""
    row = Api(HeartbeatRequest, 12, "Heartbeat", 0, 4, handler, Place.BROKER, needs, "B", pipelined, 0)
    return {12: row, 18: table()[18]}


def opened(apis: dict[int, Api], authorizer: Any = None, max_bytes: int = 1 << 20) -> tuple[Session, FakeConnection]:
    connection: Any = FakeConnection()
    services: Any = FakeServices(apis, authorizer)
    return Session(connection, services, {}, "PLAINTEXT", "B", max_bytes, Scratch(256)), connection


def asked(number: int, version: int = 4, client_id: str | None = "me") -> bytes:
    request = HeartbeatRequest(group_id=str(number), generation_id=number, member_id="m")
    return b"".join(frame_request(request, version, number, client_id))


def answers(connection: FakeConnection, version: int = 4) -> list[tuple[int, int]]:
    """(correlation id, error code) of each answer so far."""
    framer = Framer()
    framer.feed(bytes(connection.out))
    return [
        (number, reply.error_code)  # type: ignore[attr-defined]
        for number, reply in (read_reply(frame, HeartbeatRequest, version) for frame in framer.frames())
    ]


class Later:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[HeartbeatResponse | None]] = []

    def __call__(self, broker: Any, request: HeartbeatRequest) -> asyncio.Future[HeartbeatResponse | None]:
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    async def answer(self, at: int, code: int = 0) -> None:
        self.futures[at].set_result(HeartbeatResponse(error_code=code))
        await asyncio.sleep(0)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_any_cut_of_the_bytes_gives_the_same_answers(step: int) -> None:
    """A request that arrives in two packets would be lost or broken."""
    session, connection = opened(served(lambda broker, request: HeartbeatResponse(error_code=request.generation_id)))
    data = b"".join(asked(number, version=number % 5) for number in range(20))
    for at in range(0, len(data), step):
        session.received(data[at : at + step])
    plain = bytes(connection.out)
    whole, other = opened(served(lambda broker, request: HeartbeatResponse(error_code=request.generation_id)))
    whole.received(data)
    assert plain == bytes(other.out)
    assert len(plain) > 0


async def test_one_request_at_a_time_unless_pipelined() -> None:
    """A later request would overtake an earlier one that has side effects."""
    later = Later()
    session, connection = opened(served(later))
    session.received(asked(1) + asked(2))
    assert len(later.futures) == 1
    await later.answer(0)
    assert len(later.futures) == 2
    await later.answer(1)
    assert [number for number, _ in answers(connection)] == [1, 2]


async def test_pipelined_answers_keep_their_order() -> None:
    """The Java client ends a connection whose answers come out of order."""
    later = Later()
    session, connection = opened(served(later, pipelined=True))
    session.received(b"".join(map(asked, (1, 2, 3))))
    assert len(later.futures) == 3
    await later.answer(2, 3)
    await later.answer(1, 2)
    assert answers(connection) == []
    await later.answer(0, 1)
    assert answers(connection) == [(1, 1), (2, 2), (3, 3)]


async def test_an_answer_at_once_waits_for_those_before_it() -> None:
    """The same, for an API that is answered at once behind one that is not."""
    later = Later()
    replies: list[Any] = [later, lambda *_: HeartbeatResponse(error_code=9)]
    session, connection = opened(served(lambda *given: replies.pop(0)(*given), pipelined=True))
    session.received(asked(1) + asked(2))
    assert answers(connection) == []
    await later.answer(0)
    assert answers(connection) == [(1, 0), (2, 9)]


async def test_no_answer_leaves_no_gap() -> None:
    """After a Produce with acks=0 every later answer would be taken for the wrong request's."""
    replies: list[Any] = [None, HeartbeatResponse(), None]
    session, connection = opened(served(lambda *_: replies.pop(0), pipelined=True))
    session.received(b"".join(map(asked, (1, 2, 3))))
    assert answers(connection) == [(2, 0)]
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    replies += [future, HeartbeatResponse()]
    session.received(asked(4) + asked(5))
    future.set_result(None)
    await asyncio.sleep(0)
    assert answers(connection) == [(2, 0), (5, 0)]


def test_errors_become_replies(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused request would cost the client its connection, a fault of ours would too."""
    problems: list[Exception] = [NotLeaderOrFollower(), ZeroDivisionError("ours")]

    def failing(broker: Any, request: Any) -> HeartbeatResponse:
        raise problems.pop(0)

    session, connection = opened(served(failing))
    session.received(asked(1) + asked(2))
    assert answers(connection) == [(1, 6), (2, -1)]
    assert "ZeroDivisionError" in capsys.readouterr().out


async def test_errors_later_become_replies() -> None:
    """The same for a handler that answers later."""
    later = Later()
    session, connection = opened(served(later))
    session.received(asked(1) + asked(2))
    later.futures[0].set_exception(NotLeaderOrFollower())
    await asyncio.sleep(0)
    later.futures[1].set_exception(ZeroDivisionError())
    await asyncio.sleep(0)
    assert answers(connection) == [(1, 6), (2, -1)]


def test_a_hangup_closes(capsys: pytest.CaptureFixture[str]) -> None:
    """With acks=0 a client learns of an error by losing its connection."""

    def failing(broker: Any, request: Any) -> HeartbeatResponse:
        raise Hangup("acks=0 and no leader")

    session, connection = opened(served(failing))
    session.received(asked(1))
    assert connection.is_closed
    assert "acks=0 and no leader" in capsys.readouterr().out


async def test_a_lost_client_gives_up_what_it_waits_for() -> None:
    """Parked fetches of clients that are gone would pile up."""
    later = Later()
    session, connection = opened(served(later, pipelined=True))
    session.received(asked(1) + asked(2))
    session.lost()
    await asyncio.sleep(0)
    assert all(future.cancelled() for future in later.futures)
    assert not session.running
    session.received(asked(3))
    assert len(later.futures) == 2
    assert not connection.out


async def test_waiting_input_is_bounded() -> None:
    """A client that sends without reading would fill the memory."""
    later = Later()
    session, connection = opened(served(later))
    big = HeartbeatRequest(group_id="x" * 30_000, generation_id=1, member_id="m")
    frame = b"".join(frame_request(big, 4, 1, None))
    while connection.is_reading:
        session.received(frame)
        assert session.waiting_bytes <= MAX_WAITING_BYTES + len(frame)
    for at in range(1000):
        if connection.is_reading:
            break
        await later.answer(at)
    assert connection.is_reading


def test_a_client_that_does_not_read_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers would fill the memory."""
    runs: list[int] = []

    def counting(broker: Any, request: HeartbeatRequest) -> HeartbeatResponse:
        runs.append(request.generation_id)
        return HeartbeatResponse()

    session, connection = opened(served(counting))
    connection.is_congested = True
    session.received(asked(1) + asked(2))
    assert runs == []
    connection.is_congested = False
    session.resumed()
    assert runs == [1, 2]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x00\x00\x02\x00\x00",  # too short for a header
        b"\xff\xff\xff\xff",  # a negative size
        b"\x7f\xff\xff\xff" + b"\0" * 20,  # more than the limit
        b"\x00\x00\x00\x0a" + b"\x00\x0c\x00\x63" + b"\0\0\0\1\xff\xff",  # a version nobody serves
        b"\x00\x00\x00\x0a" + b"\x7f\x0c\x00\x00" + b"\0\0\0\1\xff\xff",  # a key nobody serves
        b"\x00\x00\x00\x0a" + b"\x00\x0c\x00\x00" + b"\0\0\0\1\x7f\xff",  # a client id past the end
        b"\x00\x00\x00\x0b" + b"\x00\x0c\x00\x04" + b"\0\0\0\1\xff\xff\xff",  # tags past the end
        b"\x00\x00\x00\x0c" + b"\x00\x0c\x00\x00" + b"\0\0\0\1\xff\xff\x7f\xff",  # a body past the end
    ],
)
def test_garbage_closes_the_connection(frame: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """One bad client would stop the server, or be served as somebody else."""
    session, connection = opened(served(lambda *_: HeartbeatResponse()))
    session.received(asked(1))
    session.received(frame)
    assert connection.is_closed
    assert "closing 10.0.0.1:4000" in capsys.readouterr().out
    assert answers(connection) == [(1, 0)]
    session.received(asked(2))
    assert answers(connection) == [(1, 0)], "nothing is served after the end"


def test_a_client_is_known_by_what_it_says() -> None:
    """Handlers and logs would name another client."""
    seen: list[tuple[str | None, str, int]] = []

    def noting(broker: Any, request: Any) -> HeartbeatResponse:
        seen.append((broker.client_id, broker.client_host, broker.api_version))
        return HeartbeatResponse()

    session, _ = opened(served(noting))
    session.received(asked(1, 4, "one") + asked(2, 0, None) + asked(3, 3, "ünï") + asked(4, 3, ""))
    assert [client for client, _, _ in seen] == ["one", None, "ünï", ""]
    assert {host for _, host, _ in seen} == {"10.0.0.1"}
    assert [version for _, _, version in seen] == [4, 0, 3, 3]


def test_rights_are_asked_before_the_handler_runs() -> None:
    """Somebody without rights would have the deed done and then be refused."""

    class Nobody:
        def allows(self, *asked: Any) -> bool:
            return False

    def forbidden(broker: Any, request: Any) -> HeartbeatResponse:
        raise AssertionError("ran without rights")

    session, connection = opened(served(forbidden, needs=(Operation.ALTER, Resource.CLUSTER)), Nobody())
    session.received(asked(1))
    assert answers(connection) == [(1, 31)]


def test_api_versions_is_answered_in_any_version() -> None:
    """A newer client would never learn what it may speak (KIP-511)."""
    session, connection = opened(served(lambda *_: HeartbeatResponse()))
    session.received(bytes.fromhex("0000000d 0012 004d 00000005 0002 6869 00".replace(" ", "")))
    framer = Framer()
    framer.feed(bytes(connection.out))
    number, reply = read_reply(framer.frames()[0], ApiVersionsRequest, 0)
    assert number == 5
    assert reply.error_code == 35  # type: ignore[attr-defined]
    assert [(one.api_key, one.max_version) for one in reply.api_keys] == [(18, 4)]  # type: ignore[attr-defined]
    assert not connection.is_closed


def padded(number: int) -> bytes:
    """A request long enough to be worked on in slices."""
    request = HeartbeatRequest(group_id="g" * 5000, generation_id=number, member_id="m")
    return b"".join(frame_request(request, 4, number, "me"))


@pytest.mark.parametrize("steps", [0, 5000])
async def test_a_long_request_holds_its_place(steps: int) -> None:
    """What is worked on in slices would be overtaken by the client's next request, or answered out of order."""
    running: list[int] = []

    def handler(broker: Any, request: HeartbeatRequest) -> Any:
        running.append(request.generation_id)
        for _ in range(steps):
            yield
        assert running == [request.generation_id]
        running.clear()
        if request.generation_id == 2:
            raise NotLeaderOrFollower
        return HeartbeatResponse(error_code=request.generation_id)

    session, connection = opened(served(handler))
    session.received(b"".join([asked(0), padded(1), asked(2), padded(3), asked(4)]))
    for _ in range(2000):
        if len(answers(connection)) == 5:
            break
        await asyncio.sleep(0)
    assert answers(connection) == [(0, 0), (1, 1), (2, NotLeaderOrFollower.code), (3, 3), (4, 4)]
    assert not session.is_busy


async def test_a_long_request_may_end_in_waiting() -> None:
    """A fetch of many partitions that waits for more would never be answered."""
    later: asyncio.Future[HeartbeatResponse] = asyncio.get_running_loop().create_future()

    def handler(broker: Any, request: HeartbeatRequest) -> Any:
        yield
        return later if request.generation_id == 1 else HeartbeatResponse(error_code=0)

    session, connection = opened(served(handler))
    session.received(padded(1) + padded(2))
    assert answers(connection) == []
    later.set_result(HeartbeatResponse(error_code=7))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert answers(connection) == [(1, 7), (2, 0)]


async def test_nobody_is_answered_who_has_left() -> None:
    """The work of a client that hung up would go on, and be written to a closed connection."""
    ended = []

    def handler(broker: Any, request: HeartbeatRequest) -> Any:
        try:
            while True:
                yield
        finally:
            ended.append(request.generation_id)

    session, connection = opened(served(handler))
    session.received(padded(1))
    session.lost()
    await asyncio.sleep(0)
    assert ended == [1]
    assert not connection.out


async def test_a_session_on_hold_runs_nothing_that_came_with_its_connection() -> None:
    """A loop may read before it hears that it should not: who has to wait for a place would be served without one."""
    runs: list[int] = []

    def handler(broker: Any, request: HeartbeatRequest) -> HeartbeatResponse:
        runs.append(request.generation_id)
        return HeartbeatResponse()

    session, connection = opened(served(handler))
    session.hold()
    session.received(asked(1) + asked(2))
    assert (runs, connection.is_reading) == ([], False)
    session.release()
    assert len(runs) == 2
    assert connection.is_reading
    session.release()
    assert len(runs) == 2
