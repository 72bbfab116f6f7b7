"""Codegen: a field table and a version become the flat source of a decoder and an encoder.

No loop over fields runs per message: the loop runs here, once per class and version, and leaves straight code behind.
Runs of fixed-size fields become one `struct` call, into which the length of the string behind them is drawn as well.

    decode(data, position, budget) -> message      budget: bytes of Python objects it may still make
    encode(message, out) -> [buffer, …]            out: bytearray already holding what goes before (a frame's header)
    in slices                                      either as a generator, which stops after every so many elements

What the decoder checks before it believes: a length against the end of the data, a count against the bytes left (an
element takes at least one) and against the budget, a null against the field table. The plain decoder takes from the
budget what an element may cost at most; the slicing one, for messages so long that it matters, what it does cost.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

from protocol.kafka.primitives import ProtocolError, encode_uvarint, read_uvarint, skip_tags

__all__ = [
    "Field",
    "build_constructor",
    "build_decoder",
    "build_encoder",
    "build_slicing_decoder",
    "build_slicing_encoder",
    "parse_annotation",
    "plain_default",
]

FIXED = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "u16": "H", "f64": "d", "bool": "?", "Uuid": "16s"}

# What a value costs in memory, for the budget, as CPython 3.11 to 3.13 allocate: the slot that points to it and the
# object itself, short as it may be. What a version does not carry costs its slot: it points to the default of all.
SLOT_BYTES = 8
VALUE_BYTES = {"bool": 8, "i8": 40, "i16": 40, "i32": 40, "i64": 40, "u16": 40, "f64": 32, "Uuid": 56}
TEXT_BYTES = SLOT_BYTES + 80  # of one letter that is not Latin-1; longer ones pay with bytes of the frame
RECORDS_BYTES = SLOT_BYTES + 184
STRUCT_BYTES = SLOT_BYTES + 32
LIST_BYTES = SLOT_BYTES + 56
TAG_BYTES = 96  # an unknown tagged field makes nothing, but takes as much time: it costs what Kafka keeps of it

CACHED_INTS = (-5, 256)  # they are there already, one of each
INT_BYTES = 32  # of any other
FIXED_BYTES = {"f64": 24, "Uuid": 56}  # of what is made anew each time

SLICE_ELEMENTS = 128  # decoded or encoded between two stops: about half a millisecond
NUMBERS_AN_ELEMENT = 64  # of a list of plain numbers, which take as long as one element
TAGS_AN_ELEMENT = 8  # that are stepped over, likewise


@dataclass(slots=True)
class Field:
    """One row of a field table. See `schema.field` for the words."""

    since: int = 0
    until: int | None = None
    default: Any = None
    nullable: int | None = None
    tag: int | None = None
    name: str = ""
    kind: str = ""  # a word of FIXED, str, bytes, Records or the name of a struct
    is_list: bool = False
    is_optional: bool = False

    def is_in(self, version: int) -> bool:
        """Whether that version carries it."""
        return self.since <= version and (self.until is None or version <= self.until)

    @property
    def is_struct(self) -> bool:
        """Whether it is one struct or a list of them."""
        return self.kind not in FIXED and self.kind not in ("str", "bytes", "Records")

    def may_be_null(self, version: int) -> bool:
        """Whether that version may carry null. A tagged struct is absent instead, unless the table says otherwise."""
        if self.nullable is not None:
            return version >= self.nullable
        return self.is_optional and not (self.tag is not None and self.is_struct and not self.is_list)


def parse_annotation(text: str) -> tuple[str, bool, bool]:
    """(kind, is a list, may be None) of an annotation such as `list[Topic] | None`."""
    match = re.fullmatch(r"(?:list\[(\w+)\]|(\w+))( \| None)?", text)
    if match is None:
        raise TypeError(f"{text!r} is not an annotation of a message field")
    return match[1] or match[2], match[1] is not None, match[3] is not None


def plain_default(row: Field) -> Any:
    """What a field holds when nothing is said: None where allowed, else zero or empty."""
    if row.is_list and not row.is_optional:
        return []
    if row.is_optional or row.is_struct:
        return None
    return {"bool": False, "f64": 0.0, "str": "", "bytes": b"", "Records": b"", "Uuid": bytes(16)}.get(row.kind, 0)


def build_constructor(owner: Any) -> Callable[..., None]:
    """`__init__` with one keyword argument a field."""
    lines, signature = [], []
    scope: dict[str, Any] = {"unsaid": object()}  # None is a value of a list that may be null
    for row in owner.fields:
        if row.default == [] and row.is_list:
            signature.append(f"{row.name}=unsaid")
            lines.append(f"    self.{row.name} = [] if {row.name} is unsaid else {row.name}")
            continue
        signature.append(f"{row.name}={row.default!r}")
        lines.append(f"    self.{row.name} = {row.name}")
    star = ", *, " if signature else ""
    source = f"def __init__(self{star}{', '.join(signature)}):\n" + ("\n".join(lines) or "    pass") + "\n"
    exec(compile(source, f"<{owner.__name__}>", "exec"), scope)
    constructor: Callable[..., None] = scope["__init__"]
    return constructor


def build_decoder(owner: Any, version: int, flexible: int) -> Callable[[Any, int, int], Any]:
    """The decoder of a message class at a version."""
    decoder: Callable[[Any, int, int], Any] = DecoderWriter(owner, version, version >= flexible).compile("decode")
    return decoder


def build_slicing_decoder(
    owner: Any, version: int, flexible: int
) -> Callable[[Any, int, int], Generator[None, None, Any]]:
    """The decoder of a message class at a version, as a generator that stops every `SLICE_ELEMENTS`."""
    writer = DecoderWriter(owner, version, version >= flexible, is_slicing=True)
    decoder: Callable[[Any, int, int], Generator[None, None, Any]] = writer.compile("decode")
    return decoder


def build_encoder(owner: Any, version: int, flexible: int) -> Callable[[Any, bytearray], list[Any]]:
    """The encoder of a message class at a version."""
    writer = EncoderWriter(owner, version, version >= flexible)
    encoder: Callable[[Any, bytearray], list[Any]] = writer.compile("encode")
    return encoder


def build_slicing_encoder(
    owner: Any, version: int, flexible: int
) -> Callable[[Any, bytearray], Generator[None, None, list[Any]]]:
    """The encoder of a message class at a version, as a generator that stops every `SLICE_ELEMENTS`."""
    writer = EncoderWriter(owner, version, version >= flexible, is_slicing=True)
    encoder: Callable[[Any, bytearray], Generator[None, None, list[Any]]] = writer.compile("encode")
    return encoder


def null_refused(name: str) -> ProtocolError:
    """A field that may not be null was."""
    return ProtocolError(f"{name} was null")


def too_long(name: str) -> ProtocolError:
    """A length or count that the data cannot hold."""
    return ProtocolError(f"{name} does not fit into the message")


def too_many(name: str) -> ProtocolError:
    """A count that would cost more memory than a message of this size may."""
    return ProtocolError(f"{name} has more elements than a message of this size may have")


def resolve(owner: Any, name: str) -> Any:
    """The struct class that a field of `owner` names."""
    return getattr(sys.modules[owner.__module__], name)


def split_tags(owner: Any, version: int) -> tuple[list[Field], list[Field]]:
    """The fields of that version in wire order, and its tagged ones by tag."""
    present = [row for row in owner.fields if row.is_in(version)]
    tagged = [row for row in present if row.tag is not None]
    return [row for row in present if row.tag is None], sorted(tagged, key=lambda row: row.tag or 0)


def has_records(owner: Any) -> bool:
    """Whether somewhere in this struct lie record batches."""
    return any(
        row.kind == "Records" or (row.is_struct and has_records(resolve(owner, row.kind))) for row in owner.fields
    )


def memory_of(owner: Any, version: int) -> int:
    """What one instance of a struct costs at a version, its lists empty."""
    fields = sum(field_bytes(owner, row, version) for row in owner.fields)
    return STRUCT_BYTES + fields + SLOT_BYTES * (len(owner.fields) % 2)  # allocated in steps of 16 bytes


def field_bytes(owner: Any, row: Field, version: int) -> int:
    """What one field adds to its struct: a tagged one is mostly absent, and whoever sends it pays more bytes for it."""
    if row.is_list:
        return LIST_BYTES if row.default == [] or row.is_in(version) else SLOT_BYTES
    is_sent = row.is_in(version) and (row.tag is None or row.kind in ("str", "bytes"))
    return value_bytes(owner, row, version) if is_sent else SLOT_BYTES


def value_bytes(owner: Any, row: Field, version: int) -> int:
    """What one value of a field costs, or one element of its list."""
    if row.is_struct:
        return memory_of(resolve(owner, row.kind), version)
    return RECORDS_BYTES if row.kind == "Records" else VALUE_BYTES.get(row.kind, TEXT_BYTES)


def least_bytes(owner: Any, row: Field, version: int) -> int:
    """What an element of a list costs before anything of it is looked at."""
    return SLOT_BYTES + least_memory_of(resolve(owner, row.kind), version) if row.is_struct else SLOT_BYTES


def least_memory_of(owner: Any, version: int) -> int:
    """What one instance of a struct costs at a version where its numbers are small and its texts and lists empty."""
    size = STRUCT_BYTES - SLOT_BYTES + SLOT_BYTES * len(owner.fields)
    for row in owner.fields:
        if row.is_list:
            size += LIST_BYTES - SLOT_BYTES if row.default == [] or row.is_in(version) else 0
        elif row.is_in(version) and row.tag is None:
            size += FIXED_BYTES.get(row.kind, 0)
    return size


@dataclass(slots=True)
class Writer:
    """Source lines at an indentation, and the globals they will see."""

    owner: Any
    version: int
    is_flexible: bool
    lines: list[str] = attribute(default_factory=list)
    scope: dict[str, Any] = attribute(default_factory=dict)
    depth: int = 1
    pending: list[tuple[str, str]] = attribute(default_factory=list)  # fixed-size fields in hand: (what, format)
    names: int = 0
    is_slicing: bool = False  # stops every so many elements

    def line(self, text: str) -> None:
        """One line of source."""
        self.lines.append("    " * self.depth + text)

    def fresh(self, stem: str) -> str:
        """A name nothing else uses."""
        self.names += 1
        return f"{stem}{self.names}"

    def constant(self, stem: str, value: Any) -> str:
        """A global of the generated function."""
        name = f"{stem}_{getattr(value, '__name__', len(self.scope))}"
        self.scope[name] = value
        return name

    def stop_now_and_then(self) -> None:
        """The end of an element: where slices are asked for, the place to stop."""
        if self.is_slicing:
            self.line("left -= 1")
            self.line("if left <= 0:")
            self.line(f"    left = {SLICE_ELEMENTS}")
            self.line("    yield")

    def compiled(self, name: str, source: str) -> Any:
        """Run the source and hand out the function it defines."""
        exec(compile(source, f"<{name} {self.owner.__name__} v{self.version}>", "exec"), self.scope)
        return self.scope[name]


class DecoderWriter(Writer):
    """Writes `decode(data, position, budget)`."""

    is_view = False  # whether `data` is a view, which only a message with records is worth

    def compile(self, name: str) -> Any:
        """The finished function."""
        self.scope.update(
            uvarint=read_uvarint,
            skip_tags=skip_tags,
            size_of=sys.getsizeof,
            new=object.__new__,
            unpack_from=struct.unpack_from,
            too_long=too_long,
            too_many=too_many,
            null_refused=null_refused,
        )
        self.is_view = self.is_slicing or has_records(self.owner)
        # Bytes are read faster than a view, so what has no records worth not copying is copied first, if it is short.
        self.line("data = memoryview(data)" if self.is_view else "data = bytes(data)")
        self.line("end = len(data)")
        if self.is_slicing:
            self.line(f"left = {SLICE_ELEMENTS}")
        message = self.structure(self.owner)
        self.flush()
        self.line(f"return {message}")
        if self.is_slicing:
            self.line("yield")  # makes a generator of what has no list
        return self.compiled(name, f"def {name}(data, position, budget):\n" + "\n".join(self.lines) + "\n")

    def structure(self, owner: Any) -> str:
        """Decode a struct into a variable; its name."""
        it = self.fresh("it")
        self.line(f"{it} = new({self.constant('class', owner)})")
        plain, tagged = split_tags(owner, self.version)
        for row in owner.fields:
            if not row.is_in(self.version) or row.tag is not None:
                self.line(f"{it}.{row.name} = {'[]' if row.default == [] else repr(row.default)}")
        for row in plain:
            self.value(owner, row, f"{it}.{row.name}")
        if self.is_flexible:
            self.tags(owner, it, tagged)
        return it

    def value(self, owner: Any, row: Field, target: str) -> None:
        """Decode one field into `target`."""
        if row.is_list:
            self.array(owner, row, target)
        elif row.kind in FIXED:
            self.pending.append((target, FIXED[row.kind]))
        elif row.is_struct:
            self.optional_structure(owner, row, target)
        else:
            self.text(row, target)

    def flush(self) -> None:
        """Read the fixed-size fields gathered so far in one call."""
        if not self.pending:
            return
        layout = struct.Struct(">" + "".join(code for _, code in self.pending))
        unpack = self.fresh("unpack")
        self.scope[unpack] = layout.unpack_from
        targets = ", ".join(target for target, _ in self.pending)
        comma = "," if len(self.pending) == 1 else ""
        self.line(f"{targets}{comma} = {unpack}(data, position)")
        self.line(f"position += {layout.size}")
        if self.is_slicing:
            for target, code in self.pending:
                if target != "n" and code in "bhiqH":
                    self.line(f"if not {CACHED_INTS[0] - 1} < {target} < {CACHED_INTS[1] + 1}:")
                    self.line(f"    budget -= {INT_BYTES}")
        self.pending.clear()

    def length(self, code: str) -> None:
        """Read a length or count into `n`; -1 for null. `code` is its format where it is not compact."""
        if not self.is_flexible:
            self.pending.append(("n", code))
            self.flush()
            return
        self.flush()
        self.uvarint("n")
        self.line("n -= 1")

    def uvarint(self, name: str) -> None:
        """Read an unsigned varint; most are one byte."""
        self.line(f"{name} = data[position]")
        self.line("position += 1")
        self.line(f"if {name} > 127:")
        self.line(f"    {name}, position = uvarint(data, position - 1)")

    def null_check(self, row: Field, target: str) -> None:
        """Opens the branch for what is there; the caller writes it one level deeper and leaves."""
        self.line("if n < 0:")
        if row.may_be_null(self.version):
            self.line(f"    {target} = None")
        else:
            self.line(f"    raise null_refused({row.name!r})")
        self.line("else:")

    def text(self, row: Field, target: str) -> None:
        """A string, bytes or records."""
        self.length("h" if row.kind == "str" else "i")
        self.null_check(row, target)
        self.depth += 1
        self.line("stop = position + n")
        self.line("if stop > end:")
        self.line(f"    raise too_long({row.name!r})")
        self.line(f"{target} = {self.slice_of(row.kind)}")
        if self.is_slicing:  # an empty text is there already, an empty view is not
            self.line(f"budget -= size_of({target})" + (" if n else 0" if row.kind != "Records" else ""))
        self.line("position = stop")
        self.depth -= 1

    def slice_of(self, kind: str) -> str:
        """The expression for data[position:stop] as that kind. Java replaces what is not UTF-8, and so do we."""
        piece = "data[position:stop]"
        if kind == "Records":
            return piece
        if kind == "bytes":
            return f"bytes({piece})" if self.is_view else piece
        return f"str({piece}, 'utf-8', 'replace')" if self.is_view else f"{piece}.decode('utf-8', 'replace')"

    def array(self, owner: Any, row: Field, target: str) -> None:
        """A list: counted, checked against what is left, then its elements."""
        self.length("i")
        self.null_check(row, target)
        self.depth += 1
        self.line("if n > end - position:")
        self.line(f"    raise too_long({row.name!r})")
        weigh = least_bytes if self.is_slicing and row.kind not in FIXED else value_bytes
        self.take(f"n * {weigh(owner, row, self.version)}", row.name)
        if row.kind in FIXED:
            self.numbers(row, target)
        else:
            self.elements(owner, row, target)
        self.depth -= 1

    def take(self, cost: str, name: str) -> None:
        """Take from the budget what it must have left."""
        self.line(f"budget -= {cost}")
        self.line("if budget < 0:")
        self.line(f"    raise too_many({name!r})")

    def numbers(self, row: Field, target: str) -> None:
        """A list of `n` elements of a fixed size."""
        layout = FIXED[row.kind]
        size = struct.calcsize(">" + layout)
        some = "'>' + '16s' * {0}" if row.kind == "Uuid" else "f'>{{{0}}}" + layout + "'"
        if not self.is_slicing:
            self.line(f"{target} = list(unpack_from({some.format('n')}, data, position))")
            self.line(f"position += n * {size}")
            return
        items = self.fresh("items")
        self.line(f"{target} = {items} = []")
        self.line("while n > 0:")
        self.line(f"    some = min(n, {NUMBERS_AN_ELEMENT * SLICE_ELEMENTS})")
        self.line(f"    {items} += unpack_from({some.format('some')}, data, position)")
        self.line(f"    position += some * {size}")
        self.line("    n -= some")
        self.line(f"    left -= some // {NUMBERS_AN_ELEMENT}")
        self.line("    if left <= 0:")
        self.line(f"        left = {SLICE_ELEMENTS}")
        self.line("        yield")

    def elements(self, owner: Any, row: Field, target: str) -> None:
        """A list of `n` structs or texts."""
        items = self.fresh("items")
        place = self.fresh("place")
        self.line(f"{target} = {items} = [None] * n")  # a list that grows would take half as much again
        self.line(f"for {place} in range(n):")
        self.depth += 1
        if row.is_struct:
            item = self.structure(resolve(owner, row.kind))
        else:
            item = self.fresh("item")
            self.text(Field(name=row.name, kind=row.kind), item)
        self.flush()
        self.line(f"{items}[{place}] = {item}")
        if self.is_slicing:
            self.line("if budget < 0:")
            self.line(f"    raise too_many({row.name!r})")
        self.stop_now_and_then()
        self.depth -= 1

    def optional_structure(self, owner: Any, row: Field, target: str) -> None:
        """A struct by itself; where it may be null a signed byte says whether it is."""
        struct_class = resolve(owner, row.kind)
        if self.is_slicing:
            self.line(f"budget -= {least_memory_of(struct_class, self.version)}")
        if not row.may_be_null(self.version):
            name = self.structure(struct_class)
            self.line(f"{target} = {name}")
            return
        self.pending.append(("n", "b"))
        self.flush()
        self.null_check(row, target)
        self.depth += 1
        name = self.structure(struct_class)
        self.flush()
        self.line(f"{target} = {name}")
        self.depth -= 1

    def tags(self, owner: Any, it: str, tagged: list[Field]) -> None:
        """The tagged fields that end a struct of a flexible version."""
        self.flush()
        count = self.fresh("count")
        self.uvarint(count)
        self.line(f"if {count}:")
        self.depth += 1
        self.take(f"{count} * {TAG_BYTES}", "tagged fields")
        if not tagged:
            if self.is_slicing:
                self.line(f"while {count} > {TAGS_AN_ELEMENT}:")
                self.line(f"    position = skip_tags(data, position, {TAGS_AN_ELEMENT}, end)")
                self.line(f"    {count} -= {TAGS_AN_ELEMENT}")
                self.depth += 1
                self.stop_now_and_then()
                self.depth -= 1
            self.line(f"position = skip_tags(data, position, {count}, end)")
        else:
            self.known_tags(owner, it, tagged, count)
        self.depth -= 1

    def known_tags(self, owner: Any, it: str, tagged: list[Field], count: str) -> None:
        """The loop over tags some of which we know."""
        # Nested structs have tags of their own, so each depth keeps its end under its own name.
        stop = self.fresh("tag_end")
        self.line(f"if {count} > end - position:")
        self.line("    raise too_long('tagged fields')")
        self.line(f"for _ in range({count}):")
        self.depth += 1
        self.uvarint("tag")
        self.uvarint("n")
        self.line(f"{stop} = position + n")
        self.line(f"if {stop} > end:")
        self.line("    raise too_long('a tagged field')")
        for index, row in enumerate(tagged):
            self.line(f"{'el' if index else ''}if tag == {row.tag}:")
            self.depth += 1
            self.value(owner, row, f"{it}.{row.name}")
            self.flush()
            self.line(f"if position != {stop}:")
            self.line(f"    raise too_long({row.name!r})")
            self.depth -= 1
        self.line(f"position = {stop}")
        self.stop_now_and_then()
        self.depth -= 1


class EncoderWriter(Writer):
    """Writes `encode(message, out)`."""

    def compile(self, name: str) -> Any:
        """The finished function."""
        self.scope.update(uvarint=encode_uvarint, pack=struct.pack, add_records=add_records)
        self.line("parts = [out]")
        if self.is_slicing:
            self.line(f"left = {SLICE_ELEMENTS}")
        self.structure(self.owner, "message")
        self.flush()
        self.line("return parts")
        if self.is_slicing:
            self.line("yield")  # makes a generator of what has no list
        return self.compiled(name, f"def {name}(message, out):\n" + "\n".join(self.lines) + "\n")

    def structure(self, owner: Any, it: str) -> None:
        """Encode the struct held by the variable `it`."""
        plain, tagged = split_tags(owner, self.version)
        for row in plain:
            self.value(owner, row, f"{it}.{row.name}")
        if not self.is_flexible:
            return
        if tagged:
            self.tags(owner, it, tagged)
        else:
            self.pending.append(("0", "B"))

    def value(self, owner: Any, row: Field, source: str) -> None:
        """Encode one field."""
        if row.is_list:
            self.array(owner, row, source)
        elif row.kind in FIXED:
            self.pending.append((source, FIXED[row.kind]))
        elif row.is_struct:
            self.optional_structure(owner, row, source)
        elif row.kind == "Records":
            self.records(row, source)
        else:
            self.text(row, source)

    def flush(self) -> None:
        """Write the fixed-size fields gathered so far in one call."""
        if not self.pending:
            return
        if all(source == "0" and code == "B" for source, code in self.pending):
            self.line(f"out += {bytes(len(self.pending))!r}")
        else:
            pack = self.fresh("pack")
            self.scope[pack] = struct.Struct(">" + "".join(code for _, code in self.pending)).pack
            self.line(f"out += {pack}({', '.join(source for source, _ in self.pending)})")
        self.pending.clear()

    def length(self, expression: str, code: str) -> None:
        """Write a length or count that is not null."""
        if not self.is_flexible:
            self.pending.append((expression, code))
            self.flush()
            return
        self.line(f"n = {expression} + 1")
        self.line("if n < 128:")
        self.depth += 1
        saved = list(self.pending)
        self.pending.append(("n", "B"))
        self.flush()
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        self.pending = saved
        self.flush()
        self.line("out += uvarint(n)")
        self.depth -= 1

    def null(self, code: str) -> None:
        """Write a null length. The fields before it are already out."""
        self.line("out += b'\\0'" if self.is_flexible else f"out += {struct.pack('>' + code, -1)!r}")

    def branch_on_null(self, row: Field, name: str, code: str) -> bool:
        """Write the null branch and open the other one, where the field may be null."""
        if not row.may_be_null(self.version):
            return False
        self.flush()
        self.line(f"if {name} is None:")
        self.depth += 1
        self.null(code)
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        return True

    def text(self, row: Field, source: str) -> None:
        """A string or bytes."""
        code = "h" if row.kind == "str" else "i"
        name = self.fresh("text")
        self.line(f"{name} = {source}")
        deeper = self.branch_on_null(row, name, code)
        if row.kind == "str":
            self.line(f"{name} = {name}.encode()")
        self.length(f"len({name})", code)
        self.line(f"out += {name}")
        self.depth -= deeper

    def records(self, row: Field, source: str) -> None:
        """Record batches become parts of their own; what follows them starts a new one."""
        name = self.fresh("records")
        self.line(f"{name} = {source}")
        deeper = self.branch_on_null(row, name, "i")
        self.line(f"pieces, n = add_records({name})")
        self.length("n", "i")
        self.line("if pieces:")
        self.line("    parts += pieces")
        self.line("    out = bytearray()")
        self.line("    parts.append(out)")
        self.depth -= deeper

    def array(self, owner: Any, row: Field, source: str) -> None:
        """A list: its count, then its elements."""
        items = self.fresh("items")
        self.line(f"{items} = {source}")
        deeper = self.branch_on_null(row, items, "i")
        self.length(f"len({items})", "i")
        if row.kind == "Uuid":
            self.line(f"out += b''.join({items})")
        elif row.kind in FIXED:
            self.line(f"out += pack(f'>{{len({items})}}{FIXED[row.kind]}', *{items})")
        else:
            item = self.fresh("item")
            self.line(f"for {item} in {items}:")
            self.depth += 1
            if row.is_struct:
                self.structure(resolve(owner, row.kind), item)
            else:
                self.text(Field(name=row.name, kind=row.kind), item)
            self.flush()
            self.stop_now_and_then()
            self.depth -= 1
        self.depth -= deeper

    def optional_structure(self, owner: Any, row: Field, source: str) -> None:
        """A struct by itself; where it may be null a signed byte says whether it is."""
        name = self.fresh("it")
        self.flush()
        self.line(f"{name} = {source}")
        if not row.may_be_null(self.version):
            self.structure(resolve(owner, row.kind), name)
            return
        self.line(f"if {name} is None:")
        self.line("    out += b'\\xff'")
        self.line("else:")
        self.depth += 1
        self.pending.append(("1", "b"))
        self.structure(resolve(owner, row.kind), name)
        self.flush()
        self.depth -= 1

    def tags(self, owner: Any, it: str, tagged: list[Field]) -> None:
        """The tagged fields that differ from their defaults, each behind its tag and size."""
        self.flush()
        count = self.fresh("count")
        self.line(f"{count} = {' + '.join(f'({self.is_told(row, it)})' for row in tagged)}")
        self.line(f"out += uvarint({count})")
        self.line(f"if {count}:")
        self.depth += 1
        for row in tagged:
            self.line(f"if {self.is_told(row, it)}:")
            self.depth += 1
            outer = self.fresh("outer")
            self.line(f"{outer} = out")
            self.line("out = bytearray()")
            self.value(owner, row, f"{it}.{row.name}")
            self.flush()
            self.line(f"{outer} += uvarint({row.tag}) + uvarint(len(out)) + out")
            self.line(f"out = {outer}")
            self.depth -= 1
        self.depth -= 1

    @staticmethod
    def is_told(row: Field, it: str) -> str:
        """The condition for writing a tagged field."""
        if row.default is None:
            return f"{it}.{row.name} is not None"
        if row.is_list or row.kind in ("str", "bytes"):
            return f"{it}.{row.name} != {row.default!r}"
        return f"{it}.{row.name} != {row.default!r}"


def add_records(records: Any) -> tuple[list[Any], int]:
    """Record batches as the non-empty buffers they consist of, and their size in bytes."""
    if isinstance(records, (bytes, bytearray, memoryview)):
        return ([records], len(records)) if len(records) else ([], 0)
    pieces = [piece for piece in records if len(piece)]
    return pieces, sum(map(len, pieces))
