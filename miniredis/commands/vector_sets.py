"""Vector sets, new in Redis 8.0: elements with vectors, asked for by likeness.

What is said here of replies and faults is from the documentation and the sources of Redis 8: a request is read before
the key is looked at by VADD, and after it by VSIM.

A score is 1 - distance / 2, of floats of 32 bits as the real one's are: 1 the same direction, 0 the opposite one.
CAS and NOTHREAD say in which thread a real server works; here there is one, and the outcome is the same.
"""

from __future__ import annotations

import struct
from array import array
from math import isfinite
from typing import Final

from miniredis.commands.shared import OUT_OF_RANGE, RANDOM_REPETITIONS
from miniredis.engine.call import Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.structures.proximity_graph import DEFAULT_BUILD_BREADTH, DEFAULT_LINKS, MAX_LINKS, MIN_LINKS
from miniredis.structures.vector_filter import Filter, FilterError
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.vectors import BIN, F32, INT8, MAX_DIMENSION, NAMES, Vector, single
from protocol.resp.numbers import parse_float, parse_int
from protocol.resp.values import NULL_ARRAY, Failure, Reply, Status

BAD_VECTOR: Final = "ERR invalid vector specification"
MAX_BREADTH: Final = 1_000_000  # of EF
DEFAULT_SEARCH_BREADTH: Final = 100
DEFAULT_COUNT: Final = 10
# Nodes gone on from for each element wanted, where a FILTER may refuse many.
FILTER_EFFORT: Final = 100
FARTHEST: Final = 2.0

_FORMATS: Final = {b"NOQUANT": F32, b"Q8": INT8, b"BIN": BIN}
_UID_BITS: Final = 32


def _wrong_arity(call: Call) -> Failure:
    name = call.argv[0].decode("utf-8", "surrogateescape")
    return Failure(f"ERR wrong number of arguments for '{name}' command")


def _number(call: Call, at: int, low: int, high: int, error: str) -> int:
    """An integer within these bounds."""
    number = call.integer(at, error)
    if not low <= number <= high:
        raise Failure(error)
    return number


# ── vectors in requests ────────────────────────────────────────────────────────────────────────────────


def _components(argv: list[bytes], at: int) -> tuple[array[float], int]:
    """`FP32 blob` or `VALUES num value ...` from argv[at] on: the components, and where the next word is. Failure."""
    form = argv[at].upper() if at < len(argv) else b""
    if at + 1 >= len(argv) or form not in (b"FP32", b"VALUES"):
        raise Failure(BAD_VECTOR)
    try:
        if form == b"FP32":
            components, after = _blob(argv[at + 1]), at + 2
        else:
            components, after = _values(argv, at + 1)
    except ValueError:
        raise Failure(BAD_VECTOR) from None
    if not all(map(isfinite, components)):
        raise Failure(BAD_VECTOR)
    return components, after


def _blob(blob: bytes) -> array[float]:
    count, rest = divmod(len(blob), 4)
    if rest or not 1 <= count <= MAX_DIMENSION:
        raise ValueError("blob")
    return array("f", struct.unpack(f"<{count}f", blob))


def _values(argv: list[bytes], at: int) -> tuple[array[float], int]:
    count = parse_int(argv[at])
    after = at + 1 + count
    if not 1 <= count <= MAX_DIMENSION or after > len(argv):
        raise ValueError("values")
    return array("f", [parse_float(text) for text in argv[at + 1 : after]]), after


def _mismatch(got: int, has: int) -> Failure:
    return Failure(f"ERR Vector dimension mismatch - got {got} but set has {has}")


def _wrong_input(got: int, wanted: int) -> Failure:
    return Failure(f"ERR Input dimension mismatch for projection - got {got} but projection expects {wanted}")


# ── elements ───────────────────────────────────────────────────────────────────────────────────────────


