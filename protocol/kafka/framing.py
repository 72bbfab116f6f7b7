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

Law 1: nothing is allocated because of a size that was claimed, only because of bytes that came.
Law 2: a frame is whole or it is not handed out, and frames before a broken one still are.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from protocol.kafka.primitives import Buffer, ProtocolError, encode_uvarint, read_uvarint, skip_tags
from protocol.kafka.schema import Request, Response

__all__ = ["MAX_REQUEST_BYTES", "Framer", "RequestHeader", "frame", "frame_request", "frame_response", "read_reply"]

MAX_REQUEST_BYTES = 100 * 1024 * 1024  # Kafka's socket.request.max.bytes

_SIZE = struct.Struct(">i")
_REQUEST = struct.Struct(">hhih")
_RESPONSE = struct.Struct(">ii")


class Framer:
    """Cuts a stream of bytes into frames. Fed from one connection, in order."""

    __slots__ = ("_partial", "_ready", "_wanted", "failure", "max_request_bytes")

    def __init__(self, max_request_bytes: int = MAX_REQUEST_BYTES) -> None:
        self.max_request_bytes = max_request_bytes
        self.failure: ProtocolError | None = None
        self._ready: list[memoryview] = []
        self._partial = bytearray()  # the beginning of a frame that is not whole yet, its size included
        self._wanted = 4  # bytes that `_partial` must reach before it is worth looking at

    @property
    def buffered_bytes(self) -> int:
        """What is held of a frame that is not whole yet."""
        return len(self._partial)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        if self.failure is not None:
            return
        if self._partial:
            partial = self._partial
            if len(partial) + len(data) < self._wanted:
                partial += data
                return
            missing = self._wanted - len(partial)
            partial += memoryview(data)[:missing]
            if self._wanted == 4:  # only now is it known how much belongs to the frame
                size = self._size_at(partial, 0)
                if size < 0:
                    return
                self._wanted = 4 + size
                if size:
                    self.feed(data[missing:])
                    return
            self._ready.append(memoryview(partial)[4:])
            self._partial = bytearray()
            self._wanted = 4
            if missing == len(data):
                return
            data = data[missing:]
        self._cut(data)

    def _cut(self, data: bytes) -> None:
        """Hand out the frames that lie whole in `data` and keep the rest."""
        view = memoryview(data)
        position, end = 0, len(data)
        while end - position >= 4:
            size = self._size_at(data, position)
            if size < 0:
                return
            if size > end - position - 4:
                self._wanted = 4 + size
                break
            self._ready.append(view[position + 4 : position + 4 + size])
            position += 4 + size
        else:
            self._wanted = 4
        self._partial = bytearray(view[position:])

    def _size_at(self, data: Buffer, position: int) -> int:
        """The size of the frame that begins there, or -1 when no frame can be of that size."""
        size: int = _SIZE.unpack_from(data, position)[0]
        if 0 <= size <= self.max_request_bytes:
            return size
        self.failure = ProtocolError(f"a frame of {size} bytes, more than {self.max_request_bytes}")
        return -1

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


class RequestHeader(NamedTuple):
    """What stands before the body of a request."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    end: int  # behind the client id: there the body begins, or the header's tags

    @classmethod
    def decode(cls, frame: memoryview) -> RequestHeader:
        """The header of a frame. Raises ProtocolError."""
        try:
            key, version, correlation_id, size = _REQUEST.unpack_from(frame)
        except struct.error:
            raise ProtocolError("a frame too short for a request header") from None
        if size < 0:
            return cls(key, version, correlation_id, None, 10)
        end = 10 + size
        if end > len(frame):
            raise ProtocolError("the client id runs past the end of the frame")
        return cls(key, version, correlation_id, str(frame[10:end], "utf-8", "replace"), end)

    def body_offset(self, schema: type[Request], frame: memoryview) -> int:
        """Where the body begins, if this is a request of that schema. Raises ProtocolError."""
        if self.api_version < schema.flexible:
            return self.end
        return skip_header_tags(frame, self.end)


def skip_header_tags(frame: Buffer, position: int) -> int:
    """The position behind the tagged fields of a header."""
    try:
        count, position = read_uvarint(frame, position)
        return skip_tags(frame, position, count, len(frame)) if count else position
    except IndexError:
        raise ProtocolError("a header ends too early") from None


def frame(parts: list[Buffer]) -> list[Buffer]:
    """The parts with their common size in front."""
    return [_SIZE.pack(sum(map(len, parts))), *parts]


def frame_response(response: Response, version: int, correlation_id: int) -> list[Buffer]:
    """A response with its size and header, as buffers to be written one after the other."""
    head = bytearray(_RESPONSE.pack(0, correlation_id))
    if version >= response.flexible and not response.has_plain_header:
        head.append(0)
    return _sized(response.encode_parts(version, head), head)


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
