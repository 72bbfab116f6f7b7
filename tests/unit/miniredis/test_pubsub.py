"""Listeners and users: who gets a message, in which form and order, and who is let in."""

from __future__ import annotations

import pytest

from miniredis.access.users import Access
from miniredis.engine.client import SUBSCRIBED, Client
from miniredis.pubsub import PubSub
from protocol.resp.values import Failure
from tests.unit.miniredis.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.state.pubsub = PubSub()
    world.state.access = Access()
    return world


def out(client: Client) -> bytes:
    data = b"".join(client.out)
    client.out.clear()
    return data


def test_messages_in_both_protocols(world: World) -> None:
    """A listener would get a frame its library cannot read."""
    old, new = world.connect(), world.connect()
    new.resp = 3
    for client in (old, new):
        world("SUBSCRIBE news", client)
        world("PSUBSCRIBE n*", client)
        out(client)
    assert world("PUBLISH news hi") == 4
    assert out(old) == (
        b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
        b"*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
    )
    assert out(new).startswith(b">3\r\n$7\r\nmessage\r\n")
    assert old.mode & SUBSCRIBED
    assert not new.mode & SUBSCRIBED


def test_nothing_is_left_of_a_listener_that_has_gone(world: World) -> None:
    """Closed connections would be kept, and written to, for ever."""
    client = world.connect()
    world("SUBSCRIBE a b", client)
    world("PSUBSCRIBE p*", client)
    world.engine.dismiss(client)
    pubsub = world.state.pubsub
    assert (pubsub.channels, pubsub.patterns, pubsub._matchers) == ({}, {}, {})
    assert world("PUBLISH a x") == 0


def test_a_message_to_oneself_comes_behind_the_answer(world: World) -> None:
    """A RESP3 library would take the message for the answer."""
    world.client.resp = 3
    world("SUBSCRIBE a")
    out(world.client)
    assert world.send("PUBLISH a x", "PING").startswith(b":1\r\n>3\r\n$7\r\nmessage\r\n")


def test_passwords() -> None:
    """Somebody would come in with a wrong password, or not with the right one."""
    access = Access("secret")
    assert not access.is_open
    assert access.authenticate(b"default", b"secret") is access.default
    for name, password in ((b"default", b"Secret"), (b"default", b""), (b"nobody", b"secret")):
        with pytest.raises(Failure, match="WRONGPASS"):
            access.authenticate(name, password)
    assert access.refused_logins == 3
    access.set_password("")
    assert access.is_open
    assert access.authenticate(b"default", b"anything") is access.default
    access.default.is_enabled = False
    with pytest.raises(Failure):
        access.authenticate(b"default", b"anything")


def test_a_changed_password_concerns_only_strangers(world: World) -> None:
    """CONFIG SET requirepass would lock out who is in, or let in who never was."""
    stranger = world.connect()
    stranger.become(world.state.access.default, is_stranger=True)
    assert world("PING", stranger) == Failure("NOAUTH Authentication required.")
    stranger.require_login(False)
    world.client.require_login(True)
    assert world("PING", stranger) == world("PING")
    stranger.require_login(True)
    assert world("PING", stranger) == Failure("NOAUTH Authentication required.")
