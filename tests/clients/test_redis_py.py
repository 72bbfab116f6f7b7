"""redis-py, in all its forms, cannot tell us from redis-server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError, WatchError
from redis.retry import Retry

from tests.clients.redis_story import PIPELINED, STORY, Step, assert_same, attempt, told
from tests.peers.redis import Server

# The stories call what redis-py advises against as well: servers still have to answer it.
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")]

DEADLINE_S = 60.0


def connect(port: int, **kwargs: Any) -> Any:
    return redis.Redis(port=port, socket_timeout=DEADLINE_S, retry=Retry(NoBackoff(), 0), **kwargs)


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_synchronous(protocol: int, decode: bool, ours: Server, theirs: Server) -> None:
    """Some call of the synchronous client returns something else than from Redis."""

    steps = STORY
    if decode:  # bytes that are no text: a client that decodes cannot read them from any server
        steps = [step for step in STORY if b"\x00\xff" not in step.args and step.method != "keys"]

    def play(port: int) -> list[Any]:
        with connect(port, protocol=protocol, decode_responses=decode) as client:
            client.flushall()
            return [attempt(client, step) for step in steps]

    assert_same(steps, play, theirs.port, ours.port)


@pytest.mark.parametrize("protocol", [2, 3])
def test_asyncio(protocol: int, ours: Server, theirs: Server) -> None:
    """Some call of the asyncio client returns something else than from Redis."""

    async def tell(port: int) -> list[Any]:
        results: list[Any] = []
        async with redis.asyncio.Redis(port=port, protocol=protocol, socket_timeout=DEADLINE_S) as client:
            await client.flushall()
            for step in STORY:
                try:
                    value = await getattr(client, step.method)(*step.args, **step.kwargs)
                except RedisError as error:
                    value = error
                results.append(told(step.method, value))
        return results

    assert_same(STORY, lambda port: asyncio.run(tell(port)), theirs.port, ours.port)


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_pipelines(protocol: int, transaction: bool, ours: Server, theirs: Server) -> None:
    """A pipeline, or a transaction, returns something else than from Redis."""

    def play(port: int) -> list[Any]:
        results: list[Any] = []
        with connect(port, protocol=protocol) as client:
            client.flushall()
            for start in range(0, len(steps), 40):
                pipeline = client.pipeline(transaction=transaction)
                for step in steps[start : start + 40]:
                    getattr(pipeline, step.method)(*step.args, **step.kwargs)
                values = pipeline.execute(raise_on_error=False)
                results += [told(step.method, value) for step, value in zip(steps[start:], values, strict=False)]
        return results

    # A transaction with a call that is refused at once is discarded as a whole.
    steps = [step for step in PIPELINED if not (transaction and step.method in ("execute_command", "swapdb"))]
    assert_same(steps, play, theirs.port, ours.port)


def test_watch(ours: Server, theirs: Server) -> None:
    """Optimistic locking lets a lost update through, or never lets anybody through."""

    def play(port: int) -> list[Any]:
        found: list[Any] = []
        with connect(port) as client, connect(port) as other:
            client.flushall()
            client.set("k", 1)
            with client.pipeline() as pipeline:
                pipeline.watch("k")
                other.incr("k")
                pipeline.multi()
                pipeline.set("k", 100)
                try:
                    found.append(pipeline.execute())
                except WatchError as error:
                    found.append(str(error))

            def add_ten(pipe: Any) -> None:
                value = int(pipe.get("k"))
                pipe.multi()
                pipe.set("k", value + 10)

            found.append(client.transaction(add_ten, "k"))
            found.append(client.get("k"))
        return found

    assert play(theirs.port) == play(ours.port)


@pytest.mark.parametrize("protocol", [2, 3])
def test_publish_and_subscribe(protocol: int, ours: Server, theirs: Server) -> None:
    """A subscriber hears something else, or in another order, than from Redis."""

    def play(port: int) -> list[Any]:
        heard: list[Any] = []
        with connect(port, protocol=protocol) as client:
            listener = client.pubsub()
            listener.subscribe("a", "b")
            listener.psubscribe("n.*")
            heard += [listener.get_message(timeout=DEADLINE_S) for _ in range(3)]
            counts = [client.publish(channel, f"to {channel}") for channel in ("a", "b", "n.x", "nobody")]
            heard += [listener.get_message(timeout=DEADLINE_S) for _ in range(3)]
            counts += [sorted(client.pubsub_channels()), client.pubsub_numsub("a", "x"), client.pubsub_numpat()]
            listener.ping("still there?")
            heard.append(listener.get_message(timeout=DEADLINE_S))
            listener.unsubscribe("a")
            listener.punsubscribe()
            heard += [listener.get_message(timeout=DEADLINE_S) for _ in range(2)]
            listener.close()
        return [heard, counts]

    assert play(theirs.port) == play(ours.port)


def test_keyspace_notifications(ours: Server, theirs: Server) -> None:
    """A client that listens for changes of keys misses some."""

    def play(port: int) -> list[Any]:
        with connect(port) as client:
            client.flushall()
            client.config_set("notify-keyspace-events", "KEA")
            listener = client.pubsub()
            listener.psubscribe("__key*@0__:*")
            listener.get_message(timeout=DEADLINE_S)
            client.set("k", "v", ex=100)
            client.zadd("z", {"a": 1})
            client.delete("k", "z")
            heard = [listener.get_message(timeout=DEADLINE_S) for _ in range(10)]
            client.config_set("notify-keyspace-events", "")
            listener.close()
            return heard

    assert play(theirs.port) == play(ours.port)


def test_pool_under_threads(ours: Server) -> None:
    """Connections of one pool, used by many threads, get each other's replies or lose increments."""
    pool = redis.BlockingConnectionPool(port=ours.port, max_connections=8, timeout=DEADLINE_S)
    client = redis.Redis(connection_pool=pool)
    client.delete("hits")
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(50):
            client.incr("hits")
            if client.echo(f"{number}:{turn}") != f"{number}:{turn}".encode():
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not wrong
    assert client.get("hits") == b"800"
    pool.disconnect()