class _Addition:
    """What a VADD asks for."""

    __slots__ = ("attributes", "breadth", "components", "element", "format", "links", "reduced")

    def __init__(self, call: Call) -> None:
        argv = call.argv
        at, self.reduced = 2, 0
        if argv[2].upper() == b"REDUCE" and len(argv) > 4:
            self.reduced = _number(call, 3, 1, (1 << 63) - 1, BAD_VECTOR)
            at = 4
        self.components, at = _components(argv, at)
        if self.reduced > len(self.components):
            raise Failure(BAD_VECTOR)
        if at >= len(argv):
            raise _wrong_arity(call)
        self.element = argv[at]
        self.format, self.links, self.breadth = INT8, DEFAULT_LINKS, DEFAULT_BUILD_BREADTH
        self.attributes: bytes | None = None
        self._read_options(call, at + 1)

    def _read_options(self, call: Call, at: int) -> None:
        argv = call.argv
        while at < len(argv):
            word = call.option(at)
            has_value = at + 1 < len(argv)
            if word == b"EF" and has_value:
                self.breadth = _number(call, at + 1, 1, MAX_BREADTH, "ERR invalid EF")
            elif word == b"M" and has_value:
                self.links = _number(call, at + 1, MIN_LINKS, MAX_LINKS, "ERR invalid M")
            elif word == b"SETATTR" and has_value:
                self.attributes = argv[at + 1]
            elif word in _FORMATS:
                self.format = _FORMATS[word]
                at -= 1
            elif word == b"CAS":
                at -= 1
            else:
                raise Failure("ERR invalid option after element")
            at += 2

    def check(self, vectors: VectorSet) -> None:
        """Failure: the set that is there is of another kind."""
        given = len(self.components)
        if vectors.space.format != self.format:
            raise Failure("ERR asked quantization mismatch with existing vector set")
        if vectors.graph.links_per_layer != self.links:
            raise Failure("ERR asked M value mismatch with existing vector set")
        if vectors.dimension != (self.reduced if vectors.input_dimension else given):
            raise _mismatch(given, vectors.dimension)
        if self.reduced and not vectors.input_dimension:
            raise Failure("ERR cannot add projection to existing set without projection")
        if vectors.input_dimension and given != vectors.input_dimension:
            raise _wrong_input(given, vectors.input_dimension)

    def new_set(self) -> VectorSet:
        given = len(self.components)
        if self.reduced:
            return VectorSet(self.reduced, self.format, self.links, given)
        return VectorSet(given, self.format, self.links)


@command("VADD key [REDUCE dim:integer] format=<FP32 | VALUES> vector element [CAS] "
         "quant_type=[NOQUANT | BIN | Q8] [EF build-exploration-factor:integer] [SETATTR attributes] "
         "[M numlinks:integer]", WRITE | DENYOOM, since="8.0.0", keys="RW insert",
         complexity="O(log(N)) for N elements in the set")  # fmt: skip
def vadd(call: Call) -> Reply:
    """Give an element of a vector set its vector; the set is made if need be."""
    wanted = _Addition(call)
    key = call.argv[1]
    vectors = call.db.typed(key, VectorSet, write=True)
    if vectors is None:
        vectors = wanted.new_set()
        call.db.put(key, vectors)
    else:
        wanted.check(vectors)
    is_new = vectors.put(wanted.element, wanted.components, wanted.breadth, call.random)
    if wanted.attributes is not None:
        vectors.annotate(wanted.element, wanted.attributes)
    _note_change(call, key)
    return is_new


def _note_change(call: Call, key: bytes) -> None:
    """Touched and counted, without an event: a vector set tells of none."""
    call.db.dirty += 1
    call.db.touch(key)


@command("VREM key element", WRITE, since="8.0.0", keys="RW delete",
         complexity="O(log(N)) for N elements in the set")  # fmt: skip
