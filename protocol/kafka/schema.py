"""Schema: a Kafka message is an annotated class, and its class body is its field table.

    class HeartbeatRequest(Request, key=12, versions=(0, 4), flexible=4, reply=HeartbeatResponse):
        group_id: str
        generation_id: i32
        member_id: str
        group_instance_id: str | None = field(3)  # since v3

The order of the annotations is the order on the wire. `field(since, until)` bounds the versions that carry a field; in
the others it keeps its default, and a bare `field()` is empty by default. Type checkers ask for every field that has no
default; at run time what is left out is zero, empty or None, so that a reply which only says an error can be made
without knowing which reply it is.

    i8 i16 i32 i64 u16 f64 bool      fixed size, big-endian
    str bytes                        i16 or i32 length; compact in flexible versions
    Uuid                             16 bytes, all zero for none
    Records                          record batches; decoded as a view into the frame, never copied
    list[T]                          of any of these or of another `Struct`
    T | None                         may be null on the wire (from version `nullable` on, if that is given);
                                     a tagged struct that was not sent is None

Flexible versions (KIP-482) end every struct with tagged fields: `field(…, tag=0)` is one, written only when it differs
from its default. Versions are what Kafka 4.3.1's own definitions say. A field that the version asked for does not have
is left out when encoding: Kafka would refuse some of those.

Law 1: decoding raises `ProtocolError` and nothing else, and never makes more of a message than `memory_budget` allows.
Law 2: no logic in messages. What they mean is decided in the servers.
Law 3: the codec of a version is built when it is first used (`codegen`), so that a start pays for none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar, cast, dataclass_transform

from protocol.kafka import codegen, decoders, encoders
from protocol.kafka.primitives import Buffer, ProtocolError

__all__ = [
    "NO_UUID",
    "Message",
    "Record",
    "Records",
    "Request",
    "Response",
    "Struct",
    "Uuid",
    "each",
    "f64",
    "field",
    "i8",
    "i16",
    "i32",
    "i64",
    "memory_budget",
    "u16",
]

i8: TypeAlias = int
i16: TypeAlias = int
i32: TypeAlias = int
i64: TypeAlias = int
u16: TypeAlias = int
f64: TypeAlias = float
Uuid: TypeAlias = bytes
Records: TypeAlias = Buffer | Sequence[Buffer]  # what is decoded is always one memoryview; what is sent may be pieces

NO_UUID = bytes(16)

# A hostile frame of 1 MiB must not cost more than 8: itself as it comes and as it is read, and what is made of it. So
# twenty thousand partitions or topics fit, whose frame is that long. Larger ones may unfold in proportion.
DECODED_BYTES_LEAST = 8 * 1024 * 1024
FRAME_COPIES = 3
DECODED_BYTES_PER_BYTE = 5
# In slices a frame is read where it lies, and what it costs is known and not guessed.
SPARE_BYTES = 128 * 1024
SLICED_BYTES_PER_BYTE = 6


def memory_budget(frame_bytes: int) -> int:
    """How many bytes of Python objects decoding a frame of that size may make, roughly."""
    return max(DECODED_BYTES_LEAST - FRAME_COPIES * frame_bytes, DECODED_BYTES_PER_BYTE * frame_bytes)


def slicing_budget(frame_bytes: int) -> int:
    """As `memory_budget`, for decoding in slices."""
    return max(DECODED_BYTES_LEAST - SPARE_BYTES - frame_bytes, SLICED_BYTES_PER_BYTE * frame_bytes)


_REQUIRED: Any = object()


def field(
    since: int = 0,
    until: int | None = None,
    *,
    default: Any = _REQUIRED,
    nullable: int | None = None,
    tag: int | None = None,
) -> Any:
    """A field that only the versions `since`..`until` carry, or whose default or place is not the plain one.

    `default` is what it holds when not sent: else None where None is allowed, else zero or empty. `nullable` is the
    first version that may send null. `tag` places it among the tagged fields.
    """
    return codegen.Field(since=since, until=until, default=default, nullable=nullable, tag=tag)


def _tabulate(name: str, annotation: str, value: Any) -> codegen.Field:
    """The class body's `name: annotation = value` as a row of the field table."""
    if isinstance(value, codegen.Field):
        row = value
    else:
        row = codegen.Field(default=value)
    row.name = name
    row.kind, row.is_list, row.is_optional = codegen.parse_annotation(annotation)
    if row.default is _REQUIRED:
        row.default = codegen.plain_default(row)
    return row


