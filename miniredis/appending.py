"""The append-only file, connected: to the journal, to time, to CONFIG SET, and to what a server does before it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from miniredis.engine.journal import TO_AOF
from miniredis.engine.replay import Replay
from miniredis.persist.aof import OFF, AppendOnly
from miniredis.persist.aof_file import AofFile
from miniredis.persist.aof_load import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniredis.config import Config
    from miniredis.engine.execute import Engine
    from miniredis.persist.snapshots import Snapshots
    from protocol.disk.files import Disk
    from protocol.net.connection import Turn
    from protocol.ops.clock import Clock
    from protocol.ops.logs import Logger
    from protocol.ops.process import Process


class Appending(AppendOnly):
    """`judge` is called when it changes whether the file can be written."""

    def __init__(
        self, engine: Engine, snapshots: Snapshots, turn: Turn, config: Config, judge: Callable[[], None], *,
        loop: Any, disk: Disk, clock: Clock, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        state = engine.state
        self._engine = engine
        self._config = config
        self._steps = Replay(engine, Unknown, log.warning)
        file = AofFile(
            TO_AOF, lambda: state.settings, loop=loop, disk=disk, clock=clock, process=process, log=log,
            has_child=lambda: bool(snapshots.children.kind), judge=judge, want=turn.want,
            watch=lambda event, took_us: state.latency.watch(event, took_us, clock.wall_ms()),
        )  # fmt: skip
        super().__init__(
            state, engine.scripts.functions, snapshots, file, state.journal, self._steps, disk=disk, clock=clock,
            process=process, log=log,
        )  # fmt: skip
        self.switched: Callable[[bool], None] = lambda is_on: None  # the wiring wants to know that it is on, or off
        config.apply["appendonly"] = self._set_on
        config.apply["aof-disable-auto-gc"] = self._set_no_removal

    @property
    def is_wanted(self) -> bool:
        wanted: bool = self._config["appendonly"]
        return wanted

    def load(self) -> Iterator[None]:
        """As AppendOnly's, with the journal silent meanwhile."""
        self._steps.open()
        try:
            yield from super().load()
        finally:
            self._steps.close()

    def turn_on(self, *, is_amid_transaction: bool) -> bool:
        is_on = super().turn_on(is_amid_transaction=is_amid_transaction)
        self.switched(self.state != OFF)
        return is_on

    def turn_off(self) -> None:
        super().turn_off()
        self.switched(False)

    def open_at_start(self) -> None:
        super().open_at_start()
        self.switched(self.state != OFF)

    def pause(self) -> None:
        """The data set is about to be another one: nothing of it belongs into the file there is."""
        if self.state != OFF:
            self.turn_off()

    def go_on(self) -> None:
        """It is there: where the file is wanted, a new one begins."""
        if self.is_wanted and self.state == OFF and not self.turn_on(is_amid_transaction=self._engine.depth > 0):
            self._log.warning("Failed enabling the AOF after successful master synchronization!")

    def _set_on(self, is_on: bool) -> str | None:
        if is_on and self.state == OFF:
            if not self.turn_on(is_amid_transaction=self._engine.depth > 0):
                return "Unable to turn on AOF. Check server logs."
        elif not is_on and self.state != OFF:
            self.turn_off()
        return None

    def _set_no_removal(self, is_off: bool) -> str | None:
        if not is_off:
            self.remove_history()
        return None
