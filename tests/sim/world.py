"""A world in one process: an event loop whose time is virtual and whose network is in memory.

Servers run on it unmodified. Laws:

1. Time moves only when nobody has anything to do: then it jumps to the next timer. Nothing sleeps, no thread starts.
2. Everything that could differ between two runs comes from the seed: latency of each delivery, where a stream of bytes
   is cut, how long an executor takes. Order on one connection is kept, as TCP keeps it; callbacks of one instant keep
   the order asyncio promises.
3. What happens is written to a trace; `fingerprint` is equal for equal seeds.
"""

import asyncio
import heapq
import random
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from protocol.checksums import xxh3_64
from protocol.ops.clock import Clock
from protocol.ops.process import Child, Process

Result = TypeVar("Result")

EPOCH_MS = 1_700_000_000_000  # where the wall clock of every world starts
LATENCY_S = (0.000_05, 0.002)
EXECUTOR_S = (0.000_1, 0.01)  # an fsync, a cold read
FORK_S = 0.02  # what a forked child takes
MAX_TURNS = 5_000_000  # a world that does more than this hangs


class Stuck(Exception):
    """Nothing is ready and no timer is set, but the run is not over: everybody waits for somebody else."""


class NoSelector(selectors.BaseSelector):
    """The world has no files; the loop's own wake-up pipe is all that is ever registered."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, int(fileobj), events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, int(fileobj), 0, None)

    def get_key(self, fileobj: Any) -> Any:
        raise KeyError(fileobj)

    def get_map(self) -> Any:
        return {}

    def select(self, timeout: float | None = None) -> list[Any]:
        return []


class SimHandle:
    """What is to be called; of a timer also when. Contexts of the caller play no part: there is only one."""

    __slots__ = ("_args", "_callback", "_when")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], when: float = 0.0) -> None:
        self._callback: Callable[..., Any] | None = callback
        self._args = args
        self._when = when

    def cancel(self) -> None:
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when


class SimLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with a virtual clock, an in-memory network, and executors that finish in virtual time."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.trace: list[tuple[float, str, str]] = []
        self.now = 0.0
        self._turns = 0
        self._soon: deque[SimHandle] = deque()
        self._timers: list[tuple[float, int, SimHandle]] = []  # a heap; of one instant the earlier made comes first
        self._made = 0
        self._listeners: dict[tuple[str, int] | str, Callable[[], Any]] = {}
        self._ports = iter(range(20_000, 60_000))
        super().__init__(NoSelector())

    # Time, and what is called.

    def time(self) -> float:
        return self.now

    def hold(self, seconds: float) -> None:
        """The process stands still while the world goes on."""
        self.now += seconds

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        handle = SimHandle(callback, args)
        self._soon.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.call_at(self.now + delay, callback, *args)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        self._made += 1
        handle = SimHandle(callback, args, when)
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def _run_once(self) -> None:
        """A turn: who is ready, and whose time has come; where nobody is, time moves on to the next timer."""
        soon, timers = self._soon, self._timers
        while timers and timers[0][2]._callback is None:
            heapq.heappop(timers)
        if not soon and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise Stuck(f"at {self.now:.6f}: nothing is ready and no timer is set")
            self.now = max(self.now, timers[0][0])
            self._turns += 1
            assert self._turns < MAX_TURNS, f"seed {self.seed}: no end in sight"
        while timers and timers[0][0] <= self.now:
            soon.append(heapq.heappop(timers)[2])
        for _ in range(len(soon)):
            handle = soon.popleft()
            callback = handle._callback
            if callback is not None:
                try:
                    callback(*handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"Exception in {callback}", "exception": error})

    def note(self, kind: str, what: str) -> None:
        self.trace.append((self.now, kind, what))

    def fingerprint(self) -> int:
        return xxh3_64("\n".join([f"{at:.9f} {kind} {what}" for at, kind, what in self.trace]).encode())

    # Executors.

    def run_in_executor(self, executor: Any, func: Callable[..., Result], *args: Any) -> asyncio.Future[Result]:  # type: ignore[override]
        future: asyncio.Future[Result] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except OSError as error:
                future.set_exception(error)

        self.call_later(self.chance.uniform(*EXECUTOR_S), work)
        return future

    # Network.

    async def create_server(self, factory: Callable[[], Any], host: str = "", port: int = 0, **_: Any) -> Any:  # type: ignore[override]
        port = port or next(self._ports)
        if (host, port) in self._listeners:
            raise OSError(98, "Address already in use")
        self._listeners[host, port] = factory
        return SimServer(self, (host, port))

    async def create_connection(self, factory: Callable[[], Any], host: str = "", port: int = 0, **_: Any) -> Any:  # type: ignore[override]
        await asyncio.sleep(self.chance.uniform(*LATENCY_S))
        accept = self._listeners.get((host, port))
        if accept is None:
            raise ConnectionRefusedError(111, "Connection refused")
        near, far = factory(), accept()
        local = (host, next(self._ports))
        out = SimTransport(self, near, local, (host, port))
        back = SimTransport(self, far, (host, port), local)
        out.other, back.other = back, out
        far.connection_made(back)
        near.connection_made(out)
        self.note("open", f"{local[1]}->{port}")
        return out, near

    def forget(self, address: tuple[str, int]) -> None:
        self._listeners.pop(address, None)


class SimServer:
    """What `create_server` returns."""

    def __init__(self, world: SimLoop, address: tuple[str, int]) -> None:
        self.sockets = [self]
        self._world, self._address = world, address

    def getsockname(self) -> tuple[str, int]:
        return self._address

    def close(self) -> None:
        self._world.forget(self._address)


class SimTransport(asyncio.Transport):
    """One end of a connection. What is written arrives later, in order, cut anywhere."""

    def __init__(self, world: SimLoop, protocol: Any, local: tuple[str, int], peer: tuple[str, int]) -> None:
        super().__init__({"sockname": local, "peername": peer})
        self.other: SimTransport
        self._world, self._protocol = world, protocol
        self._name = f"{local[1]}->{peer[1]}"
        self._arrives = 0.0  # no delivery may overtake the one before
        self._in_flight = 0
        self._high, self._low = 64 * 1024, 16 * 1024
        self._congested = False
        self._inbox: list[bytes] = []
        self._reading = True
        self._closing = False
        self._gone = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high, self._low = high or 0, low or 0

    def get_write_buffer_size(self) -> int:
        return self._in_flight

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._gone or self._closing or not data:
            return
        rest = bytes(data)
        while rest:
            size = self._world.chance.randint(1, len(rest)) if self._world.chance.random() < 0.2 else len(rest)
            self._send(rest[:size])
            rest = rest[size:]

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def _send(self, data: bytes) -> None:
        self._in_flight += len(data)
        if self._in_flight > self._high and not self._congested:
            self._congested = True
            self._protocol.pause_writing()
        self._later(self.other._arrive, data)

    def _later(self, deliver: Callable[..., None], *args: Any) -> None:
        world = self._world
        self._arrives = max(self._arrives + 1e-8, world.now + world.chance.uniform(*LATENCY_S))
        world.call_at(self._arrives, deliver, *args)

    def _arrive(self, data: bytes) -> None:
        if self._gone:
            return
        self._inbox.append(data)
        self._drain()

    def _drain(self) -> None:
        while self._inbox and self._reading and not self._gone:
            data = self._inbox.pop(0)
            self.other._taken(len(data))
            if not self._closing:
                self._world.note("data", f"{self.other._name} {xxh3_64(data):016x}")
                self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        if not isinstance(self._protocol, asyncio.BufferedProtocol):
            self._protocol.data_received(data)
            return
        while data and not self._gone:
            room = memoryview(self._protocol.get_buffer(len(data)))
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self._protocol.buffer_updated(size)
            data = data[size:]

    def _taken(self, size: int) -> None:
        self._in_flight -= size
        if self._congested and self._in_flight <= self._low and not self._gone:
            self._congested = False
            self._protocol.resume_writing()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._world.call_soon(self._drain)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._later(self.other._end)
            self._world.call_soon(self._lose, None)

    def abort(self) -> None:
        self._closing = True
        self._later(self.other._lose, ConnectionResetError(104, "Connection reset by peer"))
        self._world.call_soon(self._lose, None)

    def _end(self) -> None:
        if not self._gone:
            keep = self._protocol.eof_received()
            if not keep:
                self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self._gone:
            self._gone = self._closing = True
            self._world.note("lost", self._name)
            self._protocol.connection_lost(error)


class SimClock(Clock):
    """Wall time follows the world's."""

    def __init__(self, world: SimLoop) -> None:
        self._world = world

    def wall_ms(self) -> int:
        return EPOCH_MS + int(self._world.now * 1_000)

    def wall_us(self) -> int:
        return EPOCH_MS * 1_000 + int(self._world.now * 1_000_000)

    def monotonic(self) -> float:
        return self._world.now

    def hold(self, seconds: float) -> None:
        self._world.hold(seconds)

    def local_text(self, pattern: str, wall_ms: int) -> str:
        return f"{wall_ms}"


