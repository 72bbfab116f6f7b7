"""Which event loop runs, and how it ends. Nobody else knows whether it is uvloop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

__all__ = ["heed_signals", "new_loop", "run"]


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def heed_signals(
    loop: asyncio.AbstractEventLoop, *, interrupted: Callable[[], None], terminated: Callable[[], None]
) -> None:
    """From here on SIGINT and SIGTERM call these, where they set an event before."""
    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, terminated)


def run(main: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Run `main` with an event that SIGINT and SIGTERM set; return its exit code."""

    async def supervised() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        return await main(stop)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(supervised())
