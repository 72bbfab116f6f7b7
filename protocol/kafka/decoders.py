"""Decoders, written from field tables.

    decode(data, position, budget) -> message      budget: bytes of Python objects it may still make

What a decoder checks before it believes: a length against the end of the data, a count against the bytes left (an
element takes at least one) and against the budget, a null against the field table. The plain decoder takes from the
budget what an element may cost at most; the slicing one, for messages so long that it matters, what it does cost.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Generator
from typing import Any

from protocol.kafka.codegen import FIXED, SLICE_ELEMENTS, Field, Writer, resolve, split_tags
from protocol.kafka.primitives import ProtocolError, read_uvarint, skip_tags

__all__ = ["build_decoder", "build_slicing_decoder"]

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

NUMBERS_AN_ELEMENT = 64  # of a list of plain numbers, which take as long as one element
TAGS_AN_ELEMENT = 8  # that are stepped over, likewise


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


def null_refused(name: str) -> ProtocolError:
    """A field that may not be null was."""
    return ProtocolError(f"{name} was null")


def too_long(name: str) -> ProtocolError:
    """A length or count that the data cannot hold."""
    return ProtocolError(f"{name} does not fit into the message")


def too_many(name: str) -> ProtocolError:
    """A count that would cost more memory than a message of this size may."""
    return ProtocolError(f"{name} has more elements than a message of this size may have")


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
