"""Who listens to what: channels, patterns, shard channels.

    RESP2   *3 message  channel payload          *4 pmessage  pattern channel payload
    RESP3   >3 …                                 >4 …

A message is made into bytes once per protocol version, whatever the number of listeners. It is sent at once, but a
client that publishes to itself gets the message behind the answer, as with Redis since 7.2.

Law: a client's own `channels`, `patterns` and `shard_channels` and the tables here always say the same.
"""

from __future__ import annotations

from typing import Protocol

from miniredis.structures.glob import Matcher, matcher
from protocol.resp.encoder import encode
from protocol.resp.values import Push


class Listener(Protocol):
    """What a client has to have to listen."""

    channels: dict[bytes, None]
    patterns: dict[bytes, None]
    shard_channels: dict[bytes, None]
    resp: int

    def __hash__(self) -> int: ...
    def send_message(self, data: bytes) -> None: ...


Listeners = dict[Listener, None]
"""In the order they came."""


class PubSub:
    """Of one server: who listens to which channel, shard channel or pattern."""

    def __init__(self) -> None:
        self.channels: dict[bytes, Listeners] = {}
        self.shard_channels: dict[bytes, Listeners] = {}
        self.patterns: dict[bytes, Listeners] = {}
        self._matchers: dict[bytes, Matcher] = {}  # of every pattern listened to

    # ── listening ──────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, client: Listener, channel: bytes) -> None:
        client.channels[channel] = None
        self.channels.setdefault(channel, {})[client] = None

    def unsubscribe(self, client: Listener, channel: bytes) -> None:
        if channel in client.channels:
            del client.channels[channel]
            _remove(self.channels, channel, client)

    def subscribe_pattern(self, client: Listener, pattern: bytes) -> None:
        client.patterns[pattern] = None
        self.patterns.setdefault(pattern, {})[client] = None
        if pattern not in self._matchers:
            self._matchers[pattern] = matcher(pattern)

    def unsubscribe_pattern(self, client: Listener, pattern: bytes) -> None:
        if pattern in client.patterns:
            del client.patterns[pattern]
            if _remove(self.patterns, pattern, client):
                del self._matchers[pattern]

    def subscribe_shard(self, client: Listener, channel: bytes) -> None:
        client.shard_channels[channel] = None
        self.shard_channels.setdefault(channel, {})[client] = None

    def unsubscribe_shard(self, client: Listener, channel: bytes) -> None:
        if channel in client.shard_channels:
            del client.shard_channels[channel]
            _remove(self.shard_channels, channel, client)

    def forget(self, client: Listener) -> None:
        """The client listens to nothing any more."""
        for channel in list(client.channels):
            self.unsubscribe(client, channel)
        for pattern in list(client.patterns):
            self.unsubscribe_pattern(client, pattern)
        for channel in list(client.shard_channels):
            self.unsubscribe_shard(client, channel)

    # ── speaking ───────────────────────────────────────────────────────────────────────────────────────

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send to whoever listens; how many deliveries that were (a client counts once per way it listens)."""
        count = 0
        listeners = self.channels.get(channel)
        if listeners:
            count += _deliver(listeners, [b"message", channel, message])
        if self._matchers:
            for pattern, matches in self._matchers.items():
                if matches(channel):
                    count += _deliver(self.patterns[pattern], [b"pmessage", pattern, channel, message])
        return count

    def publish_shard(self, channel: bytes, message: bytes) -> int:
        """Send to the listeners of a shard channel; how many there are. Patterns do not reach here."""
        listeners = self.shard_channels.get(channel)
        return _deliver(listeners, [b"smessage", channel, message]) if listeners else 0


def names_like(table: dict[bytes, Listeners], pattern: bytes | None) -> list[bytes]:
    """The channels of one kind that somebody listens to by name."""
    if pattern is None:
        return list(table)
    matches = matcher(pattern)
    return [channel for channel in table if matches(channel)]


def _remove(table: dict[bytes, Listeners], name: bytes, client: Listener) -> bool:
    """True when that was the last listener."""
    listeners = table[name]
    del listeners[client]
    if not listeners:
        del table[name]
    return not listeners


def _deliver(listeners: Listeners, words: list[bytes]) -> int:
    frames = (b"", b"", encode(words, 2), encode(Push(words), 3))
    # Sending may end a client that takes too little: it must not change what is walked over.
    for client in tuple(listeners):
        client.send_message(frames[client.resp])
    return len(listeners)
