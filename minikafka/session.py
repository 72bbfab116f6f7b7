"""One client: bytes in, requests run one after the other, answers out in the order of the requests.

    received → Framer → header → route (key, version) → decode → handler → Replies → connection

Laws
1. Answers leave in the order the requests came. An answer that is not there yet keeps its slot and holds back those
   behind it; a request that has none (acks=0) leaves no gap.
2. One request at a time: the next is run when this one is answered. A pipelined one (Produce) lets the next in as soon
   as its handler has returned, because what is order-sensitive is done by then.
3. What a client can make us hold is bounded: unread input stops being read past `MAX_WAITING_BYTES` while a request is
   running, output past the connection's high watermark stops the reading and running of requests. What all clients
   together have not taken of their large answers is counted, and Fetch gives less where that is much.
4. What takes long is done in slices of the loop (`Slices`): the decoding of a request with many elements, a handler
   that gives a generator, the encoding of a long answer. The request holds its place meanwhile, and the client's next
   waits.
5. A request nobody can answer (unknown key, version not served, undecodable body) closes the connection, with a line in
   the log that names the client, as Kafka's network layer does. ApiVersions alone is answered in any version.
"""

from __future__ import annotations

from asyncio import CancelledError, Future
from collections import deque
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any

from minikafka.api.context import Context, Services
from minikafka.api.refusal import refusal, refusal_in_slices
from minikafka.api.registry import Api, Hangup
from minikafka.api.versions import unsupported_version
from protocol.kafka.errors import KafkaError, UnknownServerError
from protocol.kafka.framing import (
    Framer,
    Scratch,
    frame_response,
    frame_response_in_slices,
    read_request_header,
    skip_header_tags,
)
from protocol.kafka.primitives import Buffer, ProtocolError
from protocol.kafka.schema import Request, Response
from protocol.net.connection import Connection

API_VERSIONS = 18
MAX_WAITING_BYTES = 1 << 20  # unread input of a client whose request is still running; past it we stop reading
MAX_OPEN_ANSWERS = 1000  # pipelined requests of one client whose answers are not there yet
SLICE = 128  # requests run one after the other before their answers are sent: while we go on, the client does too
FRAME_BYTES = 256  # what a waiting request takes beside its own bytes: one may be empty
LARGE_ANSWER_BYTES = 64 * 1024  # answers from here on count as the broker's, until the client has taken them
LONG_REQUEST_BYTES = 4096  # from here on a request may name so much that it is worked on in slices
LONG_LIST = 250  # entries of an answer, likewise
MAX_CLIENT_TEXT = 200  # of a client's own words that one log line may carry


class Route:
    """One (key, version) made ready to run: found once, then a dictionary hit per request."""

    __slots__ = (
        "api", "decode", "decode_in_slices", "handler", "has_tagged_head", "lists", "needs", "pipelined", "shortcut",
        "version",
    )  # fmt: skip

    def __init__(self, api: Api, version: int) -> None:
        schema = api.schema
        self.api = api
        self.version = version
        self.handler = api.handler
        self.needs = api.needs
        self.pipelined = api.pipelined
        self.decode: Callable[[int, Buffer, int], Any] = schema.decode
        self.decode_in_slices: Callable[[int, Buffer, int], Generator[None, None, Any]] = schema.decode_in_slices
        self.has_tagged_head = version >= schema.flexible
        self.shortcut = api.shortcut(version) if api.shortcut is not None else None
        self.lists = tuple(row.name for row in schema.reply.fields if row.is_list and row.is_struct)

    def is_long(self, answer: Any) -> bool:
        """Whether an answer has so many entries that others would wait for its encoding."""
        for name in self.lists:
            entries = getattr(answer, name)
            if entries is not None and len(entries) > LONG_LIST:
                return True
        return False


class Slot:
    """The place of one answer in the queue: `parts` is None until the answer is there."""

    __slots__ = ("holds", "is_long", "parts")

    def __init__(self, *, is_long: bool = False) -> None:
        self.parts: list[Buffer] | None = None
        self.is_long = is_long  # the request was
        self.holds = True  # the requests behind it: until it is answered, or has come as far as a pipelined one must


