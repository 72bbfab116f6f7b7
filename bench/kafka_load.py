"""One C client against minikafka and Apache Kafka in turn: rates, latency, CPU per record, idle cost, start."""

import functools
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench import librdkafka
from bench.rounds import Row, alternate
from tests.peers import kafka

BATCHED = ("-X", "linger.ms=5", "-X", "batch.num.messages=10000")
ONE_RECORD = ("-X", "linger.ms=0", "-X", "batch.num.messages=1", "-X", "max.in.flight=1000")
IDEMPOTENT = ("-a", "-1", "-X", "enable.idempotence=true")
CPU_CLOCK = 2  # of the kernel's clocks of a process: what it has had of the processors
LATENCY_RECORDS, LATENCY_RATE = 5_000, 1_000
IDLE_SECONDS = 10.0
FREE_BYTES = 2 * 1024**3  # more free memory than this is given to the page cache before a workload
CHUNK_BYTES = 32 * 1024**2


class Holes:
    """A file of nothing but holes, whose pages fill the page cache: the state of any machine that has been up for long,
    where memory for a new page is taken from an old file's. Free memory of a virtual machine may have gone back to its
    host; getting such a page again costs several times what copying into it does, and has nothing to do with whose turn
    it is."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(dir=Path.cwd(), buffering=0)  # noqa: SIM115 (open while its pages are wanted)
        self._file.truncate(1024**4)
        self._into = bytearray(CHUNK_BYTES)

    def fill_memory(self) -> None:
        """Read on, from where it stood, until little memory is free; at most once the size of memory."""
        for _ in range(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // CHUNK_BYTES):
            if free_bytes() <= FREE_BYTES:
                return
            self._file.readinto(self._into)


@functools.cache
def holes() -> Holes:
    return Holes()


def free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, to the nanosecond: what clock_getcpuclockid(3) would have us read."""
    return time.clock_gettime(~pid << 3 | CPU_CLOCK)


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def produce(broker: kafka.Broker, size: int, count: int, *options: str) -> dict[str, float]:
    """Records per second into a new topic, and the broker's core-seconds per million records."""
    topic = f"t{uuid.uuid4().hex[:12]}"
    holes().fill_memory()
    before = cpu_seconds(broker.pid)
    rate = librdkafka.run(
        "-P", "-t", topic, "-s", str(size), "-c", str(count), "-b", f"127.0.0.1:{broker.port}", "-q", *options
    )  # fmt: skip
    return {"records/s": rate, "core-s per million": (cpu_seconds(broker.pid) - before) / count * 1e6}


def consume(broker: kafka.Broker, topic: str, count: int) -> dict[str, float]:
    """Records per second out of partition 0, from its beginning."""
    where = f"127.0.0.1:{broker.port}"
    holes().fill_memory()
    return {
        "records/s": librdkafka.run(
            "-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", str(count), "-b", where, "-q"
        )
    }


def fill(broker: kafka.Broker, count: int) -> str:
    topic = f"c{uuid.uuid4().hex[:12]}"
    where = f"127.0.0.1:{broker.port}"
    librdkafka.run("-P", "-t", topic, "-p", "0", "-s", "100", "-c", str(count), "-a", "1", "-b", where, "-q", *BATCHED)
    return topic


def latency(broker: kafka.Broker) -> dict[str, float]:
    """Milliseconds from send to receipt through the broker, at a steady rate."""
    topic, where = f"l{uuid.uuid4().hex[:12]}", f"127.0.0.1:{broker.port}"
    warm = ("-P", "-t", topic, "-p", "0", "-s", "100", "-a", "1", "-b", where, "-q", "-X", "linger.ms=0")
    librdkafka.run(*warm, "-c", "10")
    from_end = ("-C", "-t", topic, "-p", "0", "-o", "end", "-b", where, "-q", "-X", "fetch.wait.max.ms=100")
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times"
        reader = subprocess.Popen(
            [str(librdkafka.load_tool()), *from_end, "-l", "-A", str(times), "-c", str(LATENCY_RECORDS)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(1)  # the consumer has no sign of being at the end; late records are merely not counted
            librdkafka.run(*warm, "-l", "-r", str(LATENCY_RATE), "-c", str(LATENCY_RECORDS + 500))
            reader.wait(60)
        finally:
            reader.kill()
            reader.wait()
        took = sorted(int(line) / 1000 for line in times.read_text().split())[:LATENCY_RECORDS]
    return {"p50 ms": statistics.median(took), "p99 ms": took[int(len(took) * 0.99)]}


def idle(broker: kafka.Broker) -> dict[str, float]:
    before = cpu_seconds(broker.pid)
    time.sleep(IDLE_SECONDS)
    return {"% of a core": (cpu_seconds(broker.pid) - before) / IDLE_SECONDS * 100, "MB": resident_mb(broker.pid)}


def start_seconds(make: Callable[[], kafka.Broker]) -> dict[str, float]:
    began = time.monotonic()
    with make():
        return {"s": time.monotonic() - began}


WORKLOADS: tuple[tuple[str, Callable[[kafka.Broker], dict[str, float]], dict[str, tuple[float, bool]]], ...] = (
    (
        "produce 100 B, acks 1",
        lambda b: produce(b, 100, 2_000_000, "-a", "1", *BATCHED),
        {"records/s": (1.0, True), "core-s per million": (0.6, False)},
    ),
    (
        "produce 1 KB, acks 1",
        lambda b: produce(b, 1024, 200_000, "-a", "1", *BATCHED),
        {"records/s": (1.0, True), "core-s per million": (0.6, False)},
    ),
    (
        "produce 100 B, idempotent, acks all",
        lambda b: produce(b, 100, 2_000_000, *IDEMPOTENT, *BATCHED),
        {"records/s": (1.0, True), "core-s per million": (0.6, False)},
    ),
    ("produce 100 B, acks 1, lz4", lambda b: produce(b, 100, 2_000_000, "-a", "1", "-z", "lz4", *BATCHED), {}),
    (
        "one-record requests, acks 1",
        lambda b: produce(b, 100, 60_000, "-a", "1", *ONE_RECORD),
        {"records/s": (2.5, True)},
    ),
    ("end to end at 1,000 records/s", latency, {"p50 ms": (1.0, False), "p99 ms": (1.0, False)}),
)


def measure(rounds: int) -> dict[str, list[Row]]:
    """One table. Brokers are warmed by each workload's uncounted first run."""
    rows: list[Row] = []

    def add(name: str, table: dict[str, tuple[float, float, float]], bars: dict[str, tuple[float, bool]]) -> None:
        for unit, numbers in table.items():
            bar, more = bars.get(unit, (None, unit.endswith("/s")))
            rows.append(Row(name, unit, *numbers, bar=bar, more_is_better=more))

    with kafka.our_broker() as ours, kafka.real_broker() as real:
        add("idle", alternate(lambda: idle(ours), lambda: idle(real), 1), {})
        for name, workload, bars in WORKLOADS:
            table = alternate(lambda w=workload: w(ours), lambda w=workload: w(real), rounds)
            add(name, table, bars)
        count = 3_000_000
        mine, theirs = fill(ours, count), fill(real, count)
        add(
            "consume 100 B",
            alternate(lambda: consume(ours, mine, count), lambda: consume(real, theirs, count), rounds),
            {"records/s": (1.0, True)},
        )
    add("start", alternate(lambda: start_seconds(kafka.our_broker), lambda: start_seconds(kafka.real_broker), 2), {})
    return {"one C client (librdkafka), one broker": rows}
