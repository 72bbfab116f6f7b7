"""The main job on real input: a million lines of this machine through kcat, a group of consumers, and Redis.

On the way the broker is killed with SIGKILL and started again, one worker is killed with SIGKILL, and one joins late.
The counts must be what `sort | uniq -c` says: a record lost, delivered twice or counted twice shows.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.peers import kafka
from tests.peers.redis import our_server

LINES = 1_000_000
PARTITIONS = 8
TOP = 100
DEADLINE_S = 240.0
SAFELY = ("-X", "acks=all", "-X", "enable.idempotence=true", "-X", "message.timeout.ms=120000")
# Text every Debian machine has: package lists and descriptions, and the source of Python and of what is installed.
PLACES = (
    "/var/lib/dpkg",
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    "/usr/share/doc",
    "/usr/include",
)
TEXT = (".py", ".list", ".md5sums", ".pyi", ".txt", ".h", "status")


def text_files() -> Iterator[Path]:
    for place in PLACES:
        for folder, _, names in sorted(os.walk(place)):
            yield from (Path(folder) / name for name in sorted(names) if name.endswith(TEXT))


def gather(target: Path) -> None:
    """The first LINES lines of this machine's text, in one file."""
    wanted = LINES
    with target.open("wb") as out:
        for path in text_files():
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                if b"\0" not in data:
                    lines = [line for line in data.splitlines() if line.strip()][:wanted]
                    out.write(b"".join(line + b"\n" for line in lines))
                    wanted -= len(lines)
            if not wanted:
                return
    raise RuntimeError(f"this machine has only {LINES - wanted} lines of text in {PLACES}")


def counted_by_sort(lines: Path) -> list[tuple[bytes, int]]:
    """`sort | uniq -c | sort -rn`, ties by word backwards as ZREVRANGE has them."""
    shell = "tr -s '[:space:]' '\\n' | grep -a . | sort | uniq -c | sort -k1,1nr -k2,2r"
    with lines.open("rb") as source:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", shell], stdin=source, capture_output=True, check=True,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        )  # fmt: skip
    rows = [line.split(None, 1) for line in done.stdout.splitlines()]
    return [(word, int(times)) for times, word in rows]


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


def worker(broker: str, redis_port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.clients.wordcount", "--kafka", broker, "--redis", str(redis_port)],
        cwd=Path(__file__).resolve().parents[2],
    )


@pytest.mark.peer
@pytest.mark.timeout(600)
def test_a_million_lines_are_counted_once_each(tmp_path: Path) -> None:
    """Records lost in a crash of the broker, or counted twice at a rebalance, would change a count."""
    kcat = shutil.which("kcat") or kafka.missing("no kcat: apt-get install kcat")
    lines = tmp_path / "lines"
    gather(lines)
    with kafka.our_broker({"num.partitions": str(PARTITIONS)}) as broker, our_server() as store:
        counts = redis.Redis(port=store.port)
        producer = subprocess.Popen([kcat, "-P", "-b", broker.address, "-t", "lines", "-l", str(lines), *SAFELY])
        group = [worker(broker.address, store.port) for _ in range(2)]

        def counted() -> int:
            return sum(int(counts.get(f"offset:{number}") or 0) for number in range(PARTITIONS))

        try:
            until(lambda: counted() > LINES // 20, "the first lines are counted")
            broker.kill()
            broker.start()
            until(lambda: counted() > LINES // 4, "a quarter of the lines is counted")
            group.append(worker(broker.address, store.port))
            until(lambda: counted() > LINES // 2, "half the lines are counted")
            group[0].send_signal(signal.SIGKILL)
            assert producer.wait(DEADLINE_S) == 0, "kcat gave up on lines"
            until(lambda: counted() >= LINES, "all lines are counted")
        finally:
            producer.kill()
            for process in group[1:]:
                process.terminate()
            for process in [producer, *group]:
                process.wait(30)
        assert counted() == LINES
        truth = counted_by_sort(lines)
        assert counts.zcard("words") == len(truth)
        assert counts.zrevrange("words", 0, TOP - 1, withscores=True) == truth[:TOP]
        assert sum(map(int, counts.hvals("lengths"))) == sum(times for _, times in truth)
