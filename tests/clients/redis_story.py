"""Calls of redis-py, told once: played through every kind of client to a real server and to ours.

A call is a method's name and its arguments. `tell` gives what each returned, with everything that is a matter of
order or chance made the same for both servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from redis.exceptions import RedisError


class Step(NamedTuple):
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        words = [repr(arg) for arg in self.args] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.method}({', '.join(words)})"


def call(method: str, *args: Any, **kwargs: Any) -> Step:
    return Step(method, args, kwargs)


STRINGS = [
    call("set", "k", "v"),
    call("get", "k"),
    call("set", "k", "w", nx=True),
    call("set", "k", "w", xx=True, get=True),
    call("set", "t", "1", ex=100),
    call("ttl", "t"),
    call("set", "t", "2", keepttl=True),
    call("ttl", "t"),
    call("set", "p", "1", px=100_000),
    call("getex", "p", persist=True),
    call("pttl", "p"),
    call("getdel", "p"),
    call("exists", "k", "t", "p"),
    call("append", "k", "xyz"),
    call("strlen", "k"),
    call("getrange", "k", 1, 2),
    call("setrange", "k", 6, "!"),
    call("get", "k"),
    call("incr", "n"),
    call("incrby", "n", 41),
    call("decr", "n"),
    call("decrby", "n", 10),
    call("incrbyfloat", "f", 0.5),
    call("incrbyfloat", "f", "1.25"),
    call("get", "f"),
    call("mset", {"a": "1", "b": "2", "c": "\u00fcml\u00e4ut"}),
    call("mget", "a", "b", "nokey", "c"),
    call("msetnx", {"a": "9", "z": "9"}),
    call("setnx", "y", "1"),
    call("setex", "e", 100, "1"),
    call("psetex", "e", timedelta(seconds=100), "2"),
    call("getset", "e", "3"),
    call("lcs", "a", "b"),
    call("substr", "k", 0, 1),
    call("incr", "k"),
    call("get", b"\x00\xff"),
    call("set", b"\x00\xff", b"\xfe\x00"),
    call("get", b"\x00\xff"),
]

KEYS = [
    call("keys", "*"),
    call("type", "k"),
    call("type", "nokey"),
    call("rename", "a", "aa"),
    call("renamenx", "b", "aa"),
    call("rename", "nokey", "x"),
    call("copy", "aa", "ab"),
    call("copy", "aa", "ab"),
    call("copy", "aa", "ab", replace=True),
    call("expire", "aa", 100),
    call("expire", "aa", 50, gt=True),
    call("ttl", "aa"),
    call("persist", "aa"),
    call("expireat", "aa", 9_000_000_000),
    call("expiretime", "aa"),
    call("pexpiretime", "aa"),
    call("pexpire", "ab", 100_000),
    call("ttl", "nokey"),
    call("touch", "aa", "ab", "nokey"),
    call("unlink", "ab"),
    call("delete", "aa", "nokey"),
    call("dbsize"),
    call("object", "encoding", "n"),
    call("object", "refcount", "n"),
    call("move", "y", 1),
    call("exists", "y"),
    call("scan", 0, "t*", 1000),
    call("scan", 0, None, 1000, "string"),
]

LISTS = [
    call("rpush", "l", "a", "b", "c"),
    call("lpush", "l", "z"),
    call("lpushx", "nolist", "x"),
    call("rpushx", "l", "d"),
    call("lrange", "l", 0, -1),
    call("llen", "l"),
    call("lindex", "l", 1),
    call("lset", "l", 0, "Z"),
    call("lset", "l", 99, "x"),
    call("linsert", "l", "BEFORE", "b", "bb"),
    call("linsert", "l", "after", "nowhere", "x"),
    call("lrem", "l", 0, "bb"),
    call("lpos", "l", "c"),
    call("lpos", "l", "c", count=0),
    call("lpop", "l"),
    call("rpop", "l", 2),
    call("lpop", "nolist", 2),
    call("ltrim", "l", 0, 0),
    call("rpush", "l2", "1", "2", "3"),
    call("lmove", "l2", "l3", "LEFT", "RIGHT"),
    call("rpoplpush", "l2", "l3"),
    call("lmpop", 2, "nolist", "l3", direction="LEFT", count=5),
    call("blpop", ["nolist", "l2"], 1),
    call("brpop", "nolist", 0.01),
    call("blmove", "nolist", "x", 0.01),
    call("blmpop", 0.01, 1, "nolist", direction="LEFT"),
    call("lpush", "k", "x"),
    call("rpush", "srt", "3", "1", "2"),
]

HASHES = [
    call("hset", "h", "a", "1"),
    call("hset", "h", mapping={"b": "2", "c": "3"}),
    call("hget", "h", "a"),
    call("hget", "h", "x"),
    call("hgetall", "h"),
    call("hmget", "h", "a", "x", "c"),
    call("hlen", "h"),
    call("hexists", "h", "a"),
    call("hstrlen", "h", "a"),
    call("hkeys", "h"),
    call("hvals", "h"),
    call("hincrby", "h", "a", 5),
    call("hincrbyfloat", "h", "b", 0.25),
    call("hsetnx", "h", "a", "9"),
    call("hdel", "h", "a", "x"),
    call("hgetall", "nohash"),
    call("hscan", "h", 0),
    call("hincrby", "h", "b", 1),
    call("hgetall", "k"),
    call("hrandfield", "nohash"),
    call("hset", "one", "f", "v"),
    call("hrandfield", "one", 1, True),
    call("hrandfield", "one", -2),
]

SETS = [
    call("sadd", "s", "a", "b", "c"),
    call("sadd", "s2", "b", "c", "d"),
    call("smembers", "s"),
    call("scard", "s"),
    call("sismember", "s", "a"),
    call("smismember", "s", ["a", "x"]),
    call("sinter", "s", "s2"),
    call("sunion", "s", "s2"),
    call("sdiff", "s", "s2"),
    call("sinterstore", "s3", "s", "s2"),
    call("sunionstore", "s4", "s", "s2"),
    call("sdiffstore", "s5", "s", "s2"),
    call("sintercard", 2, ["s", "s2"], 1),
    call("smove", "s", "s2", "a"),
    call("srem", "s", "b", "x"),
    call("spop", "s5"),
    call("spop", "nokey"),
    call("spop", "nokey", 2),
    call("srandmember", "nokey"),
    call("srandmember", "s", 5),
    call("sscan", "s2", 0),
    call("sadd", "k", "x"),
    call("spop", "s", 10),
    call("exists", "s"),
]

ZSETS = [
    call("zadd", "z", {"a": 1, "b": 2.5, "c": 3}),
    call("zadd", "z", {"a": 5}, nx=True),
    call("zadd", "z", {"a": 0.5}, xx=True, ch=True),
    call("zadd", "z", {"a": 2}, gt=True, ch=True),
    call("zadd", "z", {"a": 2}, incr=True),
    call("zincrby", "z", 0.5, "b"),
    call("zscore", "z", "b"),
    call("zscore", "z", "x"),
    call("zmscore", "z", ["a", "x"]),
    call("zcard", "z"),
    call("zcount", "z", "-inf", "(3"),
    call("zrank", "z", "a"),
    call("zrevrank", "z", "a"),
    call("zrank", "z", "x"),
    call("zrange", "z", 0, -1),
    call("zrange", "z", 0, -1, withscores=True),
    call("zrange", "z", 0, -1, desc=True, withscores=True),
    call("zrange", "z", 1, 9, byscore=True, offset=0, num=1),
    call("zrevrange", "z", 0, 1, withscores=True),
    call("zrangebyscore", "z", 1, 3, withscores=True, start=0, num=5),
    call("zrevrangebyscore", "z", "+inf", "-inf"),
    call("zadd", "lex", {"a": 0, "b": 0, "c": 0}),
    call("zrangebylex", "lex", "[a", "(c"),
    call("zrevrangebylex", "lex", "+", "-"),
    call("zlexcount", "lex", "-", "+"),
    call("zrangestore", "zs", "z", 0, 1),
    call("zunion", ["z", "lex"], withscores=True),
    call("zinter", {"z": 2, "lex": 1}, aggregate="MAX", withscores=True),
    call("zdiff", ["z", "lex"], withscores=True),
    call("zunionstore", "zu", ["z", "lex"]),
    call("zinterstore", "zi", {"z": 1, "lex": 2}),
    call("zdiffstore", "zd", ["z", "zs"]),
    call("zintercard", 2, ["z", "lex"], 1),
    call("zpopmin", "z"),
    call("zpopmax", "z", 2),
    call("zmpop", 1, ["lex"], min=True, count=2),
    call("bzpopmin", ["nokey", "lex"], 1),
    call("bzpopmax", "nokey", 0.01),
    call("bzmpop", 0.01, 1, ["nokey"], max=True),
    call("zremrangebyrank", "zu", 0, 0),
    call("zremrangebyscore", "zu", 0, 1),
    call("zremrangebylex", "zi", "-", "+"),
    call("zrandmember", "nokey"),
    call("zrandmember", "zs", 10, True),
    call("zscan", "zs", 0),
    call("zrem", "zs", "a", "x"),
    call("zadd", "k", {"a": 1}),
]

STREAMS = [
    call("xadd", "st", {"f": "1", "g": "a"}, id="1-1"),
    call("xadd", "st", {"f": "2", "g": "b"}, id="1-*"),
    call("xadd", "st", {"f": "3"}, id="5-0", maxlen=10, approximate=True),
    call("xadd", "st", {"f": "3"}, id="4-0"),
    call("xadd", "nost", {"f": "3"}, nomkstream=True),
    call("xlen", "st"),
    call("xrange", "st"),
    call("xrange", "st", min="(1-1", max="+", count=1),
    call("xrevrange", "st", count=2),
    call("xread", {"st": "1-1"}, count=1),
    call("xread", {"st": "5-0", "nost": "0"}),
    call("xread", {"st": "$"}, block=5),
    call("xgroup_create", "st", "g", "0"),
    call("xgroup_create", "st", "g", "0"),
    call("xgroup_create", "mk", "g", "$", mkstream=True),
    call("xgroup_createconsumer", "st", "g", "bob"),
    call("xreadgroup", "g", "alice", {"st": ">"}, count=2),
    call("xreadgroup", "g", "bob", {"st": ">"}),
    call("xreadgroup", "g", "alice", {"st": "0"}),
    call("xreadgroup", "g", "alice", {"st": ">"}, block=5),
    call("xreadgroup", "nog", "alice", {"st": ">"}),
    call("xpending", "st", "g"),
    call("xclaim", "st", "g", "bob", 0, ["1-1"]),
    call("xclaim", "st", "g", "bob", 0, ["1-2"], justid=True),
    call("xautoclaim", "st", "g", "carol", 0, count=1),
    call("xautoclaim", "st", "g", "carol", 0, justid=True),
    call("xack", "st", "g", "1-1", "9-9"),
    call("xpending", "st", "g"),
    call("xdel", "st", "5-0"),
    call("xreadgroup", "g", "carol", {"st": "0"}),
    call("xgroup_setid", "st", "g", "0"),
    call("xgroup_delconsumer", "st", "g", "carol"),
    call("xgroup_destroy", "st", "g"),
    call("xtrim", "st", maxlen=1, approximate=False),
    call("xtrim", "st", minid="9"),
    call("xinfo_stream", "st"),
    call("xinfo_groups", "mk"),
    call("xinfo_consumers", "mk", "g"),
    call("xadd", "k", {"f": "v"}),
]

SCRIPTS = [
    call("script_flush"),
    call("eval", "return {KEYS[1], ARGV[1], 3, false}", 1, "key", "arg"),
    call("script_load", "return redis.call('incr', KEYS[1])"),
    call("script_exists", "2e9a5b8d2e5a1b8d2e5a1b8d2e5a1b8d2e5a1b8d", "2bab3b661081db58bd2341920e0ba7cf5dc77b25"),
    call("evalsha", "2bab3b661081db58bd2341920e0ba7cf5dc77b25", 1, "scripted"),
    call("evalsha", "ffffffffffffffffffffffffffffffffffffffff", 0),
    call("eval_ro", "return redis.call('get', KEYS[1])", 1, "scripted"),
    call("eval_ro", "return redis.call('set', KEYS[1], 1)", 1, "scripted"),
    call("eval", "return redis.call('lpush', KEYS[1], 1)", 1, "scripted"),
    call("eval", "return redis.pcall('lpush', KEYS[1], 1)", 1, "scripted"),
    call("eval", "return cjson.encode(cjson.decode(ARGV[1]))", 0, '[1,{"a":null}]'),
    call("script_kill"),
]

SERVER = [
    call("ping"),
    call("echo", "hello"),
    call("flushdb"),
    call("dbsize"),
    call("config_get", "maxmemory-policy"),
    call("config_set", "hash-max-listpack-entries", 100),
    call("config_get", "hash-max-listpack-entries"),
    call("config_set", "hash-max-listpack-entries", 128),
    call("config_set", "nosuch", 1),
    call("client_setname", "story"),
    call("client_getname"),
    call("publish", "nobody", "x"),
    call("pubsub_channels"),
    call("pubsub_numsub", "a"),
    call("pubsub_numpat"),
    call("execute_command", "NOSUCH", "a", "b"),
    call("execute_command", "GET"),
    call("swapdb", 0, 1),
    call("swapdb", 0, 1),
    call("role"),
    call("command_getkeys", "MSET", "a", "1", "b", "2"),
    call("flushall"),
]

STORY: list[Step] = [*STRINGS, *KEYS, *LISTS, *HASHES, *SETS, *ZSETS, *STREAMS, *SCRIPTS, *SERVER]
assert len(STORY) >= 150, len(STORY)

# Answered one by one: what waits or speaks of the connection has no place in a pipeline.
PIPELINED = [step for step in STORY if not step.method.startswith(("b", "client", "object"))]

# What these return has no order of its own.
_UNORDERED = {"keys", "hkeys", "hvals", "smembers", "sinter", "sunion", "sdiff", "srandmember", "spop"}


def told(method: str, value: Any) -> Any:
    """A result as it can be compared: no order where there is none, an error by its kind and text."""
    if isinstance(value, RedisError):
        return (type(value).__name__, str(value))
    if isinstance(value, set):
        return sorted(value, key=repr)
    if method in _UNORDERED and isinstance(value, list):
        return sorted(value, key=repr)
    if method in ("scan", "sscan"):
        return (value[0], sorted(value[1], key=repr)) if isinstance(value, list | tuple) else value
    return value


def attempt(client: Any, step: Step) -> Any:
    """Make one call of a synchronous client."""
    try:
        return told(step.method, getattr(client, step.method)(*step.args, **step.kwargs))
    except RedisError as error:
        return told(step.method, error)


def differences(steps: list[Step], theirs: list[Any], ours: list[Any]) -> Iterator[str]:
    for step, real, mine in zip(steps, theirs, ours, strict=True):
        if real != mine:
            yield f"{step}\n    real {real!r}\n    ours {mine!r}"


def assert_same(steps: list[Step], play: Callable[[int], list[Any]], real_port: int, our_port: int) -> None:
    found = list(differences(steps, play(real_port), play(our_port)))
    assert not found, "\n".join(found[:20])
