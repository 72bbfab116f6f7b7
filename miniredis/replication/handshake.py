"""How a replica introduces itself to a primary: what it says, and what it makes of the answers. A pure machine.

    replica                                    primary
    PING                                       +PONG, or an error that only means: log in first
    AUTH [user] password                       +OK                    where masterauth is set
    REPLCONF listening-port 6380               +OK                    an error is no harm
    REPLCONF ip-address 10.0.0.7               +OK                    where replica-announce-ip is set
    REPLCONF capa eof capa psync2              +OK
    PSYNC <replication id> <offset + 1>        +CONTINUE [new id] · +FULLRESYNC <id> <offset> · an error
    PSYNC ? -1                                 where nothing is known of a history

Laws:
1. One line of the primary at a time, each of a bounded length: the shell cuts them.
2. What the primary answers decides nothing but `verdict`; who acts upon it is elsewhere.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final, NamedTuple

from protocol.ops.logs import Logger

REPLICATION_ID_BYTES: Final = 40
# A line of the handshake, and of an announcement: Redis reads no longer ones.
LINE_MAX_BYTES: Final = 1024

_LOGIN_FIRST: Final = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")
_LATER: Final = (b"-NOMASTERLINK", b"-LOADING")
_MAX_OFFSET: Final = (1 << 63) - 1


class Position(NamedTuple):
    """A place in a history: whose, and how many bytes of it are known."""

    replication_id: bytes
    offset: int


class Introduction(NamedTuple):
    """What the replica says of itself. `login`: the words after AUTH, none where there is no password."""

    login: tuple[bytes, ...]
    port: int
    host: bytes


class Verdict(Enum):
    """How a handshake came out."""

    CONTINUE = auto()  # the stream goes on behind our position, under `replication_id` if that is not empty
    FULL = auto()  # a payload follows, then the stream from `offset` on
    UNSUPPORTED = auto()  # no PSYNC there: SYNC may do
    LATER = auto()  # not now
    REFUSED = auto()  # the connection is of no use


class Handshake:
    """Say `opening`, then what `hear` returns for each line, until there is a `verdict`."""

    def __init__(
        self, introduction: Introduction, position: Position | None, log: Logger, *, takes_over: bool = False
    ) -> None:
        self.opening = [b"PING"]
        self.verdict: Verdict | None = None
        self.replication_id = b""
        self.offset = -1
        self._introduction = introduction
        self._position = position
        self._log = log
        self._takes_over = takes_over  # a planned failover: who is asked becomes the primary
        self._steps: deque[str] = deque(["PING"])  # whose answers are awaited, in order

    def hear(self, line: bytes) -> list[list[bytes]]:
        """An answer without its line end; what to say next."""
        step = self._steps[0]
        if step == "PSYNC":
            if line:
                self.verdict = self._judge(line)
            return []
        self._steps.popleft()
        if step == "PING":
            return self._greeted(line)
        if step == "AUTH" and line.startswith(b"-"):
            self._log.warning(f"Unable to AUTH to MASTER: {_text(line)}")
            self.verdict = Verdict.REFUSED
        elif line.startswith(b"-"):
            self._log.notice(f"(Non critical) Master does not understand {step}: {_text(line)}")
        if self._steps or self.verdict is not None:
            return []
        self._steps.append("PSYNC")
        return [self._request()]

    def _greeted(self, line: bytes) -> list[list[bytes]]:
        if not line.startswith((b"+", *_LOGIN_FIRST)):
            self._log.warning(f"Error reply to PING from master: '{_text(line)}'")
            self.verdict = Verdict.REFUSED
            return []
        self._log.notice("Master replied to PING, replication can continue...")
        introduction = self._introduction
        said: list[list[bytes]] = []
        if introduction.login:
            self._steps.append("AUTH")
            said.append([b"AUTH", *introduction.login])
        self._steps.append("REPLCONF listening-port")
        said.append([b"REPLCONF", b"listening-port", b"%d" % introduction.port])
        if introduction.host:
            self._steps.append("REPLCONF ip-address")
            said.append([b"REPLCONF", b"ip-address", introduction.host])
        self._steps.append("REPLCONF capa")
        said.append([b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"])
        return said

    def _request(self) -> list[bytes]:
        position = self._position
        if position is None:
            self._log.notice("Partial resynchronization not possible (no cached master)")
            words = [b"PSYNC", b"?", b"-1"]
        else:
            words = [b"PSYNC", position.replication_id, b"%d" % (position.offset + 1)]
            self._log.notice(f"Trying a partial resynchronization (request {_text(words[1])}:{_text(words[2])}).")
        return [*words, b"FAILOVER"] if self._takes_over else words

    def _judge(self, line: bytes) -> Verdict:
        words = line.split(b" ")
        if words[0] == b"+FULLRESYNC":
            return self._full(words)
        if words[0] == b"+CONTINUE" and self._position is not None:
            self._log.notice("Successful partial resynchronization with master.")
            if len(words) > 1 and len(words[1]) == REPLICATION_ID_BYTES:
                self.replication_id = words[1]
            return Verdict.CONTINUE
        if line.startswith(_LATER):
            self._log.notice(f"Master is currently unable to PSYNC but should be in the future: {_text(line)}")
            return Verdict.LATER
        if line.startswith(b"-ERR"):
            self._log.notice(f"Master does not support PSYNC or is in error state (reply: {_text(line)})")
        else:
            self._log.warning(f"Unexpected reply to PSYNC from master: {_text(line)}")
        return Verdict.UNSUPPORTED

    def _full(self, words: list[bytes]) -> Verdict:
        is_right = len(words) == 3 and len(words[1]) == REPLICATION_ID_BYTES and words[2].isdigit()
        offset = int(words[2][:20]) if is_right else -1
        if not is_right or offset > _MAX_OFFSET:
            self._log.warning("Master replied with wrong +FULLRESYNC syntax.")
            return Verdict.REFUSED
        self.replication_id, self.offset = words[1], offset
        self._log.notice(f"Full resync from master: {_text(words[1])}:{offset}")
        return Verdict.FULL


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
