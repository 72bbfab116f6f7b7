"""redis-benchmark against miniredis and redis-server in turn."""

import csv
import io
import subprocess

from bench.rounds import Row, alternate
from tests.peers import redis

CLIENTS = 50
PIPELINE_BARS = {1: 0.7, 16: 0.25}
BARRED = ("SET", "GET", "INCR", "LPUSH", "HSET", "ZADD")
LPUSH_DEEP_BAR = 0.15
REQUESTS = {1: 60_000, 16: 400_000}
SHAPES = {"as it comes": [], "-r 100000 -d 100": ["-r", "100000", "-d", "100"]}
DEFAULT_TESTS = "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset"


def figures(port: int, pipeline: int, shape: list[str]) -> dict[str, float]:
    """Requests per second of each default test."""
    command = ["redis-benchmark", "-p", str(port), "-c", str(CLIENTS), "-P", str(pipeline), "--csv"]
    command += ["-n", str(REQUESTS[pipeline]), "-t", DEFAULT_TESTS, *shape]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    rows = csv.DictReader(io.StringIO(done.stdout))
    # LRANGE's own warm-up is an LPUSH of another size; it is not one of the tests.
    return {row["test"].split(" (")[0]: float(row["rps"]) for row in rows if "needed to benchmark" not in row["test"]}


def bar(test: str, pipeline: int) -> float | None:
    if test not in BARRED:
        return None
    return LPUSH_DEEP_BAR if (test, pipeline) == ("LPUSH", 16) else PIPELINE_BARS[pipeline]


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
