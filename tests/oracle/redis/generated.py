"""Commands drawn from the declarations, to be played to a real Redis and to ours.

A command's syntax line says what it may look like: every option of every command is drawn from it, over a few keys
whose names begin with their first type, with values that mostly fit and sometimes do not. An `Episode` is a list of
commands that starts on an empty server; it can be played again, and shortened until every command in it is needed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import miniredis.commands  # noqa: F401  for what it declares
from miniredis.engine.registry import CommandTable, Spec, declared
from miniredis.engine.syntax import BLOCK, ONEOF, PURE_TOKEN, Argument

GROUPS = (
    "string", "list", "hash", "set", "sorted-set", "generic", "bitmap", "hyperloglog", "geo", "connection", "stream",
)  # fmt: skip

# What is not drawn, and why.
NOT_DRAWN = {
    "auth": "changes who the client is: access scripts",
    "client": "speaks of connections: its own scripts",
    "hello": "switched per episode",
    "quit": "ends the connection",
    "reset": "ends the episode's protocol version",
    "select": "drawn by the episode itself, so that it knows where it is",
    "dump": "its bytes hold the version of the format",
    "restore": "needs what DUMP gives",
    "migrate": "needs a second server",
    "object": "encodings and clocks are read at the end of a batch",
    "wait": "waits for replicas",
    "waitaof": "waits for replicas",
    "swapdb": "drawn by the episode itself",
    "move": "drawn by the episode itself",
    "pfdebug": "internals",
    "pfselftest": "takes seconds",
}

# Commands are called by a script as well, which converts their replies. (7.0 words the errors of scripts otherwise.)
CALLERS = [
    b"return redis.call(unpack(ARGV))", b"return redis.pcall(unpack(ARGV))",
    b"redis.setresp(3) return redis.call(unpack(ARGV))",
]  # fmt: skip
IN_SCRIPTS = 0.03

# Chance decides what SPOP leaves; ZRANK's new option makes 7.0 refuse the whole transaction.
NOT_IN_TRANSACTIONS = (b"SPOP", b"ZRANK", b"ZREVRANK")

TYPES = {
    "string": "s", "list": "l", "hash": "h", "set": "t", "sorted-set": "z", "bitmap": "s", "hyperloglog": "p",
    "stream": "m", "geo": "g",}  # fmt: skip
FITTING = 0.8  # how often an argument is what it should be
ENOUGH = 25  # draws of an option: until then it is preferred
NAMES = [b"a", b"b", b"c", b"d", b"e", b"1", b"2", b"10", b"-3", b"2.5", b"", b"longer than the others, \x00\xff\r\n"]
# Of every width an integer has in a listpack or an intset, and texts as long as the limits of small encodings.
WIDE = [
    b"127", b"128", b"-1", b"4095", b"-4096", b"4096", b"32767", b"-32769", b"8388607", b"-8388609", b"2147483647",
    b"2147483648", b"-2147483649", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"007",
    b"v" * 44, b"v" * 45, b"v" * 63, b"v" * 64, b"v" * 65, b"v" * 4096,
]  # fmt: skip
INTEGERS = [b"0", b"1", b"2", b"3", b"-1", b"-2", b"5", b"10"]
HUGE = [b"9223372036854775807", b"-9223372036854775808"]
UNFIT_INTEGERS = [*HUGE, b"9223372036854775808", b"x", b"", b"1.5", b"+1", b" 1"]
DOUBLES = [b"0", b"1", b"-1", b"2.5", b"-0.25", b"3", b"10", b"1024", b"inf", b"-inf", b"1e3", b"0.1", b"-4096",
           b"123456789012", b"1e17", b"-1e-7"]  # fmt: skip
UNFIT_DOUBLES = [b"x", b"", b"nan", b"1e400", b" 1", b"1..2", b"0x10"]
PATTERNS = [b"*", b"a*", b"?", b"[a-c]", b"[^a]*", b"s*", b"*1", b"\\a", b"nothing"]
# Seconds, milliseconds and instants that do not end during the run, and some that are over at once. The range is
# wide: with GT and LT two deadlines are compared, which must not depend on the millisecond a server was asked in.
INSTANTS = {
    "seconds": (1_000, 900_000), "milliseconds": (1_000_000, 900_000_000),
    "unix-time-seconds": (9_000_000_000, 9_000_000_003),
    "unix-time-milliseconds": (9_000_000_000_000, 9_000_000_000_003),
}  # fmt: skip
OVER = [b"0", b"-1", b"9223372036854775807", b"x"]
FIELD_TYPES = [b"u8", b"i8", b"u1", b"i5", b"u16", b"i64", b"u63", b"i33"]
UNFIT_FIELD_TYPES = [b"u64", b"i65", b"u0", b"x8", b"i", b"8"]
# Few places, so that something is found near them.
_LENGTHS = [b"0", b"1", b"100", b"200.5", b"1000", b"40000"]
PLACES = {
    "longitude": [b"0", b"1", b"-1", b"2.5", b"179.9", b"-179.9", b"13.361389"],
    "latitude": [b"0", b"1", b"-1", b"2.5", b"84.5", b"-85", b"38.115556"],
    "radius": _LENGTHS, "width": _LENGTHS, "height": _LENGTHS,
}  # fmt: skip
TIMEOUTS = [b"0.01", b"0.001"]
UNFIT_TIMEOUTS = [b"-1", b"x", b"inf", b"", b"1e20"]
BLOCKING_TYPES = {"timeout"}
# Streams: ids mostly rise, times are either nothing or longer than the run.
STREAM_IDS = {"id", "start", "end", "threshold", "last-id", "max-deleted-id", "lastid"}
UNFIT_IDS = [b"x", b"", b"1-2-3", b"18446744073709551616", b"0-0", b"-", b"+", b"18446744073709551615-5"]
IDLE = {"min-idle-time": [b"0", b"0", b"10000000"], "ms": [b"0", b"1", b"100000000"]}
# What 7.2 and later tell otherwise of groups than 7.0: a reader is a consumer from its first attempt, and all that
# follows from it; counters and the ids behind them.
NEW_TO_STREAMS = {"xreadgroup", "xclaim", "xautoclaim", "xgroup", "xinfo", "xsetid"}


def table() -> CommandTable:
    """Every command that is declared."""
    return declared()


def drawable(commands: CommandTable) -> list[Spec]:
    found = []
    for spec in commands.everything():
        name = spec.name.decode()
        is_help = name.endswith("|help")  # in words of our own
        if is_help or int(spec.since.split(".")[0]) >= 8:  # or nothing a 7.4 knows
            continue
        if spec.run is not None and spec.group in GROUPS and name.split("|")[0] not in NOT_DRAWN:
            found.append(spec)
    return sorted(found, key=lambda spec: spec.name)


def without_chance(words: list[bytes]) -> list[bytes]:
    """A SORT without the BY that leaves an order to chance: the one a set has, or that of equal texts."""
    upper = [word.upper() for word in words]
    at = upper.index(b"BY") if b"BY" in upper[:-1] else 0
    if at and (b"ALPHA" in upper if b"*" in words[at + 1] else words[1][:1] == b"t"):
        return words[:at] + words[at + 2 :]
    return words


def is_old_enough(spec: Spec) -> bool:
    """Whether 7.0 knows the command, and as it is today."""
    came = tuple(map(int, spec.since.split(".")))
    return came < (7, 1) and spec.name.decode().split("|")[0] not in NEW_TO_STREAMS


def options(arguments: list[Argument]) -> Iterator[str]:
    """The tokens and optional arguments of a tree: what has to be covered."""
    for argument in arguments:
        if argument.token or argument.is_optional:
            yield argument.token or argument.name
        yield from options(argument.arguments)


class Draw:
    """One seeded source of commands. `is_old`: they are for 7.0 and leave out what would part the two servers' ways.

    `coverage` counts commands and, behind a dot, their options.
    """

    def __init__(self, seed: int, specs: list[Spec] | None = None, *, is_old: bool = False) -> None:
        self.is_old = is_old
        self.chance = random.Random(seed)
        self.specs = specs if specs is not None else drawable(table())
        if is_old:
            self.specs = [spec for spec in self.specs if is_old_enough(spec)]
        self.stream_ms = 10  # ids of streams have come so far
        self.coverage: Counter[str] = Counter()
        for spec in self.specs:
            self.coverage[spec.name.decode()] = 0
            for option in options(spec.syntax.arguments):
                self.coverage[f"{spec.name.decode()}.{option}"] = 0
        self.spec = self.specs[0]
        self.used: list[str] = []

    def command(self) -> list[bytes]:
        """One more command: a rarely drawn one rather than a common one."""
        chance = self.chance
        spec = min(chance.sample(self.specs, min(4, len(self.specs))), key=self.drawn)
        self.spec = spec
        self.used = []
        name = spec.name.decode()
        words = [part.encode() for part in name.upper().split("|")]
        if chance.random() < 0.02:
            words[0] = words[0].lower()
        words += self.sequence(spec.syntax.arguments)
        if chance.random() < 0.02:
            words = words[:-1] if len(words) > 1 and chance.random() < 0.5 else [*words, b"extra"]
        if b"LEX" in spec.name.upper() or any(word.upper() == b"BYLEX" for word in words):
            # Ranges by name are only defined where all scores are equal: these keys nobody else writes.
            words = [b"x" + word[1:] if word in (b"z1", b"z2", b"z3") else word for word in words]
        if spec.name in (b"sort", b"sort_ro"):
            words = without_chance(words)
        self.coverage[name] += 1
        for option in set(self.used):
            self.coverage[f"{name}.{option}"] += 1
        return words

    def drawn(self, spec: Spec) -> int:
        """How often a command was drawn; an eighth of it while some option of it still lacks."""
        count = self.coverage[spec.name.decode()]
        return count // 8 if self.lacks(spec, spec.syntax.arguments) else count

    def lacks(self, spec: Spec, arguments: list[Argument]) -> bool:
        name = spec.name.decode()
        return any(self.coverage[f"{name}.{option}"] < ENOUGH for option in options(arguments))

    def sequence(self, arguments: list[Argument]) -> list[bytes]:
        words: list[bytes] = []
        repeat = 0
        optional = [argument for argument in arguments if argument.is_optional]
        kept = {id(argument) for argument in optional if self.takes(argument)}
        for argument in arguments:
            if argument.is_optional and id(argument) not in kept:
                continue
            if argument.name in ("numkeys", "numfields") and argument.type == "integer":
                repeat = self.chance.choice([1, 1, 2, 2, 3])
                words.append(b"%d" % repeat if self.fits() else self.chance.choice([b"0", b"-1", b"7", b"x"]))
                continue
            words += self.repeated(argument, repeat if argument.type == "key" or argument.name == "field" else 0)
        return words

    def takes(self, argument: Argument) -> bool:
        """Whether an optional argument is drawn this time: sooner while it, or something in it, was seldom drawn."""
        return self.chance.random() < (0.7 if self.lacks(self.spec, [argument]) else 0.3)

    def fits(self) -> bool:
        # The more arguments a command has, the surer each has to be.
        return self.chance.random() < 1 - (1 - FITTING) / 2.5

    def repeated(self, argument: Argument, times: int = 0) -> list[bytes]:
        if not times:
            times = self.chance.choice([1, 1, 2, 3]) if argument.is_multiple else 1
        words: list[bytes] = []
        for place in range(times):
            if argument.token and argument.type != PURE_TOKEN and (place == 0 or argument.repeats_token):
                words += self.token(argument)
            words += self.one(argument)
        if argument.is_optional and not argument.token:
            self.used.append(argument.name)
        return words

    def token(self, argument: Argument) -> list[bytes]:
        assert argument.token is not None
        self.used.append(argument.token)
        word = argument.token.encode()
        if word == b"*":
            return [self.stream_id("auto-id", True)]  # the clock would part the two servers
        return [word.lower() if self.chance.random() < 0.1 else word]

    def one(self, argument: Argument) -> list[bytes]:
        if argument.type == PURE_TOKEN:
            return self.token(argument)
        if argument.type == ONEOF:
            names = self.spec.name.decode()
            rare = sorted(
                self.chance.sample(argument.arguments, len(argument.arguments)),
                key=lambda branch: self.coverage[f"{names}.{branch.token or branch.name}"],
            )
            return self.repeated(rare[0] if self.chance.random() < 0.8 else self.chance.choice(rare))
        if argument.type == BLOCK:
            return self.sequence(argument.arguments)
        return [self.value(argument)]

    def value(self, argument: Argument) -> bytes:
        chance, name = self.chance, argument.name
        fits = self.fits()
        if argument.type == "key":
            return self.key(name)
        if argument.type == "pattern" and self.spec.name in (b"sort", b"sort_ro"):
            return chance.choice([b"s*", b"h*->a", b"#", b"nosort", b"*"])
        if argument.type == "pattern":
            return chance.choice(PATTERNS)
        if self.spec.group == "stream":
            found = self.of_stream(name, fits)
            if found is not None:
                return found
        if argument.type == "unix-time" or name in INSTANTS:
            kind = name if name in INSTANTS else "unix-time-seconds"
            return b"%d" % chance.randrange(*INSTANTS[kind]) if fits else chance.choice(OVER)
        if name in BLOCKING_TYPES:
            return chance.choice(TIMEOUTS if fits else UNFIT_TIMEOUTS)
        if name == "cursor":
            return b"0" if fits else chance.choice([b"x", b"-1", b"18446744073709551616"])
        if argument.type == "integer":
            return self.integer(name, fits)
        if argument.type == "double" and name in PLACES and fits:
            return chance.choice(PLACES[name])
        if argument.type == "double":
            return chance.choice(DOUBLES if fits else UNFIT_DOUBLES)
        return self.string(name, fits)

    def integer(self, name: str, fits: bool) -> bytes:
        if name == "offset" and self.spec.group in ("string", "bitmap"):
            fields = [b"#0", b"#2"] if b"BITFIELD" in self.spec.name.upper() else []
            return self.chance.choice([b"0", b"1", b"7", b"20", *fields] if fits else [b"-1", b"x", b"4294967296"])
        if name in ("bit", "value") and self.spec.name in (b"setbit", b"bitpos") and fits:
            return self.chance.choice([b"0", b"1"])
        if name == "offset" and self.is_old and self.spec.group == "sorted-set":
            # 7.0 gives nothing for a negative offset into a skiplist, 7.2 and later count from the range's end.
            return self.chance.choice([b"0", b"1", b"2"] if fits else [b"x", b"", b"1.5"])
        if name == "destination-db":
            return self.chance.choice([b"0", b"1"] if fits else [b"99", b"x"])
        if self.spec.name in (b"sort", b"sort_ro") and name in ("offset", "count"):
            return self.chance.choice([b"0", b"1", b"3", b"-1"] if fits else UNFIT_INTEGERS)
        if name in ("count", "len", "limit", "num-matches") and fits:
            return self.chance.choice([b"1", b"2", b"3", b"10", b"0"])
        found = self.chance.choice(INTEGERS if fits else UNFIT_INTEGERS)
        if self.is_old and self.spec.name == b"lrem" and found in HUGE:
            return b"100"  # 7.0 takes the least long for "all", 7.2 and later refuse it
        # 7.4.1 cuts the index of LSET to 32 bits and replaces an element that was not meant: a bug not worth having.
        return b"100" if self.spec.name == b"lset" and found in HUGE else found

    def of_stream(self, name: str, fits: bool) -> bytes | None:
        """An argument that only streams have, or that means something else to them."""
        chance = self.chance
        if name == "milliseconds":
            return chance.choice([b"1", b"5"] if fits else [b"-1", b"x"])
        if name in ("group", "consumer"):
            return name[:1].encode() + chance.choice([b"1", b"1", b"2", b"3"])
        if name in IDLE:
            return chance.choice(IDLE[name] if fits else [b"x", b""])
        if name == "threshold" and chance.random() < 0.7:
            return chance.choice([b"0", b"1", b"2", b"3", b"5", b"10"])
        return self.stream_id(name, fits) if name in STREAM_IDS else None

    def stream_id(self, name: str, fits: bool) -> bytes:
        chance = self.chance
        if not fits:
            return chance.choice(UNFIT_IDS)
        if self.spec.name == b"xadd" and name != "threshold":
            self.stream_ms += chance.choice([0, 1, 1, 2])
            return b"%d-%b" % (self.stream_ms, b"*" if name == "auto-id" else chance.choice([b"0", b"1", b"2"]))
        if self.spec.name in (b"xread", b"xreadgroup") and chance.random() < 0.5:
            return b">" if self.spec.name == b"xreadgroup" else b"$"
        ms = chance.randrange(max(self.stream_ms - 30, 0), self.stream_ms + 2)
        bare = chance.choice([b"", b"-0", b"-1", b"-2"])
        open_ = b"(" if name in ("start", "end") and chance.random() < 0.2 else b""
        ends = {"start": b"-", "end": b"+"}
        return ends[name] if name in ends and chance.random() < 0.4 else b"%b%d%b" % (open_, ms, bare)

    def string(self, name: str, fits: bool) -> bytes:
        if name in ("min", "max", "start", "stop"):
            plain = [b"0", b"1", b"-1", b"3", b"5"]
            lexical = [b"-", b"+", b"[a", b"(b", b"[c", b"(a"]
            scores = [b"-inf", b"+inf", b"0", b"(1", b"2.5", b"(3"]
            if b"LEX" in self.spec.name.upper():
                plain = lexical
            elif b"SCORE" in self.spec.name.upper() or self.spec.name in (b"zcount",):
                plain = scores
            elif self.spec.name.startswith(b"zrange"):
                plain = plain * 2 + lexical + scores
            return self.chance.choice(plain if fits else [*lexical, *scores, b"x", b""])
        if name == "encoding":
            return self.chance.choice(FIELD_TYPES if fits else UNFIT_FIELD_TYPES)
        if name == "increment" and not fits:
            return b"x"
        return self.chance.choice(WIDE if self.chance.random() < 0.1 else NAMES)

    def key(self, name: str) -> bytes:
        """A key of the command's own type for the most part, sometimes any other, sometimes one nobody writes."""
        kind = TYPES.get(self.spec.group)
        at = self.chance.random()
        if kind is None or at < 0.06:
            kind = self.chance.choice("slhtzm")
        elif at < 0.10:
            return b"missing"
        if self.spec.group == "generic" and name in ("newkey", "destination"):
            return kind.encode() + self.chance.choice([b"1", b"2", b"3", b"9"])
        return kind.encode() + self.chance.choice([b"1", b"2", b"3"])


