"""Scripts through a client: redis-py's locks, and a script that does not end."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import LockNotOwnedError, RedisError

from tests.peers.redis import Server, our_server, real_server

DEADLINE_S = 60
THRESHOLD_MS = 50

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    with our_server("--busy-reply-threshold", str(THRESHOLD_MS)) as server:
        yield server


@pytest.fixture(scope="module")
def real() -> Iterator[Server]:
    with real_server() as server:
        yield server


def told(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except RedisError as error:
        return type(error).__name__, str(error)


def lock_story(port: int) -> list[Any]:
    with redis.Redis(port=port) as client:
        client.flushall()
        lock, other = (client.lock("lock", timeout=100, blocking=False, thread_local=False) for _ in range(2))
        other.local.token = b"somebody else's"
        steps: list[Callable[[], Any]] = [
            lock.acquire, other.release, lock.owned, lambda: lock.extend(50), lambda: 100 < client.ttl("lock") <= 150,
            lambda: lock.extend(10, replace_ttl=True), lambda: 0 < client.ttl("lock") <= 10,
            lambda: other.extend(10), lock.reacquire, lambda: 90 < client.ttl("lock") <= 100, other.reacquire,
            lock.release, lambda: client.exists("lock"), lock.release,
            client.script_flush, lambda: client.lock("again", timeout=5).acquire(),
            lambda: client.register_script("return {KEYS[1], ARGV[1], 3}")(keys=["k"], args=["v"]),
            lambda: client.script_exists("e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
            lambda: client.eval("return redis.call('set', KEYS[1], ARGV[1])", 1, "k", "v"),
            lambda: client.eval("return redis.call('lpush', KEYS[1], ARGV[1])", 1, "k", "v"),
            client.script_kill,
        ]  # fmt: skip
        found = []
        for step in steps:
            found.append(told(step))
            if step == other.release:
                other.local.token = b"somebody else's"
        return found


def test_locks_are_released_and_extended_as_with_redis(ours: Server, real: Server) -> None:
    """redis-py's Lock works by EVALSHA: a lock could not be released, or anybody could release it."""
    mine = lock_story(ours.port)
    assert mine == lock_story(real.port)
    assert mine[0] is True
    assert mine[1][0] == LockNotOwnedError.__name__


class Running:
    """A script that a client of its own has sent, and what came of it."""

    def __init__(self, port: int, send: Callable[[redis.Redis], Any]) -> None:
        self.answer: Any = None
        self.thread = threading.Thread(target=self._run, args=(port, send))
        self.thread.start()

    def _run(self, port: int, send: Callable[[redis.Redis], Any]) -> None:
        with redis.Redis(port=port) as client:
            self.answer = told(lambda: send(client))

    def end(self) -> Any:
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        return self.answer


def until_busy(client: redis.Redis) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while "running a script" not in str(told(client.ping)):
        assert time.monotonic() < deadline, "nobody was told BUSY"


ENDLESS = [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "repeat redis.pcall('get', 'x') until false",
    "repeat pcall(redis.call, 'nosuch') until false",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "xpcall(function() error('x') end, function() while true do end end)",
    "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    "table.sort({1, 2, 3}, function() while true do end end)",
    "return (string.gsub('aaa', 'a', function() while true do end end))",
    "load(function() while true do end end)",
    "local function f() return f() end return f()",
    "return string.find(('a'):rep(2000), '.-.-.-.-.-b')",
    "return string.gsub(('a'):rep(50000), 'a*a*b', '')",
    "for word in string.gmatch(('a'):rep(20000), '(.-)(.-)%1b') do end",
    "local p = newproxy(true) getmetatable(p).__index = function() while true do end end return p.x",
    "local p = newproxy(true) getmetatable(p).__tostring = function() while true do end end return tostring(p)",
    "setfenv(1, setmetatable({}, {__index = function() while true do end end})) return x",
    "return __redis__err__handler(setmetatable({}, {__newindex = function() while true do end end}))",
]


@pytest.mark.parametrize("script", ENDLESS)
def test_a_script_without_end_is_killed(script: str, ours: Server) -> None:
    """One script without end is the end of the server: nobody is answered, nobody can end it."""
    with redis.Redis(port=ours.port) as client:
        running = Running(ours.port, lambda other: other.eval(script, 0))
        until_busy(client)
        waits = []
        for _ in range(5):
            asked = time.monotonic()
            assert "running a script" in told(client.dbsize)[1]
            waits.append(time.monotonic() - asked)
        assert min(waits) < 1  # 50 ms, on a machine that does nothing else
        assert client.script_kill() is True
        assert "Script killed by user with SCRIPT KILL" in str(running.end())
        assert client.ping() is True
        assert client.eval("return 1", 0) == 1


def test_a_function_without_end_is_killed(ours: Server) -> None:
    """What SCRIPT KILL does for scripts, nothing does for functions; or its library is lost with the interpreter."""
    library = "#!lua name=endless\nlocal n = 0 redis.register_function('loop', function() while true do end end) "
    library += "redis.register_function('count', function() n = n + 1 return n end)"
    with redis.Redis(port=ours.port) as client:
        assert client.function_load(library, replace=True) == b"endless"
        assert client.fcall("count", 0) == 1
        running = Running(ours.port, lambda other: other.fcall("loop", 0))
        until_busy(client)
        assert "FUNCTION KILL" in told(client.dbsize)[1]
        assert "FUNCTION KILL" in told(client.script_kill)[1]
        assert "loop" in str(client.function_stats())
        assert client.function_kill() in (b"OK", True)
        assert "Script killed by user" in str(running.end())
        assert client.fcall("count", 0) == 1  # in an interpreter made anew
        assert client.function_delete("endless") in (b"OK", True)


