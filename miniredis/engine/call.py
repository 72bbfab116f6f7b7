"""One command being run, as its handler sees it.

Law 1: one object serves a client for its whole life; a handler must not keep it.
Law 2: `now` is one instant (milliseconds) per execution unit: a transaction sees time stand still.
Law 3: time and chance reach a handler only from here (`call.now`, `call.random`).
"""

from __future__ import annotations

from enum import IntEnum
from random import Random
from typing import TYPE_CHECKING, Final

from miniredis.keyspace.blocked import Waiter
from protocol.resp.numbers import parse_float, parse_int, parse_timeout_ms
from protocol.resp.values import BLOCKED, NULL_ARRAY, Failure, Reply

if TYPE_CHECKING:
    from miniredis.engine.client import Client
    from miniredis.engine.settings import Settings
    from miniredis.engine.state import State
    from miniredis.keyspace.db import Db


class Origin(IntEnum):
    """Who makes a call: decides guards, replies and expiry."""

    CLIENT = 0
    PRIMARY = 1
    AOF = 2
    SCRIPT = 3
    CRON = 4


# Whom an effect is for.
TO_AOF: Final = 1
TO_REPLICAS: Final = 2
TO_ALL: Final = 3

# Places, counts and database numbers are mostly small: they are looked up, not parsed.
SMALL_INTEGERS: Final = {b"%d" % number: number for number in range(-10, 1001)}

NOT_AN_INTEGER: Final = "ERR value is not an integer or out of range"
NOT_A_FLOAT: Final = "ERR value is not a valid float"
SYNTAX_ERROR: Final = "ERR syntax error"
NO_SUCH_KEY: Final = "ERR no such key"

Effect = tuple[list[bytes], int]


class Call:
    """argv, db, now, resp, session: what a handler reads. Its answer is what it returns."""

    __slots__ = (
        "argv", "db", "deny_blocking", "effects", "now", "origin", "random", "resp", "session", "state",
    )  # fmt: skip

    def __init__(self, state: State, session: Client, origin: Origin = Origin.CLIENT) -> None:
        self.state = state
        self.session = session
        self.origin = origin
        self.random: Random = state.random
        self.argv: list[bytes] = []
        self.db: Db = session.db
        self.now = 0
        self.resp = session.resp
        self.deny_blocking = False  # inside EXEC or a script
        self.effects: list[Effect] | None = None  # None: the words as they came, if anything changed

    @property
    def settings(self) -> Settings:
        return self.state.settings

    # What others are told of this call (AOF, replicas).

    def replicate(self, *argv: bytes, to: int = TO_ALL) -> None:
        """Propagate this instead of the command as it came; several calls, several effects."""
        if self.effects is None:
            self.effects = []
        self.effects.append((list(argv), to))

    def replicate_verbatim(self, to: int = TO_ALL) -> None:
        """Propagate the command as it came even though no key changed (PUBLISH, SCRIPT LOAD)."""
        self.replicate(*self.argv, to=to)

    def replicate_nothing(self) -> None:
        if self.effects is None:
            self.effects = []

    # Waiting.

    def block(self, keys: list[bytes], timeout_ms: int, kind: type, *, on_deletion: bool = False,
              otherwise: Reply = NULL_ARRAY) -> Reply:  # fmt: skip
        """Let the client wait until one of the keys holds a `kind`: return what this returns.

        The handler is then run again, from the start and with the same argv: so it first tries, and blocks only when
        there is nothing. `timeout_ms` counts from now, 0 is for ever; the deadline of the first time stays.
        `on_deletion`: also run again when a key goes away or changes its type (XREADGROUP).
        Where nobody may wait (EXEC, scripts) it answers `otherwise` at once. Timed out, the client gets a null array.
        """
        if self.deny_blocking:
            return otherwise
        session = self.session
        waiter = session.blocked
        if waiter is None:
            deadline = self.now + timeout_ms if timeout_ms else 0
            waiter = Waiter(session, self.db, dict.fromkeys(keys), kind, deadline, self.argv, on_deletion)
            session.blocked = waiter
        self.state.blocked.add(waiter)
        return BLOCKED

    def timeout_ms(self, at: int) -> int:
        """The timeout of a blocking command in argv[at]: seconds with fractions → milliseconds, 0 for ever."""
        try:
            timeout = parse_timeout_ms(self.argv[at])
        except OverflowError:
            raise Failure("ERR timeout is out of range") from None
        except ValueError:
            raise Failure("ERR timeout is not a float or out of range") from None
        if timeout < 0:
            raise Failure("ERR timeout is negative")
        if timeout > 0x7FFFFFFFFFFFFFFF - self.now:
            raise Failure("ERR timeout is out of range")
        return timeout

    def has_passed(self, instant: int) -> bool:
        """Whether what ends at this instant (ms) is over already, and need not begin. Replicas, and who reads an
        append-only file, leave that to whoever decided it at a time when it was not."""
        if instant > self.now:
            return False
        return not self.state.is_replica and self.origin not in (Origin.PRIMARY, Origin.AOF)

    # Arguments.

    def integer(self, at: int, error: str = NOT_AN_INTEGER) -> int:
        value = SMALL_INTEGERS.get(self.argv[at])
        if value is not None:
            return value
        try:
            return parse_int(self.argv[at])
        except ValueError:
            raise Failure(error) from None

    def float(self, at: int, error: str = NOT_A_FLOAT) -> float:
        try:
            return parse_float(self.argv[at])
        except ValueError:
            raise Failure(error) from None

    def option(self, at: int) -> bytes:
        """The word at `at` in upper case, for comparing with tokens."""
        return self.argv[at].upper()

    def select(self, db: Db) -> None:
        """Change the client's database, for this call and those after it."""
        self.db = self.session.db = db