Asked = TypeVar("Asked")
Made = TypeVar("Made")


class Each(Generic[Asked, Made]):
    """As many elements as there are `items`, each made when it is come to and kept by nobody."""

    __slots__ = ("_items", "_make")

    def __init__(self, items: Sequence[Asked], make: Callable[[Asked], Made]) -> None:
        self._items = items
        self._make = make

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Made]:
        return map(self._make, self._items)

    def __getitem__(self, at: int) -> Made:
        return self._make(self._items[at])


def each(items: Sequence[Asked], make: Callable[[Asked], Made]) -> list[Made]:
    """A list for a message that is to be encoded and nothing else: what `make` makes of each item, made while it is
    encoded. Fifty thousand answers are then never there at the same time, and the encoder may stop between them."""
    return cast(list[Made], Each(items, make))


# `field` is not named as a specifier: those without `default=` would count as fields that must be given.
@dataclass_transform(kw_only_default=True)
class StructType(type):
    """Turns the annotations of a class body into slots and a field table."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **options: Any) -> StructType:
        fields = []
        for attribute, annotation in body.get("__annotations__", {}).items():
            if not annotation.startswith("ClassVar"):
                fields.append(_tabulate(attribute, annotation, body.pop(attribute, _REQUIRED)))
        body["__slots__"] = tuple(row.name for row in fields)
        if fields:
            body["fields"] = tuple(fields)
        return super().__new__(cls, name, bases, body, **options)


class Struct(metaclass=StructType):
    """Named fields in an order. Compared field by field; printed with what differs from the default."""

    fields: ClassVar[tuple[codegen.Field, ...]] = ()

    def __init__(self, **values: Any) -> None:
        # The real constructor is made when the first instance is, and takes this one's place.
        constructor = codegen.build_constructor(type(self))
        type(self).__init__ = constructor  # type: ignore[method-assign]
        constructor(self, **values)

    @classmethod
    def struct_of(cls, row: codegen.Field) -> type[Struct]:
        """The class of a field that is a struct or a list of them."""
        found: type[Struct] = codegen.resolve(cls, row.kind)
        return found

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, row.name) == getattr(other, row.name) for row in self.fields)

    def __hash__(self) -> int:
        return hash((type(self), *(repr(getattr(self, row.name)) for row in self.fields)))

    def __repr__(self) -> str:
        shown = [(row, getattr(self, row.name)) for row in self.fields]
        told = ", ".join(f"{row.name}={value!r}" for row, value in shown if value != row.default)
        return f"{type(self).__name__}({told})"


Decoder: TypeAlias = Callable[[Buffer, int, int], Any]
SlicingDecoder: TypeAlias = Callable[[Buffer, int, int], Generator[None, None, Any]]
Encoder: TypeAlias = Callable[[Any, bytearray], list[Buffer]]
SlicingEncoder: TypeAlias = Callable[[Any, bytearray], Generator[None, None, list[Buffer]]]


class Message(Struct):
    """A struct with versions: what travels in a frame by itself, or rests as a record's key or value."""

    versions: ClassVar[tuple[int, int]]
    lowest: ClassVar[int]
    highest: ClassVar[int]
    flexible: ClassVar[int]  # first flexible version; beyond `highest` when there is none
    decoders: ClassVar[dict[int, Decoder]]
    encoders: ClassVar[dict[int, Encoder]]
    slicing_decoders: ClassVar[dict[int, SlicingDecoder]]
    slicing_encoders: ClassVar[dict[int, SlicingEncoder]]

    def __init_subclass__(cls, versions: tuple[int, int] | None = None, flexible: int | None = None) -> None:
        if versions is not None:
            cls.versions = cls.lowest, cls.highest = versions
            cls.flexible = cls.highest + 1 if flexible is None else flexible
            cls.decoders = {}
            cls.encoders = {}
            cls.slicing_decoders = {}
            cls.slicing_encoders = {}

    @classmethod
    def decode(cls, version: int, data: Buffer, offset: int = 0) -> Self:
        """The message whose bytes begin at `offset`. Bytes behind it are ignored, as Kafka ignores them.

        Raises ProtocolError when they are none of this version.
        """
        decoder = cls.decoders.get(version)
        if decoder is None:
            decoder = cls.decoders[version] = decoders.build_decoder(cls, cls._known(version), cls.flexible)
        try:
            message: Self = decoder(data, offset, memory_budget(len(data)))
        except (struct.error, IndexError):
            raise ProtocolError(f"{cls.__name__} v{version} ends too early") from None
        return message

    @classmethod
    def decode_in_slices(cls, version: int, data: Buffer, offset: int = 0) -> Generator[None, None, Self]:
        """As `decode`, with a stop every few hundred elements: others may have their turn there."""
        decoder = cls.slicing_decoders.get(version)
        if decoder is None:
            decoder = decoders.build_slicing_decoder(cls, cls._known(version), cls.flexible)
            cls.slicing_decoders[version] = decoder
        try:
            message: Self = yield from decoder(data, offset, slicing_budget(len(data)))
        except (struct.error, IndexError):
            raise ProtocolError(f"{cls.__name__} v{version} ends too early") from None
        return message

    def encode(self, version: int) -> bytes:
        """The message's bytes."""
        return b"".join(self.encode_parts(version))

    def encode_parts(self, version: int, head: bytearray | None = None) -> list[Buffer]:
        """The message as buffers to be sent one after the other, record bytes uncopied; appended to `head` if given."""
        encoder = self.encoders.get(version)
        if encoder is None:
            encoder = self.encoders[version] = encoders.build_encoder(type(self), self._known(version), self.flexible)
        return encoder(self, bytearray() if head is None else head)

    def encode_in_slices(self, version: int, head: bytearray) -> Generator[None, None, list[Buffer]]:
        """As `encode_parts`, with a stop every few hundred elements: others may have their turn there."""
        encoder = self.slicing_encoders.get(version)
        if encoder is None:
            encoder = encoders.build_slicing_encoder(type(self), self._known(version), self.flexible)
            self.slicing_encoders[version] = encoder
        return encoder(self, head)

    @classmethod
    def _known(cls, version: int) -> int:
        if not cls.lowest <= version <= cls.highest:
            raise ProtocolError(f"{cls.__name__} has no version {version}")
        return version


class Response(Message):
    """What answers a request: of the request's version."""

    has_plain_header: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        versions: tuple[int, int] | None = None,
        flexible: int | None = None,
        plain_header: bool = False,
    ) -> None:
        super().__init_subclass__(versions, flexible)
        cls.has_plain_header = plain_header


class Request(Message):
    """What a client asks: known by its API key, answered by its `reply`."""

    api_key: ClassVar[int]
    reply: ClassVar[type[Response]]

    def __init_subclass__(
        cls,
        key: int | None = None,
        versions: tuple[int, int] | None = None,
        flexible: int | None = None,
        reply: type[Response] | None = None,
    ) -> None:
        super().__init_subclass__(versions, flexible)
        if key is not None and reply is not None:
            cls.api_key = key
            cls.reply = reply


class Record(Message):
    """What rests in a log of Kafka's own; which kind it is, a number before it says."""

    api_key: ClassVar[int]

    def __init_subclass__(
        cls, key: int | None = None, versions: tuple[int, int] | None = None, flexible: int | None = None
    ) -> None:
        super().__init_subclass__(versions, flexible)
        if key is not None:
            cls.api_key = key