def test_a_library_that_does_not_end_is_given_up(ours: Server) -> None:
    """FUNCTION LOAD of an endless loop is the end of the server, or leaves a library behind."""
    with redis.Redis(port=ours.port) as client:
        for body in ("while true do end", "repeat redis.log(0, 'x') until false"):
            answer = told(lambda body=body: client.function_load(f"#!lua name=never\n{body}"))
            assert answer[1].endswith("FUNCTION LOAD timeout")
        assert client.function_list() == []


def test_a_script_that_has_written_is_not_killed(ours: Server) -> None:
    """Half of a script's writes stay."""
    script = """
    redis.call('set', 'half', 1)
    local begun = os.clock()
    while os.clock() - begun < 0.5 do end
    return redis.call('incr', 'half')
    """
    with redis.Redis(port=ours.port) as client:
        running = Running(ours.port, lambda other: other.eval(script, 0))
        until_busy(client)
        assert "already executed write" in told(client.script_kill)[1]
        assert running.end() == 2
        assert client.get("half") == b"2"


def test_a_transaction_with_a_long_script_stays_whole(ours: Server) -> None:
    """Others see the middle of a transaction, or it is lost when its script takes long."""

    def transaction(other: redis.Redis) -> Any:
        with other.pipeline() as pipe:
            pipe.set("m", 1)
            pipe.eval("local t = os.clock() while os.clock() - t < 0.4 do end return redis.call('incr', 'm')", 0)
            pipe.incr("m")
            return pipe.execute()

    with redis.Redis(port=ours.port) as client:
        client.delete("m")
        running = Running(ours.port, transaction)
        until_busy(client)
        assert "running a script" in told(lambda: client.get("m"))[1]
        assert running.end() == [True, 2, 3]
        assert client.get("m") == b"3"


def busy_story(port: int) -> list[Any]:
    """What clients in every state are told before, while and after a script and a function do not end."""
    with redis.Redis(port=port) as client:
        client.flushall()
        client.config_set("busy-reply-threshold", THRESHOLD_MS)
        endless = "redis.register_function('l', function() while true do end end)"
        client.function_load(f"#!lua name=l\n{endless}", replace=True)
        found: list[Any] = []
        for begin, kill in (("EVAL 'while true do end' 0", "SCRIPT KILL"), ("FCALL l 0", "FUNCTION KILL")):
            open_, late, fresh = (redis.Redis(port=port, single_connection_client=True) for _ in range(3))
            steps = [(open_, "MULTI"), (open_, "SET x 1"), (late, "MULTI"), (late, "SET x 2")]
            found += [told(lambda c=c, words=words: c.execute_command(*shlex.split(words))) for c, words in steps]
            running = Running(port, lambda other, begin=begin: other.execute_command(*shlex.split(begin)))
            until_busy(client)
            steps = [
                (open_, "SET y 1"), (open_, "EXEC"), (late, "SET y 2"), (fresh, "PING"), (fresh, "WATCH k"),
                (fresh, "MULTI"), (fresh, "INCR n"), (client, "SCRIPT KILL" if "FUNC" in kill else "FUNCTION KILL"),
                (client, kill),
            ]  # fmt: skip
            found += [told(lambda c=c, words=words: c.execute_command(*shlex.split(words))) for c, words in steps]
            found.append(str(running.end()))
            steps = [(late, "EXEC"), (fresh, "EXEC"), (fresh, "EXEC"), (client, "MGET x y n"), (client, kill)]
            found += [told(lambda c=c, words=words: c.execute_command(*shlex.split(words))) for c, words in steps]
            for connection in (open_, late, fresh):
                connection.close()
        return found


def test_who_is_told_what_while_a_script_runs_is_as_with_redis(ours: Server, real: Server) -> None:
    """Half of a transaction is run: the half that came when the script had ended."""
    mine = busy_story(ours.port)
    assert mine == busy_story(real.port)
    assert any("ExecAbortError" in str(answer) for answer in mine)


def test_info_tells_what_scripts_take() -> None:
    """INFO says that no script is known and none takes memory, whatever was loaded."""
    with our_server() as server, redis.Redis(port=server.port) as client:
        before = client.info("memory")
        assert (
            before["number_of_cached_scripts"] == before["used_memory_scripts"] == before["used_memory_vm_total"] == 0
        )
        client.eval("return 1 -- " + "y" * 1000, 0)
        client.function_load("#!lua name=l\nredis.register_function('f', function() return 1 end) --" + "x" * 1000)
        after = client.info("memory")
        names = ("number_of_cached_scripts", "number_of_libraries", "number_of_functions")
        assert [after[name] for name in names] == [1, 1, 1]
        assert min(after["used_memory_scripts_eval"], after["used_memory_functions"]) > 1000
        assert min(after["used_memory_vm_eval"], after["used_memory_vm_functions"]) > 10_000
        for number in range(600):
            client.eval(f"return {number}", 0)
        assert client.info("memory")["number_of_cached_scripts"] == 500
        assert client.info("stats")["evicted_scripts"] == 101
        client.script_flush()
        client.function_flush()
        assert client.info("memory")["used_memory_scripts"] == 0


def test_the_server_ends_although_a_script_does_not() -> None:
    """SHUTDOWN NOSAVE, the last resort, waits for the script it is to end."""
    with our_server("--busy-reply-threshold", str(THRESHOLD_MS)) as server, redis.Redis(port=server.port) as client:
        running = Running(server.port, lambda other: other.eval("while true do end", 0))
        until_busy(client)
        client.shutdown(nosave=True)
        assert running.end()[0].endswith("Error")
        assert "ConnectionError" in str(told(client.ping))