def vrem(call: Call) -> Reply:
    """Remove an element from a vector set; a set without elements ceases to exist."""
    key = call.argv[1]
    vectors = call.db.typed(key, VectorSet, write=True)
    if vectors is None or not vectors.remove(call.argv[2]):
        return False
    _note_change(call, key)
    if not len(vectors):
        call.db.delete(key)
    return True


@command("VSETATTR key element json", WRITE | FAST, since="8.0.0", keys="RW update")
def vsetattr(call: Call) -> Reply:
    """Set an element's attributes, or take them away with an empty text."""
    _, key, element, attributes = call.argv
    vectors = call.db.typed(key, VectorSet, write=True)
    if vectors is None or element not in vectors:
        return False
    vectors.annotate(element, attributes)
    _note_change(call, key)
    return True


@command("VGETATTR key element", READONLY | FAST, since="8.0.0", keys="RO access")
def vgetattr(call: Call) -> Reply:
    """Return an element's attributes."""
    vectors = call.db.typed(call.argv[1], VectorSet)
    return None if vectors is None else vectors.attributes.get(call.argv[2])


@command("VISMEMBER key element", READONLY, since="8.2.0", keys="RO")
def vismember(call: Call) -> Reply:
    """Tell whether something is an element of a vector set."""
    vectors = call.db.typed(call.argv[1], VectorSet)
    return vectors is not None and call.argv[2] in vectors


@command("VCARD key", READONLY | FAST, since="8.0.0", keys="RO")
def vcard(call: Call) -> Reply:
    """Count the elements of a vector set."""
    vectors = call.db.typed(call.argv[1], VectorSet)
    return 0 if vectors is None else len(vectors)


@command("VDIM key", READONLY | FAST, since="8.0.0", keys="RO")
def vdim(call: Call) -> Reply:
    """Tell how many components the vectors of a set have."""
    vectors = call.db.typed(call.argv[1], VectorSet)
    if vectors is None:
        raise Failure("ERR key does not exist")
    return vectors.dimension


@command("VEMB key element [RAW]", READONLY | FAST, since="8.0.0", keys="RO access")
def vemb(call: Call) -> Reply:
    """Return about the vector an element was given, or what is stored of it."""
    argv = call.argv
    if any(word.upper() != b"RAW" for word in argv[3:]):
        raise Failure("ERR invalid option")
    vectors = call.db.typed(argv[1], VectorSet)
    vector = None if vectors is None else vectors.vector(argv[2])
    if vectors is None or vector is None:
        return None
    space = vectors.space
    if len(argv) == 3:
        return space.decode(vector)
    raw: list[Reply] = [Status(NAMES[space.format]), space.raw(vector), vector.norm]
    if space.format == INT8:
        raw.append(vector.range)
    return raw


@command("VRANDMEMBER key [count:integer]", READONLY, since="8.0.0", keys="RO access",
         tips=("nondeterministic_output",), complexity="O(N) for N elements asked for")  # fmt: skip
def vrandmember(call: Call) -> Reply:
    """Return elements by chance: different ones, or with a negative count any number of times."""
    if len(call.argv) > 3:
        raise _wrong_arity(call)
    has_count = len(call.argv) == 3
    count = call.integer(2, "ERR COUNT value is not an integer") if has_count else 1
    if has_count and not count:
        return []
    vectors = call.db.typed(call.argv[1], VectorSet)
    if vectors is None:
        return [] if has_count else None
    elements = vectors.elements()
    if not has_count:
        return call.random.choice(elements)
    if count > 0:
        return call.random.sample(elements, min(count, len(elements)))
    if count < -RANDOM_REPETITIONS:
        raise Failure(OUT_OF_RANGE)
    return call.random.choices(elements, k=-count)


# ── likeness ───────────────────────────────────────────────────────────────────────────────────────────


