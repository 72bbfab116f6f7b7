"""How a server comes to its end: who may ask for it, what has to be done before, and when it goes on instead.

    SHUTDOWN, a signal ──► (a slow script ends) ──► replicas catch up, no one writes ──► files are closed ──► the end
                                                      SHUTDOWN ABORT │                    cannot be │
                                                                     └──► it goes on, as before ◄───┘
Laws:
1. What a replica has not acknowledged is waited for, as long as shutdown-timeout allows; NOW does not wait.
2. A signal waits for the end of a slow script, and of DEBUG PAUSE-CRON: only SHUTDOWN NOSAVE cuts a script off. A load
   ends at once, whatever it runs: nothing of it is kept.
3. A second SIGINT ends the process where it stands.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from miniredis.engine.state import BUSY_SCRIPT, LOADING, NEVER
from miniredis.engine.waiting import Purpose
from miniredis.keyspace.blocked import Waiter
from miniredis.replication.follower import PHASE_NAMES, Phase
from protocol.resp.values import BLOCKED, NOTHING, Failure, Reply

if TYPE_CHECKING:
    from miniredis.appending import Appending
    from miniredis.engine.call import Call
    from miniredis.engine.execute import Engine
    from miniredis.persist.snapshots import Snapshots
    from miniredis.replicas import Replicas
    from protocol.ops.logs import Logger
    from protocol.ops.process import Process

# The exit code of who did not end in order.
CUT_OFF: Final = 1

_FAILED: Final = "ERR Errors trying to SHUTDOWN. Check logs."


class Wish(NamedTuple):
    """`saves`: whether the data is saved, None: where there are save points. `is_now`: replicas are not waited for.
    `is_forced`: whatever goes wrong."""

    saves: bool | None = None
    is_now: bool = False
    is_forced: bool = False


class Ending:
    """One server's end. `stopping` is set when all is agreed; what is left is to close."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, engine: Engine, snapshots: Snapshots, appending: Appending,
        replicas: Replicas, *, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self.stopping = asyncio.Event()
        self._loop = loop
        self._engine = engine
        self._state = engine.state
        self._snapshots = snapshots
        self._appending = appending
        self._primary = replicas.primary
        self._process = process
        self._log = log
        self._signalled: Wish | None = None  # asked for by a signal, and not begun
        self._wish: Wish | None = None  # under way: replicas are waited for
        self._until_ms = 0

    # Who asks.

    def interrupted(self) -> None:
        """SIGINT. Who sends it again wants no more waiting."""
        if self._signalled is not None:
            self._insist()
        self._signal("SIGINT", self._state.settings.shutdown_on_sigint)

    def terminated(self) -> None:
        """SIGTERM."""
        self._signal("SIGTERM", self._state.settings.shutdown_on_sigterm)

    def _signal(self, name: str, words: tuple[str, ...]) -> None:
        if self._state.mode & LOADING:
            self._log.warning("Received shutdown signal during loading, scheduling shutdown.")
        else:
            self._log.warning(f"Received {name} scheduling shutdown...")
        saves = True if "save" in words else False if "nosave" in words else None
        self._signalled = Wish(saves, "now" in words, "force" in words)
        self.look()

    def _insist(self) -> None:
        self._log.warning("You insist... exiting now.")
        self._snapshots.remove_temporary()
        self._process.end_at_once(CUT_OFF)

    def request(self, call: Call, *, saves: bool | None, is_now: bool, is_forced: bool) -> Reply:
        """SHUTDOWN: the client waits for the end of its connection, or to hear why there is none."""
        if self._wish is None and not self._begin(Wish(saves, is_now, is_forced)):
            raise Failure(_FAILED)
        if self.stopping.is_set():
            return NOTHING
        waiter = Waiter(call.session, call.db, {}, None, 0, call.argv)
        call.session.blocked = waiter
        self._engine.waiting.ending.append(waiter)
        return BLOCKED

    def abort(self) -> bool:
        """SHUTDOWN ABORT. False: nobody has asked for an end."""
        if self._wish is not None:
            self._go_on()
        elif self._signalled is not None:
            self._signalled = None
        else:
            return False
        self._log.notice("Shutdown manually aborted.")
        return True

    @property
    def left_ms(self) -> int | None:
        """How long replicas are still waited for; None: they are not."""
        return None if self._wish is None else self._until_ms - self._state.clock.wall_ms()

    # What comes of it.

    def look(self) -> None:
        """At every tick, with every acknowledgement: whether the next step may be taken."""
        state = self._state
        is_held = state.mode & BUSY_SCRIPT and not state.mode & LOADING
        if is_held or state.is_cron_paused or self.stopping.is_set():
            return
        if self._wish is not None:
            if self._is_caught_up() or state.clock.wall_ms() >= self._until_ms:
                self._finish()
        elif self._signalled is not None:
            self._begin(self._signalled)

    def _begin(self, wish: Wish) -> bool:
        """Whether the end is agreed or waited for."""
        self._log.notice("User requested shutdown...")
        state = self._state
        if state.mode & LOADING:
            wish = wish._replace(saves=False)  # half a data set would take the place of a whole one
        timeout_s = state.settings.shutdown_timeout
        self._wish = wish
        if wish.is_now or not timeout_s or self._is_caught_up():
            return self._finish()
        self._until_ms = state.clock.wall_ms() + timeout_s * 1000
        self._primary.ask_for_acks()
        self._engine.waiting.pause(NEVER, writes_only=True, purpose=Purpose.SHUTDOWN)
        self._log.notice("Waiting for replicas before shutting down.")
        return True

    def _is_caught_up(self) -> bool:
        offset = self._primary.history.offset
        return all(follower.ack_offset == offset for follower in self._primary.followers.values())

    def _finish(self) -> bool:
        """Whether the end is agreed."""
        wish = self._wish
        assert wish is not None
        self._tell_replicas()
        if not self._close_files(wish):
            self._log.warning("Errors trying to shut down the server. Check the logs for more information.")
            self._go_on()
            return False
        self._signalled = self._wish = None
        # What is asked from here on is in no file: nobody may hear OK.
        self._engine.waiting.pause(NEVER, writes_only=False, purpose=Purpose.SHUTDOWN)
        self.stopping.set()
        return True

    def _go_on(self) -> None:
        """There is no end this time."""
        self._signalled = self._wish = None
        waiting = self._engine.waiting
        waiters, waiting.ending = waiting.ending, []
        for waiter in waiters:
            waiting.serve(waiter, Failure(_FAILED))
        waiting.unpause(Purpose.SHUTDOWN)
        self._loop.call_soon(waiting.resume_unblocked)

    def _tell_replicas(self) -> None:
        offset, lagging = self._primary.history.offset, 0
        followers = self._primary.followers.values()
        for follower in followers:
            if follower.ack_offset != offset:
                lagging += 1
                lag_s = int(self._state.clock.monotonic() - follower.ack_at) if follower.phase == Phase.ONLINE else 0
                self._log.notice(
                    f"Lagging replica {follower.name} reported offset {offset - follower.ack_offset} behind master, "
                    f"lag={lag_s}, state={PHASE_NAMES[follower.phase]}."
                )
        if followers:
            self._log.notice(f"{len(followers) - lagging} of {len(followers)} replicas are in sync when shutting down.")

    def _close_files(self, wish: Wish) -> bool:
        """All that is to be kept is on the medium. False: it cannot be had, and that counts."""
        if self._snapshots.is_under_way:
            self._log.warning("There is a child saving an .rdb. Killing it!")
        self._snapshots.end_child()
        if not self._appending.agree_to_end(is_forced=wish.is_forced):
            return False
        saves = bool(self._state.settings.save) if wish.saves is None else wish.saves
        if not saves:
            return True
        self._log.notice("Saving the final RDB snapshot before exiting.")
        with self._process.heeding_interrupts(self._insist):
            is_saved = self._snapshots.save_quietly()
        if not is_saved:
            outcome = ". Exit anyway." if wish.is_forced else ", can't exit."
            self._log.warning(f"Error trying to save the DB{outcome}")
        return is_saved or wish.is_forced
