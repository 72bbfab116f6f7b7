"""The only door to wall time. Servers get a `Clock` at construction, so a simulation can hand in its own."""

import time

__all__ = ["Clock"]


class Clock:
    """Wall time in milliseconds or microseconds since the epoch, and a monotonic clock in seconds."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def wall_us(self) -> int:
        return time.time_ns() // 1_000

    # Seconds from an arbitrary start; never goes back. Asked once per command: no frame of ours around it.
    monotonic = staticmethod(time.monotonic)

    def hold(self, seconds: float) -> None:
        """Let the whole process stand still (DEBUG SLEEP, which is there to see what that does to others)."""
        time.sleep(seconds)

    def local_text(self, pattern: str, wall_ms: int) -> str:
        """`wall_ms` in local time, written by a strftime pattern (for log lines)."""
        return time.strftime(pattern, time.localtime(wall_ms / 1000))
