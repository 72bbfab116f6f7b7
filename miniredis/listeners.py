"""Where clients come in: the addresses of `bind` and the unix socket, how many may come, and who is turned away.

Law: an address that was left keeps its connections; they are closed with the others at the end.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miniredis.session import Session
from protocol.net import connection as net
from protocol.net.listener import Listener, Refused

if TYPE_CHECKING:
    from miniredis.config import Config
    from miniredis.engine.execute import Engine
    from protocol.disk.files import Disk
    from protocol.ops.logs import Logger
    from protocol.ops.process import Process

# Descriptors that are not connections: the loop's own, the log, persistence.
SPARE_DESCRIPTORS: Final = 32
# Of one listener, with those that are told that there is no room: `maxclients` is looked at when there are sessions.
MAX_CONNECTIONS: Final = 1_000_000

_UNKNOWN_PROTOCOL: Final = {
    errno.ENOPROTOOPT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EPFNOSUPPORT, errno.EAFNOSUPPORT,
}  # fmt: skip

_FULL: Final = b"-ERR max number of clients reached\r\n"
_DENIED: Final = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    b"default user. In this mode connections are only accepted from the loopback interface. Connect from this machine "
    b"and set a password ('CONFIG SET requirepass'), or start the server with '--protected-mode no' where nobody else "
    b"can reach it.\r\n"
)


class CannotListen(Exception):
    """No address could be bound; the text says which and why."""


class Listeners:
    """All of a server's listening sockets. `arm_deadline` is what a session calls after commands that may block."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, turn: net.Turn, engine: Engine, config: Config,
        arm_deadline: Callable[[], None], *, disk: Disk, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self.max_clients = 0
        self._loop = loop
        self._turn = turn
        self._engine = engine
        self._state = engine.state
        self._config = config
        self._arm_deadline = arm_deadline
        self._disk = disk
        self._process = process
        self._log = log
        self._bound: list[Listener] = []  # TCP
        self._left: list[Listener] = []  # no longer listening, but some of their connections live
        self._unix: Listener | None = None

    async def open(self) -> None:
        """Listen where the configuration says. Raises CannotListen."""
        config = self._config
        self._limit_at_start(config["maxclients"])
        await self._listen(config["bind"], config["port"])
        config.values["port"] = self._state.port  # the one found where any free one would do
        if config["unixsocket"]:
            await self._listen_unix(config["unixsocket"], config["unixsocketperm"])
        self._tell()

    async def drain(self, grace_s: float) -> None:
        """Send what was answered, close every connection, those that take none of it after `grace_s` too."""
        for listener in self._bound + self._left:
            await listener.drain(grace_s)
        if self._unix is not None:
            await self._unix.drain(grace_s)
            self._disk.remove_socket(self._config["unixsocket"])

    # How many may come.

    def limit(self, wanted: int) -> int:
        """Let in as many clients at once as are wanted and descriptors allow: that many."""
        allowed = self._process.raise_open_files(wanted + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS
        self.max_clients = min(wanted, allowed)
        return self.max_clients

    def _limit_at_start(self, wanted: int) -> None:
        if self.limit(wanted) < wanted:
            self._log.warning(
                f"You requested maxclients of {wanted} requiring at least {wanted + SPARE_DESCRIPTORS} max file "
                f"descriptors. Current maximum open files is {self.max_clients + SPARE_DESCRIPTORS}. maxclients has "
                f"been reduced to {self.max_clients}."
            )

    # Where they come.

    async def _listen(self, addresses: tuple[str, ...], port: int) -> None:
        """Bind every address. Port 0 takes a free one for all. Raises CannotListen."""
        for address in addresses:
            host = _host(address)
            listener = self._new()
            try:
                await listener.open(host, port, backlog=self._config["tcp-backlog"])
            except OSError as error:
                if not _may_be_missing(address, error):
                    self._close()
                    raise CannotListen(
                        f"Warning: Could not create server TCP listening socket {host}:{port}: {_why(error)}\n"
                        f"Failed listening on port {port} (tcp), aborting."
                    ) from None
            else:
                port = listener.port
                self._bound.append(listener)
        if addresses and not self._bound:
            raise CannotListen("Configured to not listen anywhere, exiting.")
        self._state.port = port

    async def _listen_unix(self, path: str, mode: int) -> None:
        listener = self._new()
        self._disk.remove_socket(path)
        try:
            await listener.open_unix(path, backlog=self._config["tcp-backlog"])
        except OSError as error:
            raise CannotListen(f"Failed opening Unix socket: bind: {_why(error)}") from None
        if mode:
            self._disk.set_mode(path, mode)
        self._unix = listener

    def rebind(self) -> bool:
        """Leave the addresses of before for those of now, port 0 for none; connections stay. Whether all are bound."""
        self._close()
        port = self._state.port = self._config["port"]
        for address in self._config["bind"] if port else ():
            host = _host(address)
            try:
                listener = self._new().open_at_once(host, port, backlog=self._config["tcp-backlog"])
            except OSError as error:
                self._log.warning(f"Warning: Could not create server TCP listening socket {host}:{port}: {_why(error)}")
                if not _may_be_missing(address, error):
                    self._close()
                    return False
            else:
                self._bound.append(listener)
        self._tell()
        return True

    def _new(self) -> Listener:
        return Listener(self._loop, self._turn, self._admit, max_connections=MAX_CONNECTIONS, is_gathering=True)

    def _close(self) -> None:
        for listener in self._bound:
            listener.close()
        self._left = [each for each in self._left + self._bound if each.connections]
        self._bound = []

    def _tell(self) -> None:
        config, state = self._config, self._state
        state.listening = [("tcp", config["bind"], state.port)] if state.port else []
        if self._unix is not None:
            state.listening.append(("unix", (config["unixsocket"],), 0))

    # Who comes.

    def _admit(self, connection: net.Connection) -> net.Session:
        state = self._state
        refusal = _DENIED if self._is_denied(connection) else _FULL if len(state.clients) >= self.max_clients else b""
        if refusal:
            state.connections_rejected += 1
            return Refused(connection, refusal)
        session = Session(
            state.next_client_id, state.dbs[0], self._engine, connection, self._log.warning, self._arm_deadline
        )
        state.next_client_id += 1
        state.connections_received += 1
        if self._config["tcp-keepalive"] and connection.peer_address[1]:
            connection.keep_alive(self._config["tcp-keepalive"])
        session.become(state.access.default, is_stranger=not state.access.is_open)
        self._engine.admit(session)
        return session

    def _is_denied(self, connection: net.Connection) -> bool:
        """Protected mode: without a password only this machine may come in."""
        if not self._config["protected-mode"] or not self._state.access.is_open:
            return False
        host = connection.peer_address[0].removeprefix("::ffff:")
        return not host.startswith(("127.", "/")) and host not in ("::1", "")


def _host(address: str) -> str:
    """The name to bind of a word of `bind`, where a dash in front says that the address may be missing."""
    host = address.removeprefix("-")
    return {"*": "0.0.0.0", "::*": "::"}.get(host, host)


def _may_be_missing(address: str, error: OSError) -> bool:
    """No such address on this machine where that was allowed; a kind of address this machine does not know at all."""
    is_optional = address.startswith("-") and error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return is_optional or error.errno in _UNKNOWN_PROTOCOL


def _why(error: OSError) -> str:
    """The system's words; asyncio puts its own around them."""
    if "in use" in str(error).lower():
        return "Address already in use"
    return (error.strerror or str(error)).partition(" (while")[0].rpartition("] ")[2]
