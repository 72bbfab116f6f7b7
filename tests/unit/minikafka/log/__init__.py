"""What the tests of the log share: a clock to set by hand, batches, a log in a directory."""

import asyncio
from collections.abc import Callable
from random import Random

from minikafka.log.config import LogConfig
from minikafka.log.handles import Handles
from minikafka.log.health import Health
from minikafka.log.log import Log
from minikafka.log.reading import Read
from protocol.disk.files import Buffer, Disk
from protocol.kafka.records import NewRecord, build_batch
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

NOW_MS = 1_700_000_000_000


def to_list(lines: list[str] | None = None) -> KafkaLogger:
    """A log whose lines go into a list."""
    return KafkaLogger(Clock(), "test", (list[str]() if lines is None else lines).append)


class HandClock(Clock):
    """Wall time that stands still until somebody moves it."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return self.now_ms


def batch(
    count: int = 1,
    *,
    size: int = 10,
    timestamp: int = NOW_MS,
    producer_id: int = -1,
    epoch: int = 0,
    sequence: int = -1,
    attributes: int = 0,
    codec: int = 0,
) -> memoryview:
    """A batch as a client sends it: `count` records of `size` bytes, a millisecond apart."""
    records: list[NewRecord] = [(timestamp + at, b"key%d" % at, b"v" * size) for at in range(count)]
    return memoryview(
        build_batch(
            records,
            producer_id=producer_id,
            producer_epoch=epoch if producer_id >= 0 else -1,
            base_sequence=sequence,
            attributes=attributes,
            codec=codec,
        )
    )


def make_log(
    directory: object,
    config: LogConfig | None = None,
    clock: Clock | None = None,
    disk: Disk | None = None,
    handles: Handles | None = None,
    lines: list[str] | None = None,
    on_lost: Callable[[BaseException], None] | None = None,
) -> Log:
    """A log that is not open yet."""
    return Log(
        handles or Handles(disk or Disk(), 100),
        str(directory),
        config or LogConfig(index_bytes=4096),
        asyncio.get_running_loop(),
        clock or HandClock(),
        Random(1),
        Health(str(directory), clock or HandClock(), to_list(lines), on_lost),
    )


async def read(log: Log, offset: int, max_bytes: int = 1 << 20, up_to: int | None = None, **more: bool) -> Read:
    """A read that may have had to wait."""
    found = log.read(offset, max_bytes, up_to=log.log_end_offset if up_to is None else up_to, **more)
    return await found if isinstance(found, asyncio.Future) else found


async def read_all(log: Log, max_bytes: int = 1 << 20) -> bytes:
    """Everything from the log start to the log end, in steps."""
    offset, pieces = log.log_start_offset, list[Buffer]()
    while offset < log.log_end_offset:
        got = await read(log, offset, max_bytes)
        assert got.records, f"nothing at {offset}"
        pieces.append(got.records)
        offset = got.next_offset
    return b"".join(pieces)
