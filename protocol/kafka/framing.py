"""Framing: where one request ends and the next begins, and the headers in front of them.

    ┌───────────┬────────────────────────────────────────────────┬──────┐
    │ size  i32 │ api_key i16 · api_version i16 ·                │ body │   request
    │           │ correlation_id i32 · client_id str? (· tags)   │      │
    ├───────────┼────────────────────────────────────────────────┼──────┤
    │ size  i32 │ correlation_id i32 (· tags)                    │ body │   response
    └───────────┴────────────────────────────────────────────────┴──────┘

Tags belong to the header where the body is of a flexible version: request header v2, response header v1. Two quirks:
`client_id` never has a compact length, and the answer to ApiVersions never has tags, because who asks does not know yet
what the other side speaks.

Law 1: nothing is allocated because of a size that was claimed, only because of bytes that came: of a frame that is not
       whole yet, at most `GROWTH` times those, or as much as the connection's last such frame really had.
Law 2: a frame is whole or it is not handed out, and frames before a broken one still are.
"""

from __future__ import annotations

import struct
from collections.abc import Generator

from protocol.kafka.primitives import Buffer, ProtocolError, encode_uvarint, read_uvarint, skip_tags
from protocol.kafka.schema import Request, Response

__all__ = [
    "MAX_REQUEST_BYTES",
    "Framer",
    "Scratch",
    "frame_request",
    "frame_response",
    "frame_response_in_slices",
    "read_reply",
    "read_request_header",
    "skip_header_tags",
]

MAX_REQUEST_BYTES = 100 * 1024 * 1024  # Kafka's socket.request.max.bytes

DIRECT_FRAME_BYTES = 64 * 1024  # frames from this size on are received where they stay
AFTER_LARGE_BYTES = 4 * 1024
GROWTH = 8
WINDOW_BYTES = 256 * 1024
MAX_HEADER_TAGS = 1000  # none is defined so far; they only cost time
SPARES_KEPT = 4
SPARE_BYTES_MOST = 2 * 1024 * 1024
SPARE_STEP_BYTES = 64 * 1024  # buffers are whole multiples, so that one fits the next frame of about the same size

_SIZE = struct.Struct(">i")
_REQUEST = struct.Struct(">hhih")
REQUEST_HEAD_BYTES = _REQUEST.size  # before the client id
_RESPONSE = struct.Struct(">ii")


class Scratch:
    """Memory that the framers of one thread share, because each is done with it before the next begins: a window for
    what is not known to belong to a large frame, and the buffers of large frames that nobody looks at any more. A fresh
    megabyte for every large request would cost as much as its checksum does.
    """

    __slots__ = ("_spares", "window")

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self.window = memoryview(bytearray(window_bytes))
        self._spares: list[bytearray] = []

    def take(self, size: int) -> bytearray | None:
        """A spare buffer of at least `size` bytes."""
        for at, buffer in enumerate(self._spares):
            if len(buffer) >= size and is_unseen(buffer):
                return self._spares.pop(at)
        return None

    def keep(self, buffer: bytearray) -> None:
        """A buffer for later, when the views into it are gone."""
        if len(buffer) <= SPARE_BYTES_MOST:
            self._spares.append(buffer)
            if len(self._spares) > SPARES_KEPT:
                del self._spares[0]