class Session:
    """One connection of a client (or of another broker). `side` is B on a broker listener, C on a controller's."""

    def __init__(
        self,
        connection: Connection,
        services: Services,
        routes: dict[int, Route],
        listener: str,
        side: str,
        max_request_bytes: int,
        scratch: Scratch,
    ) -> None:
        self.connection = connection
        self.routes = routes  # of this listener: shared by all its sessions, filled as versions are met
        self.side = side
        self.context = Context(services, listener, side, connection.peer_address[0], connection.local_address)
        self.log = services.log
        self.framer = Framer(max_request_bytes, scratch)
        self.room = self.framer.room
        self.frames: deque[memoryview] = deque()
        self.waiting_bytes = 0  # in `frames`
        self.slots: deque[Slot] = deque()
        self.running: dict[Future[Any], tuple[Slot, Route, int, Any]] = {}
        self.is_busy = False  # a request that is not pipelined is still running
        self.is_held = False  # nothing is to be run so far
        self.is_working = False  # requests are being run
        self.is_due = False  # the next slice of waiting requests comes with the loop's next turn
        self.is_paused = False
        self.is_over = False
        self.has_ended = False  # it sends no more: when all it sent is answered, the connection is closed
        self.slice_bytes = 0  # of answers, since the slice began
        self.unsent_bytes = 0  # of large answers the client may not have taken yet
        self.client_id_bytes: bytes | None = None

    # ---- from the connection

    def received(self, data: bytes) -> None:
        """Bytes from the client, as they came."""
        if not self.is_over:
            self.framer.feed(data)
            self.take()

    def filled(self, count: int) -> None:
        """So many bytes from the client, in the framer's room."""
        if not self.is_over:
            self.framer.filled(count)
            self.take()

    def take(self) -> None:
        """Run what became whole, as far as it may run now."""
        framer = self.framer
        if framer.failure is not None:
            self.hang_up(str(framer.failure))
            return
        frames = framer.frames()
        if frames:
            self.frames.extend(frames)
            self.waiting_bytes += sum(map(len, frames)) + FRAME_BYTES * len(frames)
            if self.is_due:
                self.mind_input()
            else:
                self.work()

    def resumed(self) -> None:
        """Output has drained below the low watermark."""
        self.settle()
        self.work()

    def ended(self) -> bool:
        """The client sends no more, but all it sent is run and answered, as in Kafka: many that want no answers leave
        like this. True while something is left of it."""
        self.has_ended = True
        return bool(self.frames or self.slots)

    def hold(self) -> None:
        """Run nothing until `release`. (What came with the connection may have been read by then.)"""
        self.is_held = self.is_busy = True
        self.connection.pause_reading()

    def release(self) -> None:
        """Go on, if `hold` was called."""
        if self.is_held:
            self.is_held = self.is_busy = False
            self.connection.resume_reading()
            self.work()

    def lost(self) -> None:
        """The client is gone: what still runs for its sake is given up."""
        self.is_over = True
        self.frames.clear()
        self.slots.clear()
        self.forget_unsent()
        for future in list(self.running):
            future.cancel()

    # ---- requests

    def work(self) -> None:
        """Run waiting requests until one must be waited for, nothing is left, or the client does not read. After a
        slice of them their answers leave and others have their turn."""
        frames = self.frames
        left = SLICE
        self.slice_bytes = 0
        self.is_working = True
        while frames and not self.is_busy and not self.is_over:
            if self.connection.is_congested or len(self.slots) >= MAX_OPEN_ANSWERS:
                break
            if not left or self.slice_bytes >= LARGE_ANSWER_BYTES:
                if not self.is_due:
                    self.is_due = True
                    self.context.loop.call_soon(self.go_on)
                break
            left -= 1
            frame = frames.popleft()
            self.waiting_bytes -= len(frame) + FRAME_BYTES
            try:
                self.run(frame)
            except (ProtocolError, Hangup) as problem:
                self.hang_up(str(problem))
                break
        self.is_working = False
        if not self.is_over:
            self.mind_input()
            if self.has_ended:
                self.part()

    def part(self) -> None:
        """Close the connection of a client that sends no more, if nothing is left to be answered."""
        if not self.frames and not self.slots:
            self.connection.close()

    def go_on(self) -> None:
        """The next slice."""
        self.is_due = False
        self.work()

    def mind_input(self) -> None:
        """Stop reading while too much waits unread, start again when it has been worked off."""
        if self.waiting_bytes > MAX_WAITING_BYTES:
            if not self.is_paused:
                self.is_paused = True
                self.connection.pause_reading()
        elif self.is_paused:
            self.is_paused = False
            self.connection.resume_reading()

    def run(self, frame: memoryview) -> None:
        """One request: find its route, decode, call its handler, place its answer."""
        key, version, correlation_id, client_id, start = read_request_header(frame)
        route = self.routes.get(key << 16 | version)
        if route is None:
            route = self.find_route(key, version, correlation_id, client_id)
            if route is None:
                return
        context = self.context
        if client_id != self.client_id_bytes:
            self.name_client(client_id)
        if route.has_tagged_head:
            if start < len(frame) and frame[start] == 0:
                start += 1
            else:  # no client sends tagged fields in a header so far
                start = skip_header_tags(frame, start)
        context.api_version = version
        context.correlation_id = correlation_id
        if route.shortcut is not None and not self.slots:
            framed = route.shortcut(context, frame, start, correlation_id)
            if framed is not None:
                self.connection.write(framed)
                return
        is_long = len(frame) >= LONG_REQUEST_BYTES
        if is_long:
            decoding = route.decode_in_slices(version, frame, start)
            try:
                next(decoding)
            except StopIteration as done:
                request = done.value
            else:
                self.is_busy = True
                slot = Slot(is_long=True)
                self.slots.append(slot)
                work = self.decode_at_length(decoding, slot, route, correlation_id)
                self.context.services.slices.start(work, self)
                return
        else:
            request = route.decode(version, frame, start)
        answer = self.handle(route, request, is_long=is_long)
        if answer is None:
            return
        if isinstance(answer, Response) and not is_long and not route.is_long(answer):
            parts = frame_response(answer, version, correlation_id)
            self.count(parts)
            if not self.slots:
                self.send(parts)
                return
            slot = Slot()
            slot.parts = parts
            self.slots.append(slot)
            return
        slot = Slot(is_long=is_long)
        self.slots.append(slot)
        if type(answer) is GeneratorType or isinstance(answer, Response):
            self.is_busy = True
            self.context.services.slices.start(self.at_length(slot, route, correlation_id, request, answer), self)
            return
        self.wait_for(answer, slot, route, correlation_id, request)

    def handle(self, route: Route, request: Request, *, is_long: bool) -> Any:
        """What the handler gives, or the answer that says why it gave none."""
        version = route.version
        try:
            if route.needs is not None:
                self.context.allow(*route.needs)
            return route.handler(self.context, request)
        except KafkaError as error:
            return refusal_in_slices(request, version, error) if is_long else refusal(request, version, error)
        except (ProtocolError, Hangup):
            raise
        except Exception:
            self.log.fault("%s v%d from %s failed", route.api.name, version, self.who())
            failed = UnknownServerError()
            return refusal_in_slices(request, version, failed) if is_long else refusal(request, version, failed)

    def decode_at_length(
        self, decoding: Generator[None, None, Request], slot: Slot, route: Route, correlation_id: int
    ) -> Generator[None, None, None]:
        """A request that takes long from its first byte on. No other of this client is run meanwhile, so that the
        context still speaks of this one when its handler is called."""
        try:
            request = yield from decoding
            answer = self.handle(route, request, is_long=True)
        except (ProtocolError, Hangup) as problem:
            self.hang_up(str(problem))
            return
        yield from self.at_length(slot, route, correlation_id, request, answer)

    def wait_for(self, answer: Future[Any], slot: Slot, route: Route, correlation_id: int, request: Any) -> None:
        """The answer will come."""
        self.is_busy = slot.holds = not route.pipelined
        self.running[answer] = (slot, route, correlation_id, request)
        answer.add_done_callback(self.answered)

    def at_length(
        self, slot: Slot, route: Route, correlation_id: int, request: Any, answer: Any
    ) -> Generator[None, None, None]:
        """What takes long, with stops on the way: the handler, if it is one that stops, and the encoding."""
        version = route.version
        try:
            if type(answer) is GeneratorType:
                answer = yield from answer
            if isinstance(answer, Future):
                slot.is_long = True
                self.wait_for(answer, slot, route, correlation_id, request)
                self.go_on_after()
                return
            parts: list[Buffer] = []
            if answer is not None:
                parts = yield from frame_response_in_slices(answer, version, correlation_id)
        except (ProtocolError, Hangup) as problem:
            self.hang_up(str(problem))
            return
        except KafkaError as error:
            parts = yield from self.refused(request, version, correlation_id, error)
        except Exception:
            self.log.fault("%s v%d from %s failed", route.api.name, version, self.who())
            parts = yield from self.refused(request, version, correlation_id, UnknownServerError())
        slot.parts = parts
        if slot.holds:
            self.is_busy = False
        self.count(parts)
        self.send_ready()
        self.go_on_after()

    def refused(
        self, request: Any, version: int, correlation_id: int, error: KafkaError
    ) -> Generator[None, None, list[Buffer]]:
        """A long request that failed as a whole."""
        answer = yield from refusal_in_slices(request, version, error)
        parts = yield from frame_response_in_slices(answer, version, correlation_id)
        return parts

    def go_on_after(self) -> None:
        """A request that held back others does so no more. (One that needed no second slice never did.)"""
        if self.is_working:
            return
        if self.frames:
            self.work()
            return
        if self.is_paused:
            self.mind_input()
        if self.has_ended:
            self.part()

    def answered(self, future: Future[Any]) -> None:
        """A handler's Future has its answer: fill the slot, send what is next in order, go on."""
        slot, route, correlation_id, request = self.running.pop(future)
        if self.is_over:
            if not future.cancelled():
                future.exception()  # looked at, so that asyncio does not call it forgotten
            return
        answer: Any
        try:
            answer = future.result()
        except KafkaError as error:
            refused = refusal_in_slices if slot.is_long else refusal
            answer = refused(request, route.version, error)
        except (Hangup, CancelledError) as problem:
            self.hang_up(str(problem) or "the request was given up")
            return
        except Exception:
            self.log.fault("%s v%d from %s failed", route.api.name, route.version, self.who())
            answer = refusal(request, route.version, UnknownServerError())
        if answer is not None and (slot.is_long or route.is_long(answer)):
            self.context.services.slices.start(self.at_length(slot, route, correlation_id, request, answer), self)
            return
        if slot.holds:
            self.is_busy = False
        slot.parts = [] if answer is None else frame_response(answer, route.version, correlation_id)
        self.count(slot.parts)
        self.send_ready()
        self.go_on_after()

    def send_ready(self) -> None:
        """Send the answers that are there, in order, up to the first that is not."""
        slots = self.slots
        while slots and slots[0].parts is not None:
            parts = slots.popleft().parts
            if parts:
                self.send(parts)

    def send(self, parts: list[Buffer]) -> None:
        """Let one answer leave at the end of this turn; what the client took of it is settled behind."""
        self.connection.write_parts(parts)
        if self.unsent_bytes:
            self.context.loop.call_soon(self.settle)

    def count(self, parts: list[Buffer]) -> None:
        """Keep account of an answer: many bytes end a slice as many requests do, and a large answer is part of what
        the broker holds for clients that may not read it."""
        size = sum(map(len, parts))
        self.slice_bytes += size
        if size >= LARGE_ANSWER_BYTES:
            self.unsent_bytes += size
            self.context.replicas.unsent_bytes += size

    def settle(self) -> None:
        """What was written is with the kernel, but for less than the low watermark: it is no longer held here."""
        if not self.slots and not self.connection.is_congested:
            self.forget_unsent()

    def forget_unsent(self) -> None:
        if self.unsent_bytes:
            self.context.replicas.unsent_bytes -= self.unsent_bytes
            self.unsent_bytes = 0

    # ---- what is not on the usual path

    def find_route(self, key: int, version: int, correlation_id: int, client_id: memoryview | None) -> Route | None:
        """The route of a (key, version) met for the first time; None when the request was answered here."""
        api = self.context.apis.get(key)
        if api is None or self.side not in api.listeners:
            raise ProtocolError(f"api key {key} is not served here ({told(client_id, version)})")
        if not api.low <= version <= api.high:
            if key == API_VERSIONS:
                # KIP-511: who asks in a version to come is told, in the oldest one, which there are.
                answer = unsupported_version(self.context)
                self.connection.write_parts(frame_response(answer, 0, correlation_id))
                return None
            raise ProtocolError(
                f"{api.name} is served in versions {api.low} to {api.high} ({told(client_id, version)})"
            )
        route = self.routes[key << 16 | version] = Route(api, version)
        return route

    def name_client(self, client_id: memoryview | None) -> None:
        """Another client id than the last request had: keep its bytes and its text."""
        if client_id is None:
            self.client_id_bytes, self.context.client_id = None, None
            return
        self.client_id_bytes = bytes(client_id)
        self.context.client_id = str(client_id, "utf-8", "replace")

    def who(self) -> str:
        """The client, for the log."""
        context = self.context
        name = (context.client_id or "")[:MAX_CLIENT_TEXT]
        return f"{self.connection.peer} client {name!r} ({context.software_name} {context.software_version})"

    def hang_up(self, reason: str) -> None:
        """Close the connection and say why in the log."""
        self.log.warning("closing %s: %s", self.who(), reason)
        self.lost()
        self.connection.close()


def told(client_id: memoryview | None, version: int) -> str:
    """What the log should know of a request that nobody here answers."""
    text = bytes(client_id[:MAX_CLIENT_TEXT]) if client_id is not None else b""
    return f"version {version}, client id {text!r}"