class _Search:
    """The options of a VSIM."""

    __slots__ = ("breadth", "count", "effort", "epsilon", "filter", "is_exact", "with_attributes", "with_scores")

    def __init__(self, call: Call, at: int) -> None:
        self.breadth = self.effort = 0
        self.count = DEFAULT_COUNT
        self.epsilon = FARTHEST
        self.filter: Filter | None = None
        self.is_exact = self.with_attributes = self.with_scores = False
        argv = call.argv
        while at < len(argv):
            if self._is_switch(call.option(at)):
                at += 1
            elif at + 1 < len(argv) and self._takes_value(call, at):
                at += 2
            else:
                raise Failure("ERR syntax error in VSIM command")
        self.breadth = max(self.breadth or DEFAULT_SEARCH_BREADTH, self.count)
        self.effort = self.effort or self.count * FILTER_EFFORT

    def _is_switch(self, word: bytes) -> bool:
        if word == b"WITHSCORES":
            self.with_scores = True
        elif word == b"WITHATTRIBS":
            self.with_attributes = True
        elif word == b"TRUTH":
            self.is_exact = True
        else:
            return word == b"NOTHREAD"
        return True

    def _takes_value(self, call: Call, at: int) -> bool:
        word = call.option(at)
        highest = (1 << 63) - 1
        if word == b"COUNT":
            self.count = _number(call, at + 1, 1, highest, "ERR invalid COUNT")
        elif word == b"EPSILON":
            self.epsilon = call.float(at + 1, "ERR invalid EPSILON")
            if self.epsilon <= 0:
                raise Failure("ERR invalid EPSILON")
        elif word == b"EF":
            self.breadth = _number(call, at + 1, 1, highest, "ERR invalid EF")
        elif word == b"FILTER-EF":
            self.effort = _number(call, at + 1, 1, highest, "ERR invalid FILTER-EF")
        elif word == b"FILTER":
            self.filter = _filter(call.argv[at + 1])
        else:
            return False
        return True

    def run(self, vectors: VectorSet, query: Vector) -> list[tuple[bytes, float]]:
        """(element, score), the most alike first."""
        accepts = None if self.filter is None else self.filter.accepts
        breadth = min(self.breadth, len(vectors))
        found = vectors.search(query, breadth, accepts, self.effort, is_exact=self.is_exact)
        scored = [(element, vectors.distance(query, element) / 2) for _, element in found[: self.count]]
        return [(element, 1.0 - half) for element, half in scored if half <= self.epsilon]


def _filter(expression: bytes) -> Filter:
    try:
        return Filter(expression)
    except FilterError as error:
        rest = expression[error.at :] or expression
        raise Failure(b"ERR syntax error in FILTER expression near: " + rest.partition(b"\0")[0]) from None


def _query(vectors: VectorSet, argv: list[bytes]) -> tuple[Vector, int]:
    """What to look for, and where the options begin."""
    if argv[2].upper() == b"ELE":
        vector = vectors.vector(argv[3])
        if vector is None:
            raise Failure("ERR element not found in set")
        # As if the client had read it with VEMB and sent it back, which is what the real one does.
        return vectors.space.encode(array("f", vectors.space.decode(vector))), 4
    components, at = _components(argv, 2)
    given = len(components)
    if given != vectors.dimension:
        if not vectors.input_dimension:
            raise _mismatch(given, vectors.dimension)
        if given != vectors.input_dimension:
            raise _wrong_input(given, vectors.input_dimension)
    return vectors.query(components), at


@command("VSIM key format=<ELE | FP32 | VALUES> vector_or_element [WITHSCORES] [WITHATTRIBS] @8.2.0 "
         "[COUNT count:integer] [EPSILON max_distance:double] [EF search-exploration-factor:integer] "
         "[FILTER expression] [FILTER-EF max-filtering-effort:integer] [TRUTH] [NOTHREAD]", READONLY,
         since="8.0.0", keys="RO access", complexity="O(log(N)) for N elements in the set",
         history=(("8.2.0", "Takes `WITHATTRIBS`."),))  # fmt: skip