SEEDS: list[list[bytes]] = [
    [b"SET", b"s1", b"10"], [b"SET", b"s2", b"abc"], [b"SET", b"s3", b"2.5"],
    [b"RPUSH", b"l1", b"a", b"b", b"c", b"a", b"1"], [b"RPUSH", b"l2", b"a"],
    [b"HSET", b"h1", b"a", b"1", b"b", b"2.5", b"c", b"x"], [b"HSET", b"h2", b"a", b"10"],
    [b"SADD", b"t1", b"a", b"b", b"c"], [b"SADD", b"t2", b"1", b"2", b"10"],
    [b"ZADD", b"z1", b"1", b"a", b"2", b"b", b"3", b"c"], [b"ZADD", b"z2", b"0", b"a", b"0", b"b", b"0", b"c"],
    [b"ZADD", b"x1", *(word for name in NAMES for word in (b"0", name))],
    [b"ZADD", b"x2", b"1", b"a", b"1", b"b", b"1", b"c", b"1", b"d", b"1", b"longer"],
    [b"XADD", b"m1", b"1-1", b"a", b"1", b"b", b"2"], [b"XADD", b"m1", b"2-0", b"a", b"1"],
    [b"XGROUP", b"CREATE", b"m1", b"g1", b"0"], [b"XGROUP", b"CREATE", b"m2", b"g1", b"$", b"MKSTREAM"],
]  # fmt: skip