@pytest.mark.parametrize("protocol", [2, 3])
def test_blocking_pops_wake_in_order(protocol: int, ours: Server) -> None:
    """Those who wait for a list or a sorted set are not served, or not in the order they came."""

    async def story() -> tuple[list[Any], list[Any]]:
        pool: Any = redis.asyncio.Redis(port=ours.port, protocol=protocol)
        async with pool as client:
            await client.flushall()
            lists, zsets = [], []
            for number in range(5):
                lists.append(asyncio.create_task(client.blpop("queue", 0)))
                zsets.append(asyncio.create_task(client.bzpopmin("zqueue", 0)))
                while (await client.info("clients"))["blocked_clients"] < 2 * number + 2:
                    await asyncio.sleep(0)
            await client.rpush("queue", *range(5))
            await client.zadd("zqueue", {str(number): number for number in range(5)})
            return (
                [(await asyncio.wait_for(task, DEADLINE_S))[1] for task in lists],
                [(await asyncio.wait_for(task, DEADLINE_S))[1] for task in zsets],
            )

    lists, zsets = asyncio.run(story())
    assert lists == zsets == [b"0", b"1", b"2", b"3", b"4"]


def test_locks(ours: Server) -> None:
    """A lock is held by two at once, or by nobody after it expired."""
    with connect(ours.port) as client:
        client.flushall()
        lock = client.lock("lock", timeout=100, blocking=False)
        other = client.lock("lock", timeout=100, blocking=False)
        assert lock.acquire()
        assert not other.acquire()
        assert lock.locked()
        assert lock.owned()
        assert not other.owned()
        assert 0 < client.pttl("lock") <= 100_000
        with pytest.raises(LockError):
            other.release()
        client.pexpire("lock", 1)
        while client.exists("lock"):
            pass
        assert other.acquire()
        assert not lock.owned()


def test_the_story_is_long_enough() -> None:
    """The comparison covers fewer calls than it promises."""
    assert len(STORY) >= 150
    assert len({step.method for step in STORY}) >= 120
    assert all(isinstance(step, Step) for step in STORY)
