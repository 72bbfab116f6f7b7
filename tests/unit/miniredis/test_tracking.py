"""CLIENT TRACKING: who keeps what it read is told when it is no longer true, once, and behind its own answer."""

from __future__ import annotations

from dataclasses import replace

from miniredis.engine.client import Client
from tests.unit.miniredis.world import World


def told(client: Client) -> bytes:
    data, client.out[:] = b"".join(client.out), []
    return data


def invalidates(*keys: str) -> bytes:
    listed = b"".join(b"$%d\r\n%b\r\n" % (len(key), key.encode()) for key in keys)
    return b">2\r\n$10\r\ninvalidate\r\n*%d\r\n" % len(keys) + listed


def tracker(world: World, options: str = "") -> Client:
    client = world.connect()
    client.resp = 3
    assert world.send(f"CLIENT TRACKING ON {options}", client=client) == b"+OK\r\n"
    return client


def test_a_reader_hears_once_of_a_change() -> None:
    """A cache would keep what is no longer true, or be told for ever of keys it has dropped."""
    world = World()
    client = tracker(world)
    world.send("GET a", "MGET b c", client=client)
    world.send("SET a 1", "SET a 2", "SET unread 1", "INCR c")
    assert told(client) == invalidates("a") + invalidates("c")
    assert world.send("GET a", "SET a 3", client=client) == b"$1\r\n2\r\n+OK\r\n" + invalidates("a")
    world.send("GET a", client=client)
    world.send("SET a 4 PX 5")
    told(client)
    world.send("GET a", client=client)
    world.later(10)
    world.send("EXISTS a")
    assert told(client) == invalidates("a"), "a key that expires has changed"


def test_scripts_and_transactions_read_for_their_client() -> None:
    """What a script has read would go stale unnoticed."""
    world = World()
    client = tracker(world)
    world.send("MULTI", "GET m", "EXEC", client=client)
    world.engine.execute(client, [[b"EVAL", b"return redis.call('GET',KEYS[1])", b"1", b"s"]])
    world.send("MSET m 1 s 1")
    assert told(client) == invalidates("m") + invalidates("s")
    world.send("GET m", client=client)
    answer = world.send("MULTI", "SET m 2", "PING", "EXEC", client=client)
    assert answer.endswith(b"*2\r\n+OK\r\n+PONG\r\n" + invalidates("m")), "not between the answers of a transaction"


def test_a_flush_is_told_as_all_keys() -> None:
    """A cache would survive FLUSHALL."""
    world = World()
    client = tracker(world)
    world.send("SET a 1", "GET a", client=client)
    world.send("FLUSHALL")
    assert told(client) == b">2\r\n$10\r\ninvalidate\r\n_\r\n"
    world.send("SET a 2")
    assert told(client) == b""


def test_broadcasts_go_by_prefix_and_turn() -> None:
    """A client would be told of keys it has nothing to do with, or of its own changes although it said NOLOOP."""
    world = World()
    some, every = tracker(world, "BCAST PREFIX user: PREFIX item:"), tracker(world, "BCAST NOLOOP")
    world.send("SET user:1 a", "SET other b", "SET item:7 c", "SET user:1 d")
    world.send("SET own e", client=every)
    assert told(some) == told(every) == b"", "told at the end of a turn"
    world.engine.tracking.broadcast()
    assert told(some) == invalidates("user:1") + invalidates("item:7")
    assert told(every) == invalidates("item:7", "other", "user:1")
    world.engine.dismiss(some)
    world.engine.dismiss(every)
    assert not world.state.keyspace.heeds_touches
    assert world.engine.tracking.prefixes == world.engine.tracking.clients == 0


def test_opting_in_and_out() -> None:
    """Keys would be tracked that a client did not ask for, or not those it did."""
    world = World()
    picky, broad = tracker(world, "OPTIN"), tracker(world, "OPTOUT")
    world.send("GET a", "CLIENT CACHING YES", "GET b", "GET c", client=picky)
    world.send("GET a", "CLIENT CACHING NO", "GET b", "GET c", client=broad)
    world.send("MSET a 1 b 1 c 1")
    assert told(picky) == invalidates("b")
    assert told(broad) == invalidates("a") + invalidates("c")


def test_another_connection_hears_it() -> None:
    """RESP2 clients track through a second connection; when that is gone they must be told."""
    world = World()
    listener, client = world.connect(), world.connect()
    listener.channels[b"__redis__:invalidate"] = None
    world.send(f"CLIENT TRACKING ON REDIRECT {listener.id}", "GET a", client=client)
    told(listener)
    world.send("SET a 1")
    assert told(listener) == b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n"
    assert world.send("CLIENT GETREDIR", client=client) == b":%d\r\n" % listener.id
    client.resp = 3
    world.send("GET a", client=client)
    world.engine.dismiss(listener)
    world.send("SET a 2")
    assert told(client) == b">2\r\n$21\r\ntracking-redir-broken\r\n:%d\r\n" % listener.id
    assert b"broken_redirect" in world.send("CLIENT TRACKINGINFO", client=client)


def test_the_table_is_bounded() -> None:
    """Clients that read much would fill the memory with what they have read."""
    world = World()
    world.state.apply_settings(replace(world.state.settings, tracking_table_max_keys=2))
    client = tracker(world)
    world.send("GET a", "GET b", client=client)
    assert told(client) == b""
    assert world.send("GET c", client=client) == b"_\r\n" + invalidates("a")
    assert world.engine.tracking.keys == 2
    assert world.engine.tracking.items == 2


def test_what_does_not_go_together_is_refused() -> None:
    """A client would believe in options that contradict each other."""
    world = World()
    for options, reason in (
        ("ON PREFIX a", b"-ERR PREFIX option requires BCAST mode to be enabled\r\n"),
        ("ON BCAST OPTIN", b"-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n"),
        ("ON OPTIN OPTOUT", b"-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n"),
        ("ON REDIRECT 12345", b"-ERR The client ID you want redirect to does not exist\r\n"),
        (
            "ON BCAST PREFIX ab PREFIX a",
            b"-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a "
            b"single client must not overlap.\r\n",
        ),
        ("MAYBE", b"-ERR syntax error\r\n"),
    ):
        assert world.send(f"CLIENT TRACKING {options}") == reason
    assert world.send("CLIENT CACHING YES").startswith(b"-ERR CLIENT CACHING can be called only")
    assert world.send("CLIENT GETREDIR") == b":-1\r\n"
