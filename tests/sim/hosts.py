"""Machines in a world: each runs one server after the other, and may be stopped, killed, or lose its power.

    world ── Network ── links, one for each direction between two machines: cut, slow, reset
                │
             Machine ── disk, wall clock, and the loop of the process that runs on it now

Laws:
1. A process that has ended does nothing any more: its callbacks are not called, its disk refuses it.
2. What a killed process had handed to its kernel still arrives, and then the end of the connection. A machine without
   power is silent; when it is back it knows nothing of the connections of before.
3. What is sent over a link that is cut waits, as TCP repeats it, and arrives in order when the link is whole again.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Coroutine
from math import ceil
from random import Random
from typing import Any, NoReturn

from tests.sim.disk import SimDisk
from tests.sim.world import EPOCH_MS, LATENCY_S, SimChild, SimClock, SimLoop, SimProcess, SimTransport

CHILD_S = (0.005, 1.0)  # what a forked child takes
BESIDE = 0.3  # gathered deliveries come so much after the round instants, at which faults and clocks have their turn
SYN_S = 1.0  # a connection that is not answered is asked for again after so long
RESET = "Connection reset by peer"


class Died(BaseException):
    """The process ends itself, here."""


class HostLoop(asyncio.AbstractEventLoop):
    """The world's loop, as one process on one machine has it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world = machine.network.world
        self.chance = self.world.chance
        self.note = self.world.note
        self.is_over = False
        self.busy_until = 0.0  # the process stands still until then
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()  # what came while it did
        self.tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return self.world.now

    def is_running(self) -> bool:
        return not self.is_over

    def get_debug(self) -> bool:
        return False

    # Callbacks.

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        return self.world.call_soon(self.enter, callback, args, context=context)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.world.call_later(delay, self.enter, callback, args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.world.call_at(when, self.enter, callback, args, context=context)

    def enter(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Call it as this process, if there still is one."""
        if self.is_over:
            return
        if self._waiting or self.busy_until > self.world.now:
            self._waiting.append((callback, args))
            return
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            callback(*args)
        except Died:
            pass
        finally:
            asyncio._set_running_loop(before)

    def stall(self, seconds: float) -> None:
        """The process stands still so long, as of the end of what it does now."""
        self.busy_until = max(self.busy_until, self.world.now) + seconds
        self.world.call_at(self.busy_until, self._go_on)

    def _go_on(self) -> None:
        if self.busy_until > self.world.now:
            return
        waiting, self._waiting = self._waiting, deque()
        while waiting:
            self.enter(*waiting.popleft())
            if self.busy_until > self.world.now:
                self._waiting.extendleft(reversed(waiting))
                return

    # Tasks.

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: Any = None, context: Any = None) -> Any:
        task = asyncio.Task(coro, loop=self, name="task")
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_over:
            self.world.call_exception_handler(context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        machine = self.machine
        machine.sync_begins(future, func)

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except OSError as error:
                future.set_exception(error)
            machine.sync_ended(future)

        self.call_later(machine.executor_s(), work)
        return future

    # Network.

    async def create_server(self, factory: Callable[[], Any], host: Any = "", port: Any = 0, **_: Any) -> Any:
        listeners = self.machine.network.listeners
        if port in listeners and not listeners[port][0].is_over:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        listeners[port] = (self, factory)
        return Listening(self, port)

    async def create_connection(self, factory: Callable[[], Any], host: Any = "", port: Any = 0, **_: Any) -> Any:
        network = self.machine.network
        there = network.by_port[port]
        while True:
            await asyncio.sleep(self.chance.uniform(*LATENCY_S))
            if there.is_powered and network.is_open(self.machine, there):
                break
            await asyncio.sleep(SYN_S)
        loop, accept = network.listeners.get(port, (self, None))
        if accept is None or loop.is_over:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        near = factory()
        local = ("127.0.0.1", next(network.ports))
        out, back = HostTransport(self, near, local, port), HostTransport(loop, None, ("127.0.0.1", port), local[1])
        out.other, back.other = back, out
        loop.call_soon(back.accepted, accept)
        near.connection_made(out)
        self.note("open", f"{self.machine.name} {local[1]}->{port}")
        return out, near


class Listening:
    """What `create_server` returns."""

    def __init__(self, loop: HostLoop, port: int) -> None:
        self.sockets = [self]
        self._loop, self._port = loop, port

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def close(self) -> None:
        listeners = self._loop.machine.network.listeners
        if listeners.get(self._port, (None,))[0] is self._loop:
            del listeners[self._port]


class HostTransport(SimTransport):
    """One end of a connection, on a machine."""

    other: HostTransport  # type: ignore[assignment]

    def __init__(self, loop: HostLoop, protocol: Any, local: tuple[str, int], peer: int) -> None:
        super().__init__(loop, protocol, local, ("127.0.0.1", peer))  # type: ignore[arg-type]
        self.loop = loop
        self.machine = loop.machine
        self.machine.transports[self] = None

    def accepted(self, accept: Callable[[], Any]) -> None:
        self._protocol = accept()
        self._protocol.connection_made(self)

    @property
    def protocol(self) -> Any:
        return self._protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        network = self.machine.network
        if network.leaving is not None and not self._gone and not self._closing and not self.loop.is_over:
            network.leaving(self, bytes(data))
        super().write(data)

    def _later(self, deliver: Callable[..., None], *args: Any) -> None:
        machine = self.machine
        link = machine.network.link(machine, self.other.machine)
        if link.is_cut:
            link.held.append((self, deliver, args))
            return
        world = self.loop.world
        leaves = max(world.now, self.loop.busy_until)
        arrives = self._arrives = max(self._arrives + 1e-8, leaves + world.chance.uniform(*link.latency_s))
        if link.gathering_s:
            arrives = (ceil(arrives / link.gathering_s - BESIDE) + BESIDE) * link.gathering_s
        world.call_at(arrives, self._reach, deliver, args)

    def _reach(self, deliver: Callable[..., None], args: tuple[Any, ...]) -> None:
        other = self.other
        if not other.loop.is_over:
            other.loop.enter(deliver, args)
        elif other.machine.is_powered:  # a kernel that knows no such connection
            self.loop.call_later(self.loop.chance.uniform(*LATENCY_S), self._lose, OSError(errno.ECONNRESET, RESET))

    def _taken(self, size: int) -> None:
        self.loop.enter(super()._taken, (size,))

    def _lose(self, error: Exception | None) -> None:
        self.machine.transports.pop(self, None)
        super()._lose(error)

    def reset(self) -> None:
        self.loop.call_soon(self._lose, OSError(errno.ECONNRESET, RESET))

    def end_with_process(self, *, is_silent: bool) -> None:
        """The process is gone; `is_silent`: and so is the machine."""
        if not self._gone and not self._closing and not is_silent:
            self._later(self.other._end)
        self._gone = True


class Link:
    """From one machine to another."""

    def __init__(self) -> None:
        self.is_cut = False
        self.latency_s = LATENCY_S
        self.gathering_s = 0.0  # what it carries arrives at the multiples of this: of several senders in one turn
        self.held: list[tuple[HostTransport, Callable[..., None], tuple[Any, ...]]] = []


class Network:
    """All machines. `leaving` sees what each process writes to a connection, before it goes."""

    def __init__(self, world: SimLoop) -> None:
        self.world = world
        self.by_port: dict[int, Machine] = {}
        self.listeners: dict[int, tuple[HostLoop, Callable[[], Any]]] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.ports = iter(range(20_000, 60_000))
        self.leaving: Callable[[HostTransport, bytes], None] | None = None

    def link(self, here: Machine, there: Machine) -> Link:
        key = here.name, there.name
        if key not in self.links:
            self.links[key] = Link()
        return self.links[key]

    def is_open(self, here: Machine, there: Machine) -> bool:
        return not self.link(here, there).is_cut and not self.link(there, here).is_cut

    def heal(self, link: Link) -> None:
        link.is_cut = False
        held, link.held = link.held, []
        for transport, deliver, args in held:
            transport._later(deliver, *args)

    def reset(self, here: Machine, there: Machine) -> None:
        """Every connection between the two breaks, and both sides hear of it."""
        for transport in list(here.transports):
            if transport.other.machine is there:
                transport.reset()
                transport.other.reset()


class HostClock(SimClock):
    """The wall clock of one machine: it may be set."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.network.world)
        self._machine = machine

    def wall_ms(self) -> int:
        return EPOCH_MS + int((self._world.now + self._machine.clock_offset_s) * 1_000)

    def wall_us(self) -> int:
        return EPOCH_MS * 1_000 + int((self._world.now + self._machine.clock_offset_s) * 1_000_000)


class HostProcess(SimProcess):
    """One process of a machine."""

    def __init__(self, machine: Machine, loop: HostLoop) -> None:
        self._machine, self._loop = machine, loop

    def end_at_once(self, code: int) -> NoReturn:
        self._machine.kill()
        raise Died

    def fork(
        self, loop: Any, work: Callable[[Callable[[bytes], None]], int], heard: Callable[[bytes], None],
        ended: Callable[[int], None],
    ) -> SimChild:  # fmt: skip
        """The child sees what there is now; its parent hears of it some time later."""
        self._machine.forked()
        self._pid = 2
        try:
            return SimChild(loop, work, heard, ended, loop.chance.uniform(*CHILD_S))
        finally:
            self._pid = 1


class MachineDisk(SimDisk):
    """A disk that a process loses with its end."""

    def handed_on(self) -> MachineDisk:
        """The same disk, for the next process."""
        twin = MachineDisk(self._chance, self.fault)
        twin._dirs, twin._kept = self._dirs, self._kept
        self._dirs, self._kept = {"/": {}}, {"/": {}}
        self.fault = _refuse
        return twin


def _refuse(operation: str, path: str) -> None:
    raise OSError(errno.EIO, "the process is gone")


class Machine:
    """`fault` judges each operation of its disk, and may raise OSError."""

    def __init__(self, network: Network, name: str, port: int, chance: Random) -> None:
        self.network = network
        self.name, self.port = name, port
        self.chance = chance
        self.disk = MachineDisk(chance)
        self.loop = HostLoop(self)
        self.loop.is_over = True
        self.is_powered = True
        self.clock_offset_s = 0.0
        self.sync_s = (0.000_1, 0.01)
        self.transports: dict[HostTransport, None] = {}
        network.by_port[port] = self

    @property
    def is_up(self) -> bool:
        return not self.loop.is_over

    def executor_s(self) -> float:
        return self.chance.uniform(*self.sync_s)

    def sync_begins(self, future: asyncio.Future[Any], work: Callable[..., Any]) -> None:
        """Work for a thread of its process begins."""

    def sync_ended(self, future: asyncio.Future[Any]) -> None:
        """And has ended, one way or the other."""

    def forked(self) -> None:
        """A child begins its work on what there is now."""

    def new_process(self) -> HostLoop:
        assert self.loop.is_over
        self.disk = self.disk.handed_on()
        self.loop = HostLoop(self)
        return self.loop

    def kill(self) -> None:
        """kill -9: the page cache stays."""
        self._end(is_silent=False)

    def lose_power(self) -> None:
        self._end(is_silent=True)
        self.is_powered = False
        self.disk.crash()

    def _end(self, *, is_silent: bool) -> None:
        self.loop.is_over = True
        self.disk = self.disk.handed_on()
        self.disk.let_go()
        transports, self.transports = self.transports, {}
        for transport in transports:
            transport.end_with_process(is_silent=is_silent)
        self.ended(is_silent=is_silent)

    def ended(self, *, is_silent: bool) -> None:
        """The process is gone."""
