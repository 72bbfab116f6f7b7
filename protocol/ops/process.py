"""The only door to processes: who we are, what we use, what bounds us, and when our parent ends."""

import asyncio
import contextlib
import os
import platform
import resource
from collections.abc import Callable

__all__ = ["Process"]


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
