"""CLIENT TRACKING: clients that keep what they read are told when it is no longer true.

    default     every key a client reads is remembered (key -> clients); when it changes, each of them gets
                    invalidate [key]      once, until it reads the key again
    BCAST       nothing is remembered: at the end of a turn of the loop every client hears of all keys that have changed
                and begin with one of its prefixes

In RESP3 that is a push of the client's own connection; with REDIRECT another connection hears it, in RESP2 as a message
of the channel `__redis__:invalidate`, if it is subscribed to anything. A flush is told as null: all keys.

Laws:
1. A client hears of a change behind the answer to the command that made it, if that was its own.
2. At most `tracking-table-max-keys` keys are remembered: those known longest are told as changed and forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from miniredis.engine.client import IN_MULTI, TRACKING, Client
from miniredis.engine.observe import Command
from miniredis.engine.registry import OUTLASTS, PUBSUB, READONLY
from protocol.resp.encoder import encode
from protocol.resp.values import Failure, Push

if TYPE_CHECKING:
    from miniredis.engine.state import State

CHANNEL: Final = b"__redis__:invalidate"
_PUSH: Final = b">2\r\n$10\r\ninvalidate\r\n"
_MESSAGE: Final = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n" % (len(CHANNEL), CHANNEL)
# So many keys too many are forgotten at a time; more, the more often that was not enough.
FORGOTTEN_AT_ONCE: Final = 100


class Tracked:
    """What a client asked for."""

    __slots__ = (
        "is_broadcast", "is_broken", "is_caching", "is_opt_in", "is_opt_out", "prefixes",
        "prefixes_given", "redirect", "skips_own",
    )  # fmt: skip

    def __init__(self) -> None:
        self.redirect = 0  # the number of the client that hears it instead
        self.is_broadcast = False
        self.is_opt_in = False  # only keys of commands behind CLIENT CACHING YES are remembered
        self.is_opt_out = False  # all but those behind CLIENT CACHING NO
        self.is_caching = False  # CLIENT CACHING was said: it is about the next command
        self.is_broken = False  # the client it redirects to is gone
        self.skips_own = False  # NOLOOP
        self.prefixes_given: list[bytes] = []  # just now
        self.prefixes: dict[bytes, None] = {}  # altogether, in order


class Tracking:
    """Who is told what. `current` is the client whose command is being run."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._readers: OrderedDict[bytes, dict[int, None]] = OrderedDict()  # key -> numbers of clients
        self._listeners: dict[bytes, dict[Client, None]] = {}  # prefix -> clients
        self._changed: dict[bytes, dict[bytes, Client | None]] = {}  # prefix -> key -> who changed it last
        self._too_many = 0  # times in a row that forgetting was not enough
        self.items = 0
        self.clients = 0

    @property
    def keys(self) -> int:
        return len(self._readers)

    @property
    def prefixes(self) -> int:
        return len(self._listeners)

    # Beginning and end.

    def start(self, client: Client, asked: Tracked) -> None:
        """Turn it on, or change it: prefixes add up. The options go with each other: see CLIENT TRACKING."""
        watches = self._state.watches
        if not client.mode & TRACKING:
            client.mode |= TRACKING
            self.clients += 1
            watches.trackers += 1
            watches.keyspace.heeds_touches = True
        former = client.tracking
        if asked.is_broadcast:
            given = dict.fromkeys(asked.prefixes_given or [b""])
            for prefix in given:
                self._listeners.setdefault(prefix, {})[client] = None
            asked.prefixes = dict.fromkeys(sorted(given | former.prefixes if former is not None else given))
        client.tracking = asked

    def stop(self, client: Client) -> None:
        if not client.mode & TRACKING:
            return
        client.mode &= ~TRACKING
        self.clients -= 1
        self._state.watches.trackers -= 1
        self._state.watches.heed()
        for prefix in client.tracking.prefixes:
            listeners = self._listeners[prefix]
            del listeners[client]
            if not listeners:
                del self._listeners[prefix]
                self._changed.pop(prefix, None)
        client.tracking = None

    # What was read.

    def ran(self, reader: Client, command: Command, argv: list[bytes]) -> None:
        """A client with tracking, or a script of it, has run a command."""
        tracked: Tracked = reader.tracking
        flags = command.flags
        if flags & READONLY and not flags & (OUTLASTS | PUBSUB) and not tracked.is_broadcast:
            if tracked.is_opt_in <= tracked.is_caching and not (tracked.is_opt_out and tracked.is_caching):
                self._remember(reader, command, argv)
            self._limit()
        if tracked.is_caching and not reader.mode & IN_MULTI and not command.spec.name.startswith(b"client|"):
            tracked.is_caching = False

    def _remember(self, reader: Client, command: Command, argv: list[bytes]) -> None:
        try:
            places = command.spec.keys(argv)
        except ValueError:
            return
        for at, _ in places:
            readers = self._readers.setdefault(argv[at], {})
            if reader.id not in readers:
                readers[reader.id] = None
                self.items += 1

    def _limit(self) -> None:
        most = self._state.settings.tracking_table_max_keys
        if not most or len(self._readers) <= most:
            self._too_many = 0
            return
        for _ in range(FORGOTTEN_AT_ONCE * (self._too_many + 1)):
            if len(self._readers) <= most:
                self._too_many = 0
                return
            self._invalidate(next(iter(self._readers)), None)
        self._too_many += 1

    # What has changed.

    def touched(self, key: bytes, current: Client | None) -> None:
        """A key is not what it was."""
        for prefix in self._listeners:
            if key.startswith(prefix):
                self._changed.setdefault(prefix, {})[key] = current
        if key in self._readers:
            self._invalidate(key, current)

    def _invalidate(self, key: bytes, current: Client | None) -> None:
        readers = self._readers.pop(key)
        self.items -= len(readers)
        for number in readers:
            client = self._state.clients.get(number)
            if client is None or not client.mode & TRACKING or client.tracking.is_broadcast:
                continue
            if not (client is current and client.tracking.skips_own):
                self._tell(client, [key])

    def flushed(self) -> None:
        """A database was emptied: which keys were read in which is not known, so all are told as changed."""
        self._readers.clear()
        self.items = 0
        for client in list(self._state.clients.values()):
            if client.mode & TRACKING:
                self._tell(client, None)

    def broadcast(self) -> None:
        """The end of a turn: what has changed in it, by prefix."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        for prefix, keys in changed.items():
            for client in list(self._listeners.get(prefix, ())):
                told = [key for key in keys if not client.tracking.skips_own or keys[key] is not client]
                if told:
                    self._tell(client, sorted(told))

    def _tell(self, client: Client, keys: list[bytes] | None) -> None:
        tracked: Tracked = client.tracking
        target = client
        if tracked.redirect:
            found = self._state.clients.get(tracked.redirect)
            if found is None:
                tracked.is_broken = True
                if client.resp > 2:
                    client.send_message(encode(Push([b"tracking-redir-broken", tracked.redirect]), client.resp))
                return
            target = found
        listed = encode(list(keys) if keys is not None else None, client.resp)
        if target.resp > 2:
            target.send_message(_PUSH + listed)
        elif target is not client and (target.channels or target.patterns or target.shard_channels):
            target.send_message(_MESSAGE + listed)


def check_prefixes(former: list[bytes], prefixes: list[bytes]) -> None:
    """A client hears of each key once: its prefixes may not be prefixes of each other. Raises Failure."""
    for at, prefix in enumerate(prefixes):
        for known in former:
            if _overlap(known, prefix):
                raise Failure(
                    b"ERR Prefix '%b' overlaps with an existing prefix '%b'. Prefixes for a single client must not "
                    b"overlap." % (prefix, known)
                )
        for other in prefixes[at + 1 :]:
            if _overlap(prefix, other):
                raise Failure(
                    b"ERR Prefix '%b' overlaps with another provided prefix '%b'. Prefixes for a single client must "
                    b"not overlap." % (prefix, other)
                )


def _overlap(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)
