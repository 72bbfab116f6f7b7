"""Encoders, written from field tables.

    encode(message, out) -> [buffer, …]      out: bytearray already holding what goes before (a frame's header)

Record bytes are parts of their own and never copied; what follows them starts a new part.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Any

from protocol.kafka.codegen import FIXED, SLICE_ELEMENTS, Field, Writer, resolve, split_tags
from protocol.kafka.primitives import encode_uvarint

__all__ = ["build_encoder", "build_slicing_encoder"]


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
