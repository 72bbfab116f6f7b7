"""What CONFIG SET does besides changing a value: a hook for each directive of which the wiring holds something.

A hook returns None, or why the value cannot be had; then Config puts the value of before back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from miniredis.session import Session
from protocol.ops.logs import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniredis.config import Config
    from miniredis.engine.settings import Settings
    from miniredis.engine.state import State
    from miniredis.listeners import Listeners
    from protocol.disk.files import Disk
    from protocol.ops.logs import Logger

_LEVELS: Final = {
    "debug": Level.DEBUG, "verbose": Level.VERBOSE, "notice": Level.NOTICE, "warning": Level.WARNING,
}  # fmt: skip


class Reconfiguration:
    """Hangs its hooks into `config`. `judge_disk` is called with every change: settings say what a failure means."""

    def __init__(
        self, config: Config, state: State, listeners: Listeners, judge_disk: Callable[[], None], *, disk: Disk,
        log: Logger,
    ) -> None:  # fmt: skip
        self._state = state
        self._listeners = listeners
        self._judge_disk = judge_disk
        self._disk = disk
        self._log = log
        config.changed = self._settings_changed
        config.write_file = disk.write_atomically
        config.apply.update({
            "requirepass": self._set_password,
            "maxclients": self._set_max_clients,
            "hz": self._set_hz,
            "loglevel": self._set_log_level,
            "maxmemory": self._set_max_memory,
            "dir": self._change_dir,
            "port": self._set_port,
            "bind": self._set_bind,
        })  # fmt: skip

    def _settings_changed(self, settings: Settings) -> None:
        self._state.apply_settings(settings)
        self._judge_disk()
        for client in self._state.clients.values():
            if isinstance(client, Session):
                client.parser.max_bulk = settings.proto_max_bulk_len
                client.parser.max_buffer = settings.client_query_buffer_limit

    def _set_password(self, password: str) -> None:
        self._state.access.set_password(password)
        for client in self._state.clients.values():
            client.require_login(not self._state.access.is_open)

    def _set_hz(self, hz: int) -> None:
        self._state.hz = hz  # dynamic-hz has its say at the next tick

    def _set_max_clients(self, count: int) -> str | None:
        before = self._listeners.max_clients
        allowed = self._listeners.limit(count)
        if allowed < count:
            self._listeners.max_clients = before
            return f"The operating system is not able to handle the specified number of clients, try with {allowed}"
        return None

    def _set_max_memory(self, most: int) -> None:
        """The change itself is seen to with the settings; keys go with the next command or tick."""
        used = self._state.engine.memory.used_bytes()
        if 0 < most < used:
            self._log.warning(
                f"WARNING: the new maxmemory value set via CONFIG SET ({most}) is smaller than the current memory "
                f"usage ({used}). This will result in key eviction and/or the inability to accept new write commands "
                "depending on the maxmemory-policy."
            )

    def _set_log_level(self, name: str) -> None:
        self._log.level = _LEVELS[name]

    def _change_dir(self, path: str) -> str | None:
        try:
            self._disk.change_dir(path)
        except OSError as error:
            return error.strerror
        return None

    def _set_port(self, port: int) -> str | None:
        return None if self._listeners.rebind() else "Unable to listen on this port. Check server logs."

    def _set_bind(self, addresses: tuple[str, ...]) -> str | None:
        return None if self._listeners.rebind() else "Failed to bind to specified addresses."