class SimProcess(Process):
    """A process that is the same in every run."""

    _pid = 1

    def pid(self) -> int:
        return self._pid

    def resident_bytes(self) -> int:
        return 64 << 20

    def release_memory(self) -> None:
        """The simulated machine has no pages."""

    def peak_resident_bytes(self) -> int:
        return 64 << 20

    def cpu_seconds(self) -> tuple[float, float]:
        return 0.0, 0.0

    def private_dirty_bytes(self) -> int:
        return 0

    def end_at_once(self, code: int) -> NoReturn:
        raise SystemExit(code)

    def fork(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[Callable[[bytes], None]], int],
        heard: Callable[[bytes], None], ended: Callable[[int], None],
    ) -> Child:  # fmt: skip
        """The child does its work at once, on what there is; its parent hears of it a moment later."""
        self._pid = 2
        try:
            return SimChild(loop, work, heard, ended)
        finally:
            self._pid = 1


class SimChild(Child):
    """Its reports, then its end, come after so much virtual time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[Callable[[bytes], None]], int],
        heard: Callable[[bytes], None], ended: Callable[[int], None], takes_s: float = FORK_S,
    ) -> None:  # fmt: skip
        self.pid = 2
        reports: list[bytes] = []
        code = work(reports.append)

        def tell() -> None:
            heard(b"".join(reports))
            ended(code)

        self._timer = loop.call_later(takes_s, tell)

    def pause(self) -> None:
        """What it has to say was said at once."""

    def resume(self) -> None:
        pass

    def end(self) -> None:
        self._timer.cancel()


def run(seed: int, main: Callable[[SimLoop], Any]) -> SimLoop:
    """Run `main(world)` to its end in a world of this seed; return the world with its trace."""
    world = SimLoop(seed)
    asyncio.set_event_loop(world)
    try:
        world.run_until_complete(main(world))
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        asyncio.set_event_loop(None)
        world.close()
    return world