def is_unseen(buffer: bytearray) -> bool:
    """Whether no view into it is left: while there is one, a bytearray refuses to change its length."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True


class Framer:
    """Cuts a stream of bytes into frames. Fed from one connection, in order: `feed` takes bytes that somebody else
    received; `room` and `filled` have them received where they belong, which saves a large frame's copies.

    Whoever asks for `room` gives a `scratch`.
    """

    __slots__ = (
        "_filled", "_frame", "_head", "_is_direct", "_last_bytes", "_ready", "_scratch", "_size",
        "_window_bytes", "failure", "max_request_bytes",
    )  # fmt: skip

    def __init__(self, max_request_bytes: int = MAX_REQUEST_BYTES, scratch: Scratch | None = None) -> None:
        self.max_request_bytes = max_request_bytes
        self.failure: ProtocolError | None = None
        self._ready: list[memoryview] = []
        self._head = b""  # the beginning of a size
        self._frame: bytearray | None = None  # a frame that is not whole yet: it may have to grow, or be too long
        self._size = 0  # of that frame
        self._filled = 0  # of it, by what came
        self._last_bytes = 0  # size of the last one that came in pieces
        self._scratch = scratch
        self._is_direct = False  # the room given out is in the frame
        self._window_bytes = len(scratch.window) if scratch is not None else 0  # of the window that is given out

    @property
    def buffered_bytes(self) -> int:
        """What is held of a frame that is not whole yet."""
        return len(self._head) if self._frame is None else 4 + self._filled

    def room(self) -> memoryview:
        """Where the next bytes are to be received: say with `filled` how many came, and take nothing else before."""
        frame = self._frame
        if frame is not None and self._size >= DIRECT_FRAME_BYTES:
            self._is_direct = True
            if self._filled == len(frame):
                frame = self._grow(self._filled + 1)
            return memoryview(frame)[self._filled : self._size]
        assert self._scratch is not None, "whoever asks for room has given a scratch"
        self._is_direct = False
        return self._scratch.window[: self._window_bytes]

    def filled(self, count: int) -> None:
        """So many bytes came into the room."""
        if self._is_direct:
            self._filled += count
            if self._filled == self._size:
                self._finish()
                # The next is probably as large: receive its beginning, which is copied, in a smaller piece.
                self._window_bytes = AFTER_LARGE_BYTES
            return
        assert self._scratch is not None
        window = self._scratch.window
        self.feed(bytes(window[:count]))
        if count == self._window_bytes and self._size < DIRECT_FRAME_BYTES:
            self._window_bytes = len(window)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        if self.failure is not None:
            return
        if self._frame is not None:
            wanted = self._size - self._filled
            if wanted > len(data):
                self._add(data)
                return
            self._add(memoryview(data)[:wanted])
            self._finish()
            if wanted < len(data):
                self._cut(data, wanted)
        elif self._head:
            data, self._head = self._head + data, b""
            self._cut(data, 0)
        else:
            self._cut(data, 0)

    def _cut(self, data: bytes, position: int) -> None:
        """Hand out the frames that lie whole in `data` and keep the rest."""
        view = memoryview(data)
        limit, ready, size_at, end = self.max_request_bytes, self._ready, _SIZE.unpack_from, len(data)
        while end - position >= 4:
            (size,) = size_at(data, position)
            if not 0 <= size <= limit:
                self.failure = ProtocolError(f"a frame of {size} bytes, more than {limit}")
                return
            position += 4
            stop = position + size
            if stop > end:
                self._size, self._filled = size, 0
                self._frame = bytearray()
                self._add(view[position:])
                return
            ready.append(view[position:stop])
            position = stop
        self._size = 0
        self._head = data[position:]

    def _add(self, data: Buffer) -> None:
        """More of the frame that is not whole yet."""
        frame, start = self._frame, self._filled
        assert frame is not None
        stop = start + len(data)
        if stop > len(frame):
            frame = self._grow(stop)
        frame[start:stop] = data
        self._filled = stop

    def _grow(self, least: int) -> bytearray:
        """Room in the frame for at least so many bytes, and for no more than what came lets us expect."""
        assert self._frame is not None
        frame = None
        if self._scratch is not None and self._size >= DIRECT_FRAME_BYTES:
            frame = self._scratch.take(self._size)
        if frame is None:
            size = min(self._size, max(GROWTH * least, self._last_bytes))
            if size >= DIRECT_FRAME_BYTES:
                size = -(-size // SPARE_STEP_BYTES) * SPARE_STEP_BYTES
            frame = bytearray(size)
        frame[: self._filled] = memoryview(self._frame)[: self._filled]
        self._frame = frame
        return frame

    def _finish(self) -> None:
        assert self._frame is not None
        self._ready.append(memoryview(self._frame)[: self._size])
        if self._scratch is not None and self._size >= DIRECT_FRAME_BYTES:
            self._scratch.keep(self._frame)
        self._frame = None
        self._last_bytes = self._size

    def frames(self) -> list[memoryview]:
        """The whole frames since last asked, without their sizes.

        Raises ProtocolError when none is left and what follows cannot be a frame.
        """
        ready = self._ready
        if ready:
            self._ready = []
        elif self.failure is not None:
            raise self.failure
        return ready


def read_request_header(frame: memoryview) -> tuple[int, int, int, memoryview | None, int]:
    """(api key, api version, correlation id, client id as it lies there, where that ends) of a request's frame. There
    the body begins, or in a flexible version the header's tags. Raises ProtocolError."""
    try:
        key, version, correlation_id, size = _REQUEST.unpack_from(frame)
    except struct.error:
        raise ProtocolError("a frame too short for a request header") from None
    if size < 0:
        return key, version, correlation_id, None, REQUEST_HEAD_BYTES
    end = REQUEST_HEAD_BYTES + size
    if end > len(frame):
        raise ProtocolError("the client id runs past the end of the frame")
    return key, version, correlation_id, frame[REQUEST_HEAD_BYTES:end], end