# Past the usual limits of the small encodings; a few names are those that are drawn.
MANY = [*NAMES[:8], *(b"member:%d" % number for number in range(150))]
LARGE: list[list[bytes]] = [
    [b"RPUSH", b"l3", *(name * 12 for name in MANY)],
    [b"SADD", b"t3", *MANY], [b"SADD", b"t2", *(b"%d" % number for number in range(600))],
    [b"HSET", b"h3", *(word for name in MANY for word in (name, name))],
    [b"ZADD", b"z3", *(word for at, name in enumerate(MANY) for word in (b"%d" % (at // 3), name))],
    [b"ZADD", b"x1", *(word for name in MANY for word in (b"0", name))],
]  # fmt: skip

# Small limits make small collections change their encoding: half of the episodes run with these.
THRESHOLDS = {
    b"list-max-listpack-size": [b"-2", b"1", b"2", b"3"],
    b"hash-max-listpack-entries": [b"128", b"1", b"2"], b"hash-max-listpack-value": [b"64", b"2"],
    b"set-max-intset-entries": [b"512", b"1", b"2"], b"set-max-listpack-entries": [b"128", b"1", b"2"],
    b"set-max-listpack-value": [b"64", b"2"],
    b"stream-node-max-entries": [b"100", b"1", b"2", b"3"],
    b"zset-max-listpack-entries": [b"128", b"0", b"2"], b"zset-max-listpack-value": [b"64", b"2"],
}  # fmt: skip


# SORT takes an errno that an earlier command left behind for a fault of its own; a cursor this large clears it.
CLEARS_ERRNO = [b"SSCAN", b"never-there", b"18446744073709551615"]


def sorts(argv: list[bytes]) -> bool:
    return any(word.upper() in (b"SORT", b"SORT_RO") for word in (argv[0], *argv[3:4]))


def prepared(argv: list[bytes]) -> list[list[bytes]]:
    """The command, after what has to come before it."""
    return [CLEARS_ERRNO, argv] if sorts(argv) else [argv]


class Episode:
    """Commands that belong together: they start on an empty server and may be played again."""

    def __init__(self, draw: Draw, length: int) -> None:
        chance = draw.chance
        self.proto = chance.choice([2, 3])
        first, last = (1, 4) if chance.random() < 0.5 else (0, 1)
        self.settings = {name: chance.choice(values[first:last]) for name, values in THRESHOLDS.items()}
        self.commands: list[list[bytes]] = list(SEEDS)
        while len(self.commands) < length:
            at = chance.random()
            if at < 0.02:
                self.commands += self.transaction(draw)
            elif at < 0.03:
                self.commands.append([b"SELECT", chance.choice([b"0", b"0", b"1", b"99"])])
            elif at < 0.04:
                self.commands.append([b"WATCH", b"s1"])
            elif at < 0.06:
                self.commands += chance.sample(SEEDS, 4)
            elif at < 0.065:
                self.commands.append(chance.choice(LARGE))
            elif at < 0.065 + IN_SCRIPTS and not draw.is_old:
                self.add_called(chance.choice(CALLERS), draw.command())
            else:
                self.add(draw.command())

    def add_called(self, script: bytes, argv: list[bytes]) -> None:
        if argv[0].upper() != b"SPOP":
            self.commands += prepared([b"EVAL", script, b"0", *argv])

    def add(self, argv: list[bytes]) -> None:
        self.commands += prepared(argv)
        if argv[0].upper() == b"SPOP" and len(argv) > 1:
            # What is left is a matter of chance: nothing that follows may depend on it.
            self.commands.append([b"DEL", argv[1]])

    def transaction(self, draw: Draw) -> list[list[bytes]]:
        inner = [draw.command() for _ in range(draw.chance.randrange(1, 5))]
        inner = [argv for argv in inner if argv[0].upper() not in NOT_IN_TRANSACTIONS]
        inner = [words for argv in inner for words in prepared(argv)]
        return [[b"MULTI"], *inner, [draw.chance.choice([b"EXEC", b"EXEC", b"EXEC", b"DISCARD"])]]


def coverage_report(coverage: Counter[str], errors: int, total: int) -> str:
    """What was drawn how often: one line per command, its options behind it."""
    lines = []
    for name in sorted(key for key in coverage if "." not in key):
        drawn = {key.split(".", 1)[1]: count for key, count in coverage.items() if key.startswith(name + ".")}
        shown = " ".join(f"{option}:{count}" for option, count in drawn.items())
        lines.append(f"{name:18} {coverage[name]:5}  {shown}".rstrip())
    lines.append(f"{total} commands, {errors} errors ({100 * errors // max(total, 1)} %)")
    return "\n".join(lines)
