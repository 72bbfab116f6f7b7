"""The only door to processes and threads: who we are, what we use, what bounds us, and when our parent ends."""

import asyncio
import contextlib
import ctypes
import gc
import os
import platform
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

__all__ = ["CHILD_ENDED", "Child", "Companion", "Process"]

# The first descriptor that is not standard input, output or error; more than any descriptor.
FIRST_DESCRIPTOR: Final = 3
LAST_DESCRIPTOR: Final = 1 << 30
REPORT_BYTES: Final = 65536
# What a child ends with that was told to: the negative of the signal.
CHILD_ENDED: Final = -int(signal.SIGUSR1)
# What a child ends with whose work raised.
CHILD_FAILED: Final = 70


class Process:
    """This process. A simulation hands in its own."""

    def pid(self) -> int:
        return os.getpid()

    def system(self) -> str:
        """`Linux 6.1.0 x86_64`, as INFO's `os` field has it."""
        names = os.uname()
        return f"{names.sysname} {names.release} {names.machine}"

    def python(self) -> str:
        """`CPython 3.11.7`."""
        return f"{platform.python_implementation()} {platform.python_version()}"

    def resident_bytes(self) -> int:
        """Memory in RAM now."""
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        except OSError:
            return self.peak_resident_bytes()

    def peak_resident_bytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def total_memory_bytes(self) -> int:
        """The machine's RAM."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def release_memory(self) -> None:
        """Give pages that lie free between live blocks back to the system. glibc does not by itself; others do."""
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

    def cpu_seconds(self) -> tuple[float, float]:
        """User and system time of this process so far."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime, usage.ru_stime

    def children_cpu_seconds(self) -> tuple[float, float]:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime, usage.ru_stime

    def raise_open_files(self, wanted: int) -> int:
        """Raise the soft limit of open files towards `wanted`; return what it is now."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < target:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
                soft = target
        return soft

    def private_dirty_bytes(self) -> int:
        """Memory that is this process's own: of a child, what was copied since it began."""
        try:
            with open("/proc/self/smaps_rollup", "rb") as file:
                for line in file:
                    if line.startswith(b"Private_Dirty:"):
                        return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0

    def fork(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[Callable[[bytes], None]], int],
        heard: Callable[[bytes], None], ended: Callable[[int], None],
    ) -> "Child":  # fmt: skip
        """A copy of this process that does `work` on the memory of this moment, and nothing else.

        `work` gets a function that sends bytes to `heard`, in some turn of our loop, and returns the exit code. `ended`
        is called once with it, or with the negative of the signal that ended it. The child has no open file of ours.
        Raises OSError."""
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if pid == 0:
            _work_as_child(work, writing)
        os.close(writing)
        return Child(loop, pid, reading, heard, ended)

    @contextlib.contextmanager
    def heeding_interrupts(self, heard: Callable[[], None]) -> Iterator[None]:
        """While a long step holds the loop: SIGINT calls `heard` in its midst. Only in the main thread."""
        before = signal.signal(signal.SIGINT, lambda number, frame: heard())
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def end_at_once(self, code: int) -> NoReturn:
        """End here and now: nothing that is under way goes on, nothing that waits to be sent leaves."""
        os._exit(code)

    def companion(self, loop: asyncio.AbstractEventLoop) -> "Companion":
        return Companion(loop)

    def watch_parent(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        """Call `ended` once when the process that started us is gone (for `--exit-with-parent`)."""
        parent = os.getppid()
        try:
            descriptor = os.pidfd_open(parent)
        except ProcessLookupError:
            loop.call_soon(ended)
            return

        def gone() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            ended()

        loop.add_reader(descriptor, gone)
        if os.getppid() != parent:  # it ended between the two calls, and the number may be another's by now
            gone()


def _work_as_child(work: Callable[[Callable[[bytes], None]], int], pipe: int) -> None:
    """Never returns. What we inherited is put away first: a signal must not be written to the loop's descriptor, a
    connection ends when the parent closes it, and a collector would touch, and so copy, every page."""
    code = CHILD_FAILED
    try:
        gc.disable()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(FIRST_DESCRIPTOR, pipe)
        os.closerange(pipe + 1, LAST_DESCRIPTOR)

        def report(data: bytes) -> None:
            while data:
                data = data[os.write(pipe, data) :]

        code = work(report)
    finally:
        os._exit(code)


class Child:
    """A process forked off, seen from its parent. Its end is noticed by that of the pipe it reports through."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pid: int, pipe: int, heard: Callable[[bytes], None],
        ended: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.pid = pid
        self._loop = loop
        self._pipe = pipe
        self._heard = heard
        self._ended = ended
        self._is_gone = False
        loop.add_reader(pipe, self._read)

    def _read(self) -> None:
        data = os.read(self._pipe, REPORT_BYTES)
        if data:
            self._heard(data)
        else:
            self._ended(self._reap())

    def pause(self) -> None:
        """Hear nothing of it for now: it waits once the pipe is full."""
        self._loop.remove_reader(self._pipe)

    def resume(self) -> None:
        if not self._is_gone:
            self._loop.add_reader(self._pipe, self._read)

    def _reap(self) -> int:
        self._is_gone = True
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> None:
        """Tell it to end (SIGUSR1, as Redis does); it takes no further step. `ended` will not be called."""
        if not self._is_gone:
            os.kill(self.pid, signal.SIGUSR1)
            self._reap()


class Companion:
    """A second thread that works while the loop's thread stands still: of the two only one runs at any time.

        loop's thread     run(work) ▒▒▒▒▒▒ waits ▒▒▒▒▒▒ patience ends: False ─── loop ─── ▒ lends ▒ ── loop ── ended()
        companion                   work ── leave() ─────────────────────────────────── enter() ─ … ─── end

    The work says with `leave` and `enter` where it touches nothing the two share; only there the loop may go on without
    it. Nothing is locked but this: who holds the floor is the only one to run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._floor = threading.Lock()  # the loop's thread holds it, but while it waits in `run` and `_lend`
        self._floor.acquire()
        self._begin = threading.Semaphore(0)
        self._done = threading.Semaphore(0)  # the work has ended, and not on a lent floor
        self._returned = threading.Semaphore(0)  # the lent floor is free again
        self._work: Callable[[], None] | None = None
        self._ended: Callable[[], None] | None = None
        self._is_lent = self._has_ended_lent = self._is_finished = False
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[], None], patience_s: float | None, ended: Callable[[], None]) -> bool:
        """Let the companion do this. True: it is done. False: patience has ended, and `ended` will be called in a turn
        of the loop's. `work` may not raise; one at a time; no patience is patience for ever."""
        assert self._work is None, "the companion does one thing at a time"
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="companion", daemon=True)
            self._thread.start()
        self._work, self._ended, self._is_finished = work, ended, False
        self._begin.release()
        self._floor.release()
        in_time = self._done.acquire(timeout=patience_s)
        self._floor.acquire()
        if not self._is_finished:
            return False
        if not in_time:
            self._done.acquire()
        self._work = None
        return True

    @property
    def is_working(self) -> bool:
        return self._work is not None

    def leave(self) -> None:
        """From within the work: what follows touches nothing shared."""
        was_lent, self._is_lent = self._is_lent, False
        self._floor.release()
        if was_lent:
            self._returned.release()

    def enter(self) -> None:
        """From within the work: something shared comes next. Waits for the loop to stand still."""
        if self._floor.acquire(blocking=False):
            return
        try:
            self._loop.call_soon_threadsafe(self._lend)
        except RuntimeError:  # the loop has been closed: nobody is left to work for
            raise SystemExit from None
        self._floor.acquire()

    def _serve(self) -> None:
        while True:
            self._begin.acquire()
            self._floor.acquire()
            assert self._work is not None
            self._work()
            self._is_finished = True
            self._has_ended_lent, self._is_lent = self._is_lent, False
            answer = self._returned if self._has_ended_lent else self._done
            self._floor.release()
            answer.release()

    def _lend(self) -> None:
        """In a turn of the loop's: stand still for the work's next steps."""
        self._is_lent = True
        self._floor.release()
        self._returned.acquire()
        self._floor.acquire()
        if self._is_finished:
            if not self._has_ended_lent:
                self._done.acquire()
            self._work = None
            assert self._ended is not None
            self._ended()
