"""Messages to whoever listens: SUBSCRIBE, PSUBSCRIBE, PUBLISH, PUBSUB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from miniredis.commands.shared import wrong_subcommand
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
    KeySpec,
    command,
    container,
)
from miniredis.pubsub import Listeners, names_like
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


def _begin(call: Call, word: bytes, add: Callable[[Client, bytes], None], *, is_shard: bool = False) -> Reply:
    session = call.session
    frames: list[Reply] = []
    for name in call.argv[1:]:
        add(session, name)
        frames.append(Push([word, name, _count(session, is_shard)]))
    session.mark_listening()
    return Many(frames)


def _end(
    call: Call, word: bytes, names: list[bytes], remove: Callable[[Client, bytes], None], *, is_shard: bool = False
) -> Reply:
    session = call.session
    frames: list[Reply] = []
    for name in names:
        remove(session, name)
        frames.append(Push([word, name, _count(session, is_shard)]))
    session.mark_listening()
    return Many(frames or [Push([word, None, _count(session, is_shard)])])


def _count(session: Client, is_shard: bool) -> int:
    return len(session.shard_channels) if is_shard else session.subscriptions


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
        raise wrong_subcommand(call)
    return _names_like(call, call.state.pubsub.channels)


def _names_like(call: Call, table: dict[bytes, Listeners]) -> Reply:
    return [*names_like(table, call.argv[2] if len(call.argv) == 3 else None)]


@command("PUBSUB|NUMSUB [channel [channel ...]]", _ASKING, since="2.8.0", complexity="O(N) with N channels")
def pubsub_numsub(call: Call) -> Reply:
    """Count the listeners of channels, those by pattern left out."""
    return _counts(call, call.state.pubsub.channels)


def _counts(call: Call, table: dict[bytes, Listeners]) -> Reply:
    found: list[Reply] = []
    for name in call.argv[2:]:
        found += [name, len(table.get(name, ()))]
    return found


@command("PUBSUB|NUMPAT", _ASKING, since="2.8.0")
def pubsub_numpat(call: Call) -> Reply:
    """Count the patterns somebody listens to."""
    return len(call.state.pubsub.patterns)


@command("PUBSUB|SHARDCHANNELS [pattern]", _ASKING, since="7.0.0", complexity="O(N) with N shard channels")
def pubsub_shardchannels(call: Call) -> Reply:
    """List the shard channels somebody listens to."""
    if len(call.argv) > 3:
        raise wrong_subcommand(call)
    return _names_like(call, call.state.pubsub.shard_channels)


@command("PUBSUB|SHARDNUMSUB [shardchannel [shardchannel ...]]", _ASKING, since="7.0.0",
         complexity="O(N) with N shard channels")  # fmt: skip
def pubsub_shardnumsub(call: Call) -> Reply:
    """Count the listeners of shard channels."""
    return _counts(call, call.state.pubsub.shard_channels)


# Shard channels: in a cluster each belongs to a slot, and so their names are found where keys are. Here they are
# channels of their own, which patterns do not reach.

_ONE: Final = (KeySpec(1, flags="not_key"),)
_ALL: Final = (KeySpec(1, last=-1, flags="not_key"),)


@command("SSUBSCRIBE shardchannel [shardchannel ...]", _LISTENING, since="7.0.0", key_specs=_ALL,
         complexity="O(N) with N shard channels")  # fmt: skip
def ssubscribe(call: Call) -> Reply:
    """Listen to shard channels."""
    if call.deny_blocking:
        raise Failure("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _begin(call, b"ssubscribe", call.state.pubsub.subscribe_shard, is_shard=True)


@command("SUNSUBSCRIBE [shardchannel [shardchannel ...]]", _LISTENING, since="7.0.0", key_specs=_ALL,
         complexity="O(N) with N shard channels")  # fmt: skip
def sunsubscribe(call: Call) -> Reply:
    """Listen no more to shard channels, or to none at all."""
    names = call.argv[1:] or list(call.session.shard_channels)
    return _end(call, b"sunsubscribe", names, call.state.pubsub.unsubscribe_shard, is_shard=True)


@command("SPUBLISH shardchannel message", PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE, since="7.0.0",
         key_specs=_ONE, complexity="O(N) with N listeners of the shard channel")  # fmt: skip
def spublish(call: Call) -> Reply:
    """Send a message to whoever listens to the shard channel; answers how many got it."""
    call.replicate_verbatim(TO_REPLICAS)
    return call.state.pubsub.publish_shard(call.argv[1], call.argv[2])
