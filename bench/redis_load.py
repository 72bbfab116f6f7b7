"""redis-benchmark against miniredis and redis-server in turn."""

import csv
import io
import subprocess

from bench.rounds import Row, alternate
from tests.peers import redis

CLIENTS = 50
# The least ratio to redis-server by pipeline: of every test, and of some that differ.
BARS = {1: 0.7, 16: 0.2}
DEEP_BARS = dict.fromkeys(("PING_INLINE", "PING_MBULK", "RPUSH", "LPOP", "RPOP", "SPOP", "ZPOPMIN"), 0.12)
DEEP_BARS |= dict.fromkeys(("SET", "GET", "INCR", "HSET", "ZADD"), 0.25) | {"LPUSH": 0.15}
REQUESTS = {1: 60_000, 16: 400_000}
SHAPES = {"as it comes": [], "-r 100000 -d 100": ["-r", "100000", "-d", "100"]}
DEFAULT_TESTS = "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,mset"
# Their replies are long: a tenth of the requests.
RANGES = "lrange_100,lrange_300,lrange_500,lrange_600"
# Redis 7.4's benchmark has it among its tests, 7.0's has not.
XADD = ("XADD", "mystream", "*", "myfield")


def figures(port: int, pipeline: int, shape: list[str]) -> dict[str, float]:
    """Requests per second of each default test."""
    requests = REQUESTS[pipeline]
    data = "x" * 100 if shape else "xxx"
    return (
        throughput(port, pipeline, requests, [*shape, "-t", DEFAULT_TESTS])
        | throughput(port, pipeline, requests, [*shape, *XADD, data])
        | throughput(port, pipeline, requests // 10, [*shape, "-t", RANGES])
    )


def throughput(port: int, pipeline: int, requests: int, what: list[str]) -> dict[str, float]:
    """Requests per second of each test that redis-benchmark is asked for."""
    command = ["redis-benchmark", "-p", str(port), "-c", str(CLIENTS), "-P", str(pipeline), "--csv"]
    done = subprocess.run(
        [*command, "-n", str(requests), *what], capture_output=True, text=True, check=True, timeout=600
    )
    rows = csv.DictReader(io.StringIO(done.stdout))
    # LRANGE's own warm-up is an LPUSH of another size; it is not one of the tests.
    return {row["test"].split(" ")[0]: float(row["rps"]) for row in rows if "needed to benchmark" not in row["test"]}


def bar(test: str, pipeline: int) -> float:
    return DEEP_BARS.get(test, BARS[pipeline]) if pipeline > 1 else BARS[pipeline]


def measure(rounds: int) -> dict[str, list[Row]]:
    """Tables by title. Both servers are fresh for each table, so neither carries the other's keys."""
    tables = {}
    for pipeline in REQUESTS:
        for title, shape in SHAPES.items():
            with redis.our_server() as ours, redis.real_server() as real:
                table = alternate(
                    lambda p=pipeline, s=shape, o=ours: figures(o.port, p, s),
                    lambda p=pipeline, s=shape, r=real: figures(r.port, p, s),
                    rounds,
                )
            tables[f"redis-benchmark, {CLIENTS} clients, pipeline {pipeline}, {title}"] = [
                Row(name, "requests/s", *numbers, bar=bar(name, pipeline)) for name, numbers in table.items()
            ]
    return tables
