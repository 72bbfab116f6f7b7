"""Two servers side by side: play an episode to both, compare replies, events and what is left; shorten what differs."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.oracle.redis.compare import same, same_transaction
from tests.oracle.redis.generated import CLEARS_ERRNO, Episode, sorts
from tests.oracle.redis.wire import Reply, Wire

EVENTS_END = b"__the_end__"
CONTENTS = {
    b"string": [b"GET"], b"list": [b"LRANGE", b"0", b"-1"], b"hash": [b"HGETALL"], b"set": [b"SMEMBERS"],
    b"zset": [b"ZRANGE", b"0", b"-1", b"WITHSCORES"], b"stream": [b"XRANGE", b"-", b"+"],
}  # fmt: skip
BATCH = 40
# Encodings of which DUMP gives the same bytes; but small sets of text ours gives as plain sets, which 7.0 reads too.
# What is newer than 7.0 cannot be restored there.
EXACT = {b"int", b"embstr", b"raw", b"intset", b"listpack"}
PACKED_SET = NEW_TYPES_FROM = 20
SORTED_SETS = (5, 17)  # their types in a payload; DEBUG DIGEST of 7.0 prints the scores with seventeen digits
FOOTER_BYTES = 10  # the version of the format, and the checksum over it
RESTORED = b"__restored__"


@dataclass
class Stored:
    """How a key is stored: its encoding, what DUMP gives, its digest, and whether it expires (which that tells)."""

    encoding: bytes
    payload: bytes
    digest: Reply
    expires: bool


@dataclass
class Side:
    """One server: a connection for commands and one that hears keyspace events."""

    host: str
    port: int
    wire: Wire = field(init=False)
    ear: Wire = field(init=False)

    def __post_init__(self) -> None:
        self.wire = Wire(self.host, self.port)
        self.ear = Wire(self.host, self.port)
        self.wire.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"AKEn", b"rdbcompression", b"no")
        self.ear.send([[b"PSUBSCRIBE", b"__key*__:*", EVENTS_END]])
        self.ear.read()
        self.ear.read()

    def close(self) -> None:
        self.wire.close()
        self.ear.close()

    def restart(self, proto: int, settings: dict[bytes, bytes]) -> None:
        """A new connection on an empty server. A setting that 7.0 does not know is not set there."""
        self.wire.close()
        self.wire = Wire(self.host, self.port)
        self.wire.pipeline([[b"HELLO", b"%d" % proto], [b"FLUSHALL"], [b"SELECT", b"0"]])
        self.wire.pipeline([[b"CONFIG", b"SET", name, value] for name, value in settings.items()])
        self.events()

    def events(self) -> list[tuple[bytes, bytes]]:
        """Keyspace events since the last time, in order."""
        mouth = Wire(self.host, self.port)
        mouth.ask(b"PUBLISH", EVENTS_END, b"")
        mouth.close()
        heard: list[tuple[bytes, bytes]] = []
        while True:
            words = [part.value for part in self.ear.read().value]
            if words[2] == EVENTS_END:
                return heard
            heard.append((words[2], words[3]))

    def contents(self) -> dict[tuple[bytes, bytes], tuple[bytes, Reply]]:
        """Everything that is there, by database and key."""
        found: dict[tuple[bytes, bytes], tuple[bytes, Reply]] = {}
        eye = Wire(self.host, self.port)
        for index in (b"0", b"1"):
            eye.ask(b"SELECT", index)
            for key in sorted(part.value for part in eye.ask(b"KEYS", b"*").value):
                kind = eye.ask(b"TYPE", key).value
                verb, *rest = CONTENTS.get(kind, [b"DUMP"])
                found[index, key] = (kind, eye.ask(verb, key, *rest))
                found[index, key + b" expires"] = (kind, Reply("", eye.ask(b"PTTL", key).value > 0))
        eye.close()
        return found

    def stored(self, keys: list[tuple[bytes, bytes]]) -> tuple[bytes, dict[tuple[bytes, bytes], Stored]]:
        """The digest of everything, and how each of the keys is stored."""
        eye = Wire(self.host, self.port)
        found = {}
        for index, key in keys:
            commands = [[b"SELECT", index], [b"OBJECT", b"ENCODING", key], [b"DUMP", key]]
            commands += [[b"DEBUG", b"DIGEST-VALUE", key], [b"PTTL", key]]
            _, encoding, payload, digest, left_ms = eye.pipeline(commands)
            found[index, key] = Stored(encoding.value, payload.value, digest, left_ms.value > 0)
        everything = eye.ask(b"DEBUG", b"DIGEST")
        eye.close()
        return everything.value, found

    def restored(self, value: Stored) -> Reply:
        """The digest of another server's value after it was restored here, or the error."""
        eye = Wire(self.host, self.port)
        left_ms = b"1000000" if value.expires else b"0"
        commands = [[b"RESTORE", RESTORED, left_ms, value.payload, b"REPLACE"], [b"DEBUG", b"DIGEST-VALUE", RESTORED]]
        restored, digest, _ = eye.pipeline([*commands, [b"DEL", RESTORED]])
        eye.close()
        return restored if restored.is_error else digest


