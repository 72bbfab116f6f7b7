"""Messages to whoever listens: SUBSCRIBE, PSUBSCRIBE, PUBLISH, PUBSUB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from miniredis.engine.call import TO_REPLICAS, Call
from miniredis.engine.client import Client
from miniredis.engine.registry import (
    FAST,
    IN_SUBSCRIBER,
    LOADING,
    MAY_REPLICATE,
    NOSCRIPT,
    PUBSUB,
    STALE,
    command,
    container,
)
from protocol.resp.values import Failure, Many, Push, Reply

_LISTENING: Final = PUBSUB | NOSCRIPT | LOADING | STALE | IN_SUBSCRIBER
_ASKING: Final = PUBSUB | LOADING | STALE

container("PUBSUB", since="2.8.0", group="pubsub", summary="Commands about who listens.", help_since="6.2.0")


@command("SUBSCRIBE channel [channel ...]", _LISTENING, since="2.0.0", complexity="O(N) with N channels")
def subscribe(call: Call) -> Reply:
    """Listen to channels."""
    return _begin(call, b"subscribe", call.state.pubsub.subscribe)


@command("PSUBSCRIBE pattern [pattern ...]", _LISTENING, since="2.0.0", complexity="O(N) with N patterns")
def psubscribe(call: Call) -> Reply:
    """Listen to every channel whose name fits a pattern."""
    return _begin(call, b"psubscribe", call.state.pubsub.subscribe_pattern)


@command("UNSUBSCRIBE [channel [channel ...]]", _LISTENING, since="2.0.0", complexity="O(N) with N channels")
def unsubscribe(call: Call) -> Reply:
    """Listen no more to channels, or to none at all."""
    names = call.argv[1:] or list(call.session.channels)
    return _end(call, b"unsubscribe", names, call.state.pubsub.unsubscribe)


@command("PUNSUBSCRIBE [pattern [pattern ...]]", _LISTENING, since="2.0.0", complexity="O(N) with N patterns")
def punsubscribe(call: Call) -> Reply:
    """Listen no more to patterns, or to none at all."""
    names = call.argv[1:] or list(call.session.patterns)
    return _end(call, b"punsubscribe", names, call.state.pubsub.unsubscribe_pattern)


def _begin(call: Call, word: bytes, add: Callable[[Client, bytes], None]) -> Reply:
    session = call.session
    frames: list[Reply] = []
    for name in call.argv[1:]:
        add(session, name)
        frames.append(Push([word, name, session.subscriptions]))
    session.mark_listening()
    return Many(frames)


def _end(call: Call, word: bytes, names: list[bytes], remove: Callable[[Client, bytes], None]) -> Reply:
    session = call.session
    frames: list[Reply] = []
    for name in names:
        remove(session, name)
        frames.append(Push([word, name, session.subscriptions]))
    session.mark_listening()
    return Many(frames or [Push([word, None, session.subscriptions])])


@command("PUBLISH channel message", PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE, since="2.0.0",
         complexity="O(N+M) with N listeners of the channel and M patterns")  # fmt: skip
def publish(call: Call) -> Reply:
    """Send a message to whoever listens to the channel; answers how many got it."""
    call.replicate_verbatim(TO_REPLICAS)
    return call.state.pubsub.publish(call.argv[1], call.argv[2])


@command("PUBSUB|CHANNELS [pattern]", _ASKING, since="2.8.0", complexity="O(N) with N channels")
def pubsub_channels(call: Call) -> Reply:
    """List the channels somebody listens to by name."""
    if len(call.argv) > 3:
        raise _wrong(call)
    return call.state.pubsub.channels_like(call.argv[2] if len(call.argv) == 3 else None)


@command("PUBSUB|NUMSUB [channel [channel ...]]", _ASKING, since="2.8.0", complexity="O(N) with N channels")
def pubsub_numsub(call: Call) -> Reply:
    """Count the listeners of channels, those by pattern left out."""
    channels = call.state.pubsub.channels
    found: list[Reply] = []
    for name in call.argv[2:]:
        found += [name, len(channels.get(name, ()))]
    return found


@command("PUBSUB|NUMPAT", _ASKING, since="2.8.0")
def pubsub_numpat(call: Call) -> Reply:
    """Count the patterns somebody listens to."""
    return len(call.state.pubsub.patterns)


def _wrong(call: Call) -> Failure:
    name = call.argv[1]
    return Failure(b"ERR unknown subcommand or wrong number of arguments for '%b'. Try PUBSUB HELP." % name)
