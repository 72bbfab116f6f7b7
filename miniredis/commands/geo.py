"""Places: sorted sets whose scores are geohashes (structures/geohash.py)."""

from __future__ import annotations

from math import isfinite
from typing import Final, NamedTuple

from miniredis.commands.zset_algebra import store
from miniredis.commands.zsets import zadd
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, READONLY, WRITE, KeySpec, command
from miniredis.structures import geohash
from miniredis.structures.geohash import Shape
from miniredis.structures.partial_sort import partial_order
from miniredis.structures.zset import SortedSet
from protocol.resp.numbers import LongDouble, format_long_double
from protocol.resp.values import NULL_ARRAY, Double, Failure, Reply

_UNITS: Final = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}  # meters
_UNIT: Final = "unit=<M | KM | FT | MI>"
_SHOWN: Final = "[WITHCOORD] [WITHDIST] [WITHHASH]"
_ORDER: Final = "order=[ASC | DESC]"
_COUNT: Final = "count-block=[COUNT= count:integer [ANY]]"
_NEW_COUNT: Final = "count-block=[COUNT= count:integer [ANY] @6.2.0]"
_WHERE: Final = (
    "from=<FROMMEMBER member | FROMLONLAT <longitude:double latitude:double>> "
    f"by=<circle=<BYRADIUS= radius:double {_UNIT}> | box=<BYBOX= width:double height:double {_UNIT}>>"
)
_STORE: Final = "store=[STORE storekey:key/key | STOREDIST storedistkey:key/key]"
_CAPITALS: Final = (("7.0.0", "Capital units were added."),)
_ADDED: Final = (("6.2.0", "ANY was added to COUNT."), *_CAPITALS)
_COMPLEXITY: Final = "O(N+log(M)), N members near the place, M members in the sorted set"
_INT64_MIN: Final = -0x8000000000000000


@command(
    "GEOADD key condition=[NX | XX] @6.2.0 change=[CH] @6.2.0 longitude:double latitude:double member "
    "[longitude:double latitude:double member ...]", WRITE | DENYOOM, since="3.2.0", keys="RW update",
    complexity="O(log(N)) for each member", history=(("6.2.0", "CH, NX and XX were added."),),
)  # fmt: skip
def geoadd(call: Call) -> Reply:
    """Add places to a sorted set, or move them."""
    argv = call.argv
    first = 2
    while first < len(argv) and argv[first].upper() in (b"NX", b"XX", b"CH"):
        first += 1
    options = {word.upper() for word in argv[2:first]}
    if (len(argv) - first) % 3 or {b"NX", b"XX"} <= options:
        raise Failure(SYNTAX_ERROR)
    told = [b"zadd", *argv[1:first]]
    for at in range(first, len(argv), 3):
        told += (b"%d" % geohash.encode(*_place(call, at)), argv[at + 2])
    call.argv = told
    try:
        reply = zadd(call)
    finally:
        call.argv = argv  # the slow log shows what was called
    if call.db.dirty:
        call.replicate(*told)
    return reply


@command("GEOPOS key [member [member ...]]", READONLY, since="3.2.0", complexity="O(1) for each member")
def geopos(call: Call) -> Reply:
    """Return longitude and latitude of members."""
    scores = _scores(call)
    return [NULL_ARRAY if score is None else _shown_place(*geohash.decode(score)) for score in scores]


@command("GEOHASH key [member [member ...]]", READONLY, since="3.2.0", complexity="O(1) for each member")
def geohash_(call: Call) -> Reply:
    """Return the geohashes of members as others write them."""
    return [None if score is None else geohash.text(*geohash.decode(score)) for score in _scores(call)]


@command("GEODIST key member1 member2 unit=[M | KM | FT | MI]", READONLY, since="3.2.0")
def geodist(call: Call) -> Reply:
    """Return the distance between two members, in meters or another unit."""
    argv = call.argv
    if len(argv) > 5:
        raise Failure(SYNTAX_ERROR)
    unit = _unit(argv[4]) if len(argv) == 5 else 1.0
    zset = call.db.typed(argv[1], SortedSet)
    if zset is None:
        return None
    one, other = zset.score(argv[2]), zset.score(argv[3])
    if one is None or other is None:
        return None
    return _shown_distance(geohash.distance(*geohash.decode(one), *geohash.decode(other)) / unit)