@dataclass
class Pair:
    """The real server and ours. `is_old`: the real one is 7.0, and what is known to differ may."""

    real: Side
    ours: Side
    is_old: bool
    errors: int = 0
    total: int = 0

    def close(self) -> None:
        self.real.close()
        self.ours.close()

    def play(self, episode: Episode) -> str | None:
        """The first difference in words, or None."""
        return self.replay(episode, episode.commands, BATCH)

    def replay(self, episode: Episode, commands: list[list[bytes]], batch: int = 1 << 30) -> str | None:
        """Some of the episode's commands again, all in one piece."""
        for side in (self.real, self.ours):
            side.restart(episode.proto, episode.settings)
        queued: list[list[bytes]] | None = None
        start = 0
        while start < len(commands):
            piece = commands[start : start + batch]
            if piece[-1][0].upper() == b"SPOP":
                piece = commands[start : start + len(piece) + 1]
            start += len(piece)
            self.real.wire.send(piece)
            self.ours.wire.send(piece)
            for argv in piece:
                theirs, ours = self.real.wire.read(), self.ours.wire.read()
                self.total += 1
                self.errors += theirs.is_error
                agree = (
                    same_transaction(queued or [], theirs, ours, self.is_old)
                    if argv[0] == b"EXEC"
                    else same(argv, theirs, ours, self.is_old)
                )
                if not agree:
                    return f"{shown(argv)}\n    real {theirs}\n    ours {ours}"
                if argv[0] == b"MULTI":
                    queued = []
                elif theirs.value == b"QUEUED" and queued is not None:
                    queued.append(argv)
            difference = self.differing_events() or self.differing_contents(is_last=start >= len(commands))
            if difference:
                return difference
        return None

    def differing_events(self) -> str | None:
        theirs, ours = self.real.events(), self.ours.events()
        for at, (a, b) in enumerate(zip(theirs, ours, strict=False)):
            if a != b:
                return f"event {at}\n    real {theirs[at : at + 4]}\n    ours {ours[at : at + 4]}"
        if len(theirs) != len(ours):
            return f"events\n    real {theirs[len(ours) :]}\n    ours {ours[len(theirs) :]}"
        return None

    def differing_contents(self, is_last: bool) -> str | None:
        """A difference in what is there; `is_last`: nothing follows, so payloads are restored as well."""
        theirs, ours = self.real.contents(), self.ours.contents()
        for at in sorted(theirs.keys() | ours.keys()):
            a, b = theirs.get(at), ours.get(at)
            if a is None or b is None or a[0] != b[0]:
                return f"key {at}\n    real {a}\n    ours {b}"
            verb = CONTENTS.get(a[0], [b"DUMP"])[0]
            if not same([verb], a[1], b[1], self.is_old):
                return f"key {at}\n    real {a[1]}\n    ours {b[1]}"
        return self.differing_storage([at for at in theirs if not at[1].endswith(b" expires")], is_last)

    def differing_storage(self, keys: list[tuple[bytes, bytes]], is_last: bool) -> str | None:
        """Encodings (7.4's), digests, and DUMP's bytes where they are defined."""
        real_digest, theirs = self.real.stored(keys)
        our_digest, ours = self.ours.stored(keys)
        to_restore = []
        for at in keys:
            a, b = theirs[at], ours[at]
            if a.encoding != b.encoding and not self.is_old:
                return f"encoding of {at}\n    real {a.encoding!r}\n    ours {b.encoding!r}"
            if a.digest != b.digest and not (self.is_old and b.payload[0] in SORTED_SETS):
                return f"digest of {at}\n    real {a.digest}\n    ours {b.digest}"
            if a.encoding not in EXACT or a.payload[0] == PACKED_SET or (self.is_old and b.payload != a.payload):
                to_restore.append((at, a, b))
            elif a.payload[:-FOOTER_BYTES] != b.payload[:-FOOTER_BYTES]:
                return f"DUMP of {at}, {a.encoding!r}\n    real {a.payload!r}\n    ours {b.payload!r}"
        if real_digest != our_digest and not self.is_old:
            return f"DEBUG DIGEST\n    real {real_digest!r}\n    ours {our_digest!r}"
        return self.differing_when_restored(to_restore) if is_last else None

    def differing_when_restored(self, values: list[tuple[tuple[bytes, bytes], Stored, Stored]]) -> str | None:
        """Each server restores what the other one dumped."""
        for at, a, b in values:
            here, here_own = self.ours.restored(a), b.digest
            there_own = a.digest
            there = a.digest if self.is_old and b.payload[0] >= NEW_TYPES_FROM else self.real.restored(b)
            if here != here_own or there != there_own:
                # A score of -0 may lose its sign: then each is asked for its own.
                here_own, there_own = self.ours.restored(b), self.real.restored(a)
            if here != here_own or there != there_own:
                return f"{at} restored\n    theirs here {here}, not {here_own}\n    ours there {there}, not {there_own}"
        return None

    def shortest(self, episode: Episode) -> tuple[list[list[bytes]], str]:
        """The fewest of the episode's commands that still show a difference, and the difference."""
        commands = episode.commands
        found = self.replay(episode, commands) or "gone when replayed"
        step = len(commands) // 2
        while step:
            at = 0
            while at < len(commands):
                fewer = commands[:at] + commands[at + step :]
                difference = self.replay(episode, fewer) if is_whole(fewer) else None
                if difference:
                    commands, found = fewer, difference
                else:
                    at += step
            step //= 2
        return commands, found


def is_whole(commands: list[list[bytes]]) -> bool:
    """Nothing half is left: a transaction that is begun is ended, and what SPOP left to chance is deleted."""
    depth = 0
    for at, argv in enumerate(commands):
        depth += (argv[0] == b"MULTI") - (argv[0] in (b"EXEC", b"DISCARD"))
        if argv[0].upper() == b"SPOP" and len(argv) > 1 and commands[at + 1 : at + 2] != [[b"DEL", argv[1]]]:
            return False
        if sorts(argv) and (not at or commands[at - 1] != CLEARS_ERRNO):
            return False
    return depth == 0


def shown(argv: list[bytes]) -> str:
    """A command as one would type it into redis-cli."""
    plain = [word and all(33 <= byte < 127 for byte in word) for word in argv]
    return " ".join(word.decode() if ok else '"' + repr(word)[2:-1] + '"' for word, ok in zip(argv, plain, strict=True))