def vsim(call: Call) -> Reply:
    """Return the elements whose vectors are most alike to a given one."""
    vectors = call.db.typed(call.argv[1], VectorSet)
    if vectors is None:
        return []
    query, at = _query(vectors, call.argv)
    search = _Search(call, at)
    found = search.run(vectors, query)
    attributes = vectors.attributes
    if search.with_scores and search.with_attributes:
        if call.resp == 2:
            return [part for element, score in found for part in (element, score, attributes.get(element))]
        return {element: [score, attributes.get(element)] for element, score in found}
    if search.with_scores:
        return dict(found)
    if search.with_attributes:
        return {element: attributes.get(element) for element, _ in found}
    return [element for element, _ in found]


# ── how it is built ────────────────────────────────────────────────────────────────────────────────────


@command("VLINKS key element [WITHSCORES]", READONLY | FAST, since="8.0.0", keys="RO access")
def vlinks(call: Call) -> Reply:
    """Return the elements that an element is linked with, layer by layer from the highest."""
    argv = call.argv
    with_scores = len(argv) == 4
    if len(argv) > 4 or (with_scores and argv[3].upper() != b"WITHSCORES"):
        raise _wrong_arity(call)
    vectors = call.db.typed(argv[1], VectorSet)
    if vectors is None or argv[2] not in vectors:
        return None
    layers = vectors.neighbours(argv[2])
    if with_scores:
        return [{element: single(1.0 - distance / 2) for element, distance in layer} for layer in layers]
    return [[element for element, _ in layer] for layer in layers]


@command("VINFO key", READONLY | FAST, since="8.0.0", keys="RO")
def vinfo(call: Call) -> Reply:
    """Tell of what kind a vector set is, and how large."""
    vectors = call.db.typed(call.argv[1], VectorSet)
    if vectors is None:
        return NULL_ARRAY
    if vectors.uid < 0:
        vectors.uid = call.random.getrandbits(_UID_BITS)
    graph = vectors.graph
    return {
        Status("quant-type"): Status(NAMES[vectors.space.format]),
        Status("hnsw-m"): graph.links_per_layer,
        Status("vector-dim"): vectors.dimension,
        Status("projection-input-dim"): vectors.input_dimension,
        Status("size"): len(vectors),
        Status("max-level"): graph.top,
        Status("attributes-count"): len(vectors.attributes),
        Status("vset-uid"): vectors.uid,
        Status("hnsw-max-node-uid"): graph.last_id,
    }


# ── in the order of their names ────────────────────────────────────────────────────────────────────────


def _bound(text: bytes, error: str) -> tuple[bytes, bool, int]:
    """(name, whether it is included, -1 or +1 where it is before or after all names)."""
    if text == b"-":
        return b"", True, -1
    if text == b"+":
        return b"", True, 1
    if text[:1] not in (b"[", b"(") or len(text) == 1:
        raise Failure(error)
    return text[1:], text[:1] == b"[", 0


@command("VRANGE key start end [count:integer]", READONLY, since="8.4.0", keys="RO access",
         complexity="O(N*log(N)) for N elements in the set")  # fmt: skip
def vrange(call: Call) -> Reply:
    """Return the elements whose names are between two others, in their order."""
    argv = call.argv
    if len(argv) > 5:
        raise _wrong_arity(call)
    count = call.integer(4, "ERR invalid COUNT value") if len(argv) == 5 else -1
    low, takes_low, low_end = _bound(argv[2], "ERR invalid start range format")
    high, takes_high, high_end = _bound(argv[3], "ERR invalid end range format")
    if low_end > 0 or high_end < 0:
        raise Failure("ERR '-' can only be used as first argument, '+' only as second")
    vectors = call.db.typed(argv[1], VectorSet)
    if vectors is None:
        return []
    found = sorted([
        element for element in vectors.elements()
        if (element > low or (takes_low and element == low)) and (high_end or element < high
                                                                 or (takes_high and element == high))
    ])  # fmt: skip
    return found if count < 0 else found[:count]