def _scores(call: Call) -> list[float | None]:
    zset = call.db.typed(call.argv[1], SortedSet)
    return [None if zset is None else zset.score(member) for member in call.argv[2:]]


# Searching.


def _storing(options_at: int) -> tuple[KeySpec, ...]:
    targets = [KeySpec(options_at, flags="OW update", keyword=keyword) for keyword in ("STORE", "STOREDIST")]
    return KeySpec(1), *targets


@command(
    f"GEORADIUS key longitude:double latitude:double radius:double {_UNIT} {_SHOWN} {_NEW_COUNT} {_ORDER} {_STORE}",
    WRITE | DENYOOM, since="3.2.0", complexity=_COMPLEXITY, history=_ADDED,
    key_specs=_storing(6),
    deprecated=("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"),
)  # fmt: skip
def georadius(call: Call) -> Reply:
    """Find the members within a distance of a place, and return or store them."""
    return _Search(call, 1).around_place(may_store=True)


@command(
    f"GEORADIUS_RO key longitude:double latitude:double radius:double {_UNIT} {_SHOWN} {_NEW_COUNT} {_ORDER}",
    READONLY, since="3.2.10", complexity=_COMPLEXITY, history=_ADDED,
    deprecated=("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
)  # fmt: skip
def georadius_ro(call: Call) -> Reply:
    """Find the members within a distance of a place."""
    return _Search(call, 1).around_place(may_store=False)


@command(
    f"GEORADIUSBYMEMBER key member radius:double {_UNIT} {_SHOWN} {_COUNT} {_ORDER} {_STORE}",
    WRITE | DENYOOM, since="3.2.0", complexity=_COMPLEXITY, history=_ADDED,
    key_specs=_storing(5),
    deprecated=("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"),
)  # fmt: skip
def georadiusbymember(call: Call) -> Reply:
    """Find the members within a distance of one of them, and return or store them."""
    return _Search(call, 1).around_member(may_store=True)


@command(
    f"GEORADIUSBYMEMBER_RO key member radius:double {_UNIT} {_SHOWN} {_COUNT} {_ORDER}",
    READONLY, since="3.2.10", complexity=_COMPLEXITY, history=_ADDED,
    deprecated=("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"),
)  # fmt: skip
def georadiusbymember_ro(call: Call) -> Reply:
    """Find the members within a distance of one of them."""
    return _Search(call, 1).around_member(may_store=False)


@command(
    f"GEOSEARCH key {_WHERE} {_ORDER} {_COUNT} {_SHOWN}", READONLY, since="6.2.0", complexity=_COMPLEXITY,
    history=_CAPITALS,
)  # fmt: skip
def geosearch(call: Call) -> Reply:
    """Find the members within a circle or a box."""
    return _Search(call, 1).anywhere(2)


@command(
    f"GEOSEARCHSTORE destination:key source:key {_WHERE} {_ORDER} {_COUNT} [STOREDIST]", WRITE | DENYOOM,
    since="6.2.0", complexity=_COMPLEXITY, keys="OW update | RO access",
    history=_CAPITALS,
)  # fmt: skip
def geosearchstore(call: Call) -> Reply:
    """Store the members within a circle or a box as another sorted set."""
    search = _Search(call, 2)
    search.target = call.argv[1]
    search.event = b"geosearchstore"
    return search.anywhere(3)


class _Found(NamedTuple):
    member: bytes
    score: float
    meters: float
    longitude: float
    latitude: float


class _Search:
    """One search of whatever name. Words are read in the order in which Redis finds fault with them."""

    __slots__ = (
        "any_will_do", "call", "count", "event", "is_searching", "keeps_distance", "may_store", "order", "place",
        "size", "target", "unit", "words", "zset",
    )  # fmt: skip

    def __init__(self, call: Call, source: int) -> None:
        self.call = call
        self.zset = call.db.typed(call.argv[source], SortedSet)
        self.place: tuple[float, float] | None = None
        self.size: tuple[float, ...] | None = None  # a radius, or width and height, in units
        self.unit = 1.0  # meters
        self.words: set[bytes] = set()  # of WITHDIST, WITHHASH, WITHCOORD
        self.order = b""
        self.count = 0
        self.any_will_do = False
        self.target: bytes | None = None
        self.keeps_distance = False
        self.may_store = False
        self.is_searching = False  # GEOSEARCH and GEOSEARCHSTORE: place and size are among the options
        self.event = b"georadiusstore"

    def around_place(self, may_store: bool) -> Reply:
        self.may_store = may_store
        self.place = _place(self.call, 2)
        self._read_radius(4)
        return self._answer(6)

    def around_member(self, may_store: bool) -> Reply:
        self.may_store = may_store
        if self.zset is not None:
            self._read_member(2)
            self._read_radius(3)
        return self._answer(5)

    def anywhere(self, at: int) -> Reply:
        self.is_searching = True
        return self._answer(at)

    # Reading.

    def _read_radius(self, at: int) -> None:
        radius = self.call.float(at, "ERR need numeric radius")
        if radius < 0:
            raise Failure("ERR radius cannot be negative")
        self.size = (radius,)
        self.unit = _unit(self.call.argv[at + 1])

    def _read_box(self, at: int) -> None:
        width = self.call.float(at, "ERR need numeric width")
        height = self.call.float(at + 1, "ERR need numeric height")
        if width < 0 or height < 0:
            raise Failure("ERR height or width cannot be negative")
        self.size = (width, height)
        self.unit = _unit(self.call.argv[at + 2])

    def _read_member(self, at: int) -> None:
        if self.zset is None:
            self.place = (0.0, 0.0)  # nothing will be searched
            return
        score = self.zset.score(self.call.argv[at])
        if score is None:
            raise Failure("ERR could not decode requested zset member")
        self.place = geohash.decode(score)

    def _read_options(self, at: int) -> None:
        end = len(self.call.argv)
        by: set[bytes] = set()
        while at < end:
            at += self._read_option(self.call.option(at), at, end - at - 1, by)

    def _read_option(self, option: bytes, at: int, left: int, by: set[bytes]) -> int:
        """How many words it took. `by`: which ways of saying where and how far have been used."""
        call = self.call
        if option in (b"WITHDIST", b"WITHHASH", b"WITHCOORD"):
            self.words.add(option)
        elif option == b"ANY":
            self.any_will_do = True
        elif option in (b"ASC", b"DESC"):
            self.order = option
        elif option == b"COUNT" and left >= 1:
            self.count = call.integer(at + 1)
            if self.count <= 0:
                raise Failure("ERR COUNT must be > 0")
            return 2
        elif option in (b"STORE", b"STOREDIST") and left >= 1 and self.may_store:
            self.target = call.argv[at + 1]
            self.keeps_distance = option == b"STOREDIST"
            return 2
        elif option == b"STOREDIST" and self.is_searching and self.target is not None:
            self.keeps_distance = True
        elif self.is_searching:
            return self._read_where(option, at, left, by)
        else:
            raise Failure(SYNTAX_ERROR)
        return 1

    def _read_where(self, option: bytes, at: int, left: int, by: set[bytes]) -> int:
        if option == b"FROMMEMBER" and left >= 1 and b"FROMLONLAT" not in by:
            self._read_member(at + 1)
            words = 2
        elif option == b"FROMLONLAT" and left >= 2 and b"FROMMEMBER" not in by:
            self.place = _place(self.call, at + 1)
            words = 3
        elif option == b"BYRADIUS" and left >= 2 and b"BYBOX" not in by:
            self._read_radius(at + 1)
            words = 3
        elif option == b"BYBOX" and left >= 3 and b"BYRADIUS" not in by:
            self._read_box(at + 1)
            words = 4
        else:
            raise Failure(SYNTAX_ERROR)
        by.add(option)
        return words

    def _check(self) -> None:
        name = self.call.argv[0]
        if self.target is not None and self.words:
            who = b"GEOSEARCHSTORE" if self.is_searching else b"STORE option in GEORADIUS"
            raise Failure(b"ERR %b is not compatible with WITHDIST, WITHHASH and WITHCOORD options" % who)
        if self.is_searching and self.place is None:
            raise Failure(b"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %b" % name)
        if self.is_searching and self.size is None:
            raise Failure(b"ERR exactly one of BYRADIUS and BYBOX can be specified for %b" % name)
        if self.any_will_do and not self.count:
            raise Failure("ERR the ANY argument requires COUNT argument")

    # Answering.

    def _answer(self, at: int) -> Reply:
        self._read_options(at)
        self._check()
        found = self._found()
        if self.target is None:
            return [self._shown(one) for one in found]
        scores = {one.member: one.meters / self.unit if self.keeps_distance else one.score for one in found}
        count = store(self.call, self.target, scores, self.event)
        if count:
            self.call.db.dirty += count - 1
        return count

    def _found(self) -> list[_Found]:
        zset = self.zset
        if zset is None or self.place is None or self.size is None:
            return []
        sizes = [size * self.unit for size in self.size]
        shape = Shape(*self.place, *sizes) if len(sizes) == 1 else Shape(*self.place, 0.0, *sizes)
        found = _members(zset, shape, self.count if self.any_will_do else 0)
        order = self.order or (b"ASC" if self.count and not self.any_will_do else b"")
        if order and 0 < self.count < len(found):
            sign = -1 if order == b"DESC" else 1
            places = partial_order([sign * one.meters for one in found], 0, self.count - 1)
            return [found[place] for place in places[: self.count]]
        if order:
            found.sort(key=_meters, reverse=order == b"DESC")
        return found[: self.count] if self.count else found

    def _shown(self, one: _Found) -> Reply:
        if not self.words:
            return one.member
        shown: list[Reply] = [one.member]
        if b"WITHDIST" in self.words:
            shown.append(_shown_distance(one.meters / self.unit))
        if b"WITHHASH" in self.words:
            shown.append(int(one.score) if isfinite(one.score) else _INT64_MIN)
        if b"WITHCOORD" in self.words:
            shown.append(_shown_place(one.longitude, one.latitude))
        return shown


def _meters(one: _Found) -> float:
    return one.meters


def _members(zset: SortedSet, shape: Shape, most: int) -> list[_Found]:
    """The members in a shape, box by box; `most` ends the search early, 0 never."""
    found: list[_Found] = []
    searched: geohash.Box | None = None
    for place, box in enumerate(geohash.boxes(shape)):
        # Around the globe neighbours may be one and the same; the first is not remembered, as in Redis.
        if box == searched:
            continue
        if most and len(found) >= most:
            break
        shift = 2 * (geohash.STEPS - box.step)
        low, high = box.bits << shift, box.bits + 1 << shift
        start, stop = zset.count_below(low, False), zset.count_below(high, False)
        for member, score in zset.pairs(start, stop):
            longitude, latitude = geohash.decode(score)
            meters = geohash.within(shape, longitude, latitude)
            if meters is not None:
                found.append(_Found(member, score, meters, longitude, latitude))
                if most and len(found) >= most:
                    break
        searched = box if place else None
    return found


def _place(call: Call, at: int) -> tuple[float, float]:
    longitude, latitude = call.float(at), call.float(at + 1)
    if abs(longitude) > geohash.LONGITUDE_MAX or abs(latitude) > geohash.LATITUDE_MAX:
        raise Failure(f"ERR invalid longitude,latitude pair {longitude:f},{latitude:f}")
    return longitude, latitude


def _unit(word: bytes) -> float:
    """How many meters it is."""
    unit = _UNITS.get(word.upper())
    if unit is None:
        raise Failure("ERR unsupported unit provided. please use M, KM, FT, MI")
    return unit


def _shown_distance(number: float) -> bytes:
    """With four digits after the point; what does not fit a 64-bit integer is the least one, as there."""
    scaled = round(number * 10000) if isfinite(number * 10000) else _INT64_MIN
    if not _INT64_MIN <= scaled < 1 << 63:
        scaled = _INT64_MIN
    whole, rest = divmod(abs(scaled), 10000)
    return b"%b%d.%04d" % (b"-" if scaled < 0 else b"", whole, rest)


def _shown_place(longitude: float, latitude: float) -> Reply:
    return [_shown_degrees(longitude), _shown_degrees(latitude)]


def _shown_degrees(number: float) -> Double:
    """All digits of a long double: a double is one exactly."""
    over, under = number.as_integer_ratio()
    return Double(format_long_double(LongDouble(over, 1 - under.bit_length())))