def skip_header_tags(frame: Buffer, position: int) -> int:
    """The position behind the tagged fields of a header."""
    try:
        count, position = read_uvarint(frame, position)
        if count > MAX_HEADER_TAGS:
            raise ProtocolError(f"a header with {count} tagged fields")
        return skip_tags(frame, position, count, len(frame)) if count else position
    except IndexError:
        raise ProtocolError("a header ends too early") from None


def frame_response(response: Response, version: int, correlation_id: int) -> list[Buffer]:
    """A response with its size and header, as buffers to be written one after the other."""
    head = _response_head(response, version, correlation_id)
    return _sized(response.encode_parts(version, head), head)


def frame_response_in_slices(
    response: Response, version: int, correlation_id: int
) -> Generator[None, None, list[Buffer]]:
    """As `frame_response`, with stops on the way."""
    head = _response_head(response, version, correlation_id)
    parts = yield from response.encode_in_slices(version, head)
    return _sized(parts, head)


def _response_head(response: Response, version: int, correlation_id: int) -> bytearray:
    head = bytearray(_RESPONSE.pack(0, correlation_id))
    if version >= response.flexible and not response.has_plain_header:
        head.append(0)
    return head


def frame_request(request: Request, version: int, correlation_id: int, client_id: str | None) -> list[Buffer]:
    """A request with its size and header, as buffers to be written one after the other."""
    name = b"" if client_id is None else client_id.encode()
    size = -1 if client_id is None else len(name)
    head = bytearray(_SIZE.pack(0) + _REQUEST.pack(request.api_key, version, correlation_id, size) + name)
    if version >= request.flexible:
        head += encode_uvarint(0)
    return _sized(request.encode_parts(version, head), head)


def _sized(parts: list[Buffer], head: bytearray) -> list[Buffer]:
    """Enter the size of all parts at the beginning of the first."""
    size = len(head) if len(parts) == 1 else sum(map(len, parts))
    _SIZE.pack_into(head, 0, size - 4)
    return parts


def read_reply(frame: memoryview, schema: type[Request], version: int) -> tuple[int, Response]:
    """(correlation id, response) of the frame that answers a request of that schema. Raises ProtocolError."""
    if len(frame) < 4:
        raise ProtocolError("a frame too short for a response header")
    correlation_id: int = _SIZE.unpack_from(frame)[0]
    reply = schema.reply
    position = 4
    if version >= reply.flexible and not reply.has_plain_header:
        position = skip_header_tags(frame, position)
    return correlation_id, reply.decode(version, frame, position)
