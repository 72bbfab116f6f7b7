"""Two servers side by side: play an episode to both, compare replies, events and what is left; shorten what differs."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.oracle.redis.compare import same, same_transaction
from tests.oracle.redis.generated import Episode
from tests.oracle.redis.wire import Reply, Wire

EVENTS_END = b"__the_end__"
CONTENTS = {
    b"string": [b"GET"], b"list": [b"LRANGE", b"0", b"-1"], b"hash": [b"HGETALL"], b"set": [b"SMEMBERS"],
    b"zset": [b"ZRANGE", b"0", b"-1", b"WITHSCORES"], b"stream": [b"XRANGE", b"-", b"+"],
}  # fmt: skip
BATCH = 40


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
        self.wire.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"AKEn")
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

    def encodings(self, keys: list[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], Reply]:
        eye = Wire(self.host, self.port)
        found = {}
        for index, key in keys:
            eye.ask(b"SELECT", index)
            found[index, key] = eye.ask(b"OBJECT", b"ENCODING", key)
        eye.close()
        return found


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
            difference = self.differing_events() or self.differing_contents()
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

    def differing_contents(self) -> str | None:
        theirs, ours = self.real.contents(), self.ours.contents()
        for at in sorted(theirs.keys() | ours.keys()):
            a, b = theirs.get(at), ours.get(at)
            if a is None or b is None or a[0] != b[0]:
                return f"key {at}\n    real {a}\n    ours {b}"
            verb = CONTENTS.get(a[0], [b"DUMP"])[0]
            if not same([verb], a[1], b[1], self.is_old):
                return f"key {at}\n    real {a[1]}\n    ours {b[1]}"
        if self.is_old:
            return None
        keys = [at for at in theirs if not at[1].endswith(b" expires")]
        a_all, b_all = self.real.encodings(keys), self.ours.encodings(keys)
        for at in keys:
            if a_all[at] != b_all[at]:
                return f"encoding of {at}\n    real {a_all[at]}\n    ours {b_all[at]}"
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
    return depth == 0


def shown(argv: list[bytes]) -> str:
    """A command as one would type it into redis-cli."""
    plain = [word and all(33 <= byte < 127 for byte in word) for word in argv]
    return " ".join(word.decode() if ok else '"' + repr(word)[2:-1] + '"' for word, ok in zip(argv, plain, strict=True))
