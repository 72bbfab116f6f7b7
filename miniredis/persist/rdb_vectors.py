"""Vector sets as Redis 8 writes them: a value of the module "vectorset", with the graph as it is.

    type 7, length: the module's id
    u dimension, u elements, u format | M << 8, u flags (1: projected, 2: attributes)
    projected: u dimension of what clients send, s matrix of floats of 32 bits, a row an output component
    each element: s name, with attributes: s those (may be empty), s stored vector, u how many parameters, u ...
        id (from 1), level | version << 24,
        each layer from 0: u links, u room, u id ...; of version 1 also u the farthest link's place and distance,
        norm | range << 32, both floats of 32 bits; range is anything, even NaN, where the format has none
    length 0                                          u: length 2, length number      s: length 5, string

Written is version 0 of a node: a reader finds the farthest links itself. The entry is the first of the highest level.

Law: a graph is believed only if its links are mutual, between different nodes that are on that layer, and each there
once; anything else is a ValueError.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final

from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_format import Reader
from miniredis.structures.proximity_graph import MAX_LEVEL, MAX_LINKS
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.vectors import MAX_DIMENSION, NAMES, projection_matrix

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_NAME: Final = b"vectorset"
_VERSION_BITS: Final = 10  # of the module's encoding, which is version 0

_END: Final = 0
_NUMBER: Final = 2
_STRING: Final = 5

_IS_PROJECTED: Final = 1
_HAS_ATTRIBUTES: Final = 2
_NODE_VERSION_1: Final = 1
# What a node of level 0 without links has at least: id, level, links, room, norm and range.
_LEAST_PARAMETERS: Final = 5
# The room of a layer may be as much as this in what a real server writes.
_MOST_ROOM: Final = 4 * MAX_LINKS


def _module_id() -> int:
    total = 0
    for letter in _NAME:
        total = total << 6 | _ALPHABET.index(letter)
    return total << _VERSION_BITS


MODULE_ID: Final = _module_id()


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────


def encode_vectors(value: VectorSet, is_compressed: bool) -> bytes:
    """The type byte and the value."""
    graph = value.graph
    flags = (_IS_PROJECTED if value.input_dimension else 0) | (_HAS_ATTRIBUTES if value.attributes else 0)
    head = (value.dimension, len(value), value.space.format | graph.links_per_layer << 8, flags)
    parts = [bytes((rdb.MODULE_2,)), rdb.length(MODULE_ID), *map(_number, head)]
    if value.input_dimension:
        matrix = projection_matrix(value.input_dimension, value.dimension)
        parts += [_number(value.input_dimension), _string(matrix, is_compressed)]
    for number, element in enumerate(value.elements()):
        parts.append(_string(element, is_compressed))
        if value.attributes:
            parts.append(_string(value.attributes.get(element, b""), is_compressed))
        vector = graph.vectors[number]
        parts.append(_string(value.space.raw(vector), is_compressed))
        parameters = [number + 1, len(graph.links[number]) - 1]
        for layer, links in enumerate(graph.links[number]):
            parameters += [len(links), max(graph.room(layer), len(links)), *[other + 1 for other in links]]
        parameters.append(int.from_bytes(struct.pack("<ff", vector.norm, vector.range), "little"))
        parts += [_number(len(parameters)), *map(_number, parameters)]
    parts.append(rdb.length(_END))
    return b"".join(parts)


def _number(number: int) -> bytes:
    return rdb.length(_NUMBER) + rdb.length(number)


def _string(text: bytes, is_compressed: bool) -> bytes:
    return rdb.length(_STRING) + rdb.string(text, is_compressed)


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


def load_vectors(reader: Reader) -> VectorSet:
    """A value of a module, from its id on. ValueError: of another module, or it does not hold together."""
    if reader.length() != MODULE_ID:
        raise ValueError("a value of a module that is not here")
    value, count, has_attributes = _head(reader)
    ids: dict[int, int] = {}
    for number in range(count):
        name = _read_string(reader)
        attributes = _read_string(reader) if has_attributes else b""
        raw = _read_string(reader)
        id, layers, norm, range_ = _node(_parameters(reader))
        if id in ids or name in value:
            raise ValueError("an element twice")
        ids[id] = number
        value.restore(name, value.space.from_raw(raw, norm, range_), attributes, layers)
    if reader.length() != _END:
        raise ValueError("a module's value without an end")
    value.graph.links = _resolved(value.graph.links, ids)
    value.graph.enter(max(ids))
    return value


def _head(reader: Reader) -> tuple[VectorSet, int, bool]:
    dimension, count, kind, flags = [_read_number(reader) for _ in range(4)]
    format, links = kind & 0xFF, kind >> 8
    if not 1 <= dimension <= MAX_DIMENSION or format not in NAMES or not 1 <= links <= MAX_LINKS:
        raise ValueError("a vector set of no possible kind")
    if not 1 <= count <= reader.left:
        raise ValueError("a vector set of no possible size")
    given = 0
    if flags & _IS_PROJECTED:
        given = _read_number(reader)
        matrix = _read_string(reader)
        if not dimension <= given <= MAX_DIMENSION or len(matrix) != 4 * given * dimension:
            raise ValueError("a projection of no possible kind")
        if matrix != projection_matrix(given, dimension):
            raise ValueError("a projection by another matrix")
    return VectorSet(dimension, format, links, given), count, bool(flags & _HAS_ATTRIBUTES)


def _read_number(reader: Reader) -> int:
    if reader.length() != _NUMBER:
        raise ValueError("a module's value without a number")
    return reader.length()


def _read_string(reader: Reader) -> bytes:
    if reader.length() != _STRING:
        raise ValueError("a module's value without a string")
    return reader.string()


def _parameters(reader: Reader) -> list[int]:
    count = _read_number(reader)
    if not _LEAST_PARAMETERS <= count <= reader.left:
        raise ValueError("a node of no possible size")
    return [_read_number(reader) for _ in range(count)]


def _node(parameters: list[int]) -> tuple[int, list[array[int]], float, float]:
    """(id, ids of the links of each layer, norm, range)."""
    id, kind = parameters[:2]
    level, version = kind & 0xFF, kind >> 24
    if id < 1 or level > MAX_LEVEL or version > _NODE_VERSION_1:
        raise ValueError("a node of no possible kind")
    at = 2
    layers: list[array[int]] = []
    for _ in range(level + 1):
        links, room = parameters[at : at + 2]
        at += 2
        if not links <= room <= _MOST_ROOM or at + links >= len(parameters):
            raise ValueError("links of no possible number")
        layers.append(array("Q", parameters[at : at + links]))
        at += links + version
    if at != len(parameters) - 1:
        raise ValueError("a node with something left over")
    norm, range_ = struct.unpack("<ff", parameters[at].to_bytes(8, "little"))
    if norm <= 0:
        raise ValueError("a vector of no possible length")
    return id, layers, norm, range_


def _resolved(links: list[list[array[int]]], ids: dict[int, int]) -> list[list[array[int]]]:
    """Links by number instead of by id."""
    found: list[list[array[int]]] = []
    for layers in links:
        try:
            found.append([array("I", [ids[id] for id in layer]) for layer in layers])
        except KeyError:
            raise ValueError("a link to nowhere") from None
    sets = [[set(layer) for layer in layers] for layers in found]
    for number, layers in enumerate(found):
        for layer, others in enumerate(layers):
            if len(sets[number][layer]) != len(others) or number in others:
                raise ValueError("a link twice, or to itself")
            for other in others:
                if len(sets[other]) <= layer or number not in sets[other][layer]:
                    raise ValueError("a link that is not mutual")
    return found
