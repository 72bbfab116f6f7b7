"""MIGRATE: keys go to another server, and are here no longer once that has them.

    the client's command    what the keys hold now is written down as RESTORE commands; the client waits
    the other's answers     each key it has taken is removed here, unless it changed meanwhile: then it is sent again
    then                    the client is answered

Law 1: only the client that asked waits. What others do to the keys in between is not lost: a key is removed only while
       it is still what was sent, and the target hears of the change (or of the key's end) before it is.
Law 2: AOF and replicas are told of the removal alone, as DEL.
"""

from __future__ import annotations

import re
from typing import Final

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import WAITS, WRITE, KeySpec, command
from miniredis.keyspace import notify
from miniredis.keyspace.blocked import Waiter
from miniredis.persist.rdb_format import sealed, version_of
from miniredis.persist.rdb_save import encode
from protocol.resp.values import BLOCKED, OK, Failure, Reply, Status

NO_KEY: Final = Status("NOKEY")
DEFAULT_TIMEOUT_MS: Final = 1000
# A key that changes faster than it can be sent is sent so often, then given up.
ROUNDS: Final = 8
# As much of a port as is a number; none is port 0, where nobody listens.
_PORT: Final = re.compile(rb"[ \t]*\+?([0-9]{1,9})")

# Type of a key's value (None: there is no such key), what it holds, and the instant (ms) of its end.
Written = tuple[type | None, bytes | int, int | None]


class _Options:
    """What stands behind the timeout."""

    __slots__ = ("copies", "keys", "login", "replaces")

    def __init__(self, call: Call) -> None:
        argv = call.argv
        self.copies = self.replaces = False
        self.login: tuple[bytes, ...] = ()
        self.keys = [argv[3]]
        at = 6
        while at < len(argv):
            word = argv[at].upper()
            left = len(argv) - 1 - at
            if word == b"COPY":
                self.copies = True
            elif word == b"REPLACE":
                self.replaces = True
            elif word == b"AUTH" and left >= 1:
                self.login = (*self.login[:-1], argv[at + 1])
                at += 1
            elif word == b"AUTH2" and left >= 2:
                self.login = (argv[at + 1], argv[at + 2])
                at += 2
            elif word == b"KEYS":
                if argv[3]:
                    raise Failure(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"
                    )
                self.keys = argv[at + 1 :]
                break
            else:
                raise Failure(SYNTAX_ERROR)
            at += 1


class Migration:
    """Keys on their way. Whoever carries `requests` to `address` brings back what was answered to each."""

    __slots__ = (
        "_call", "_copies", "_moved", "_refusal", "_replaces", "_rounds", "_sent", "_waiter", "address", "database",
        "login", "requests", "timeout_s",
    )  # fmt: skip

    def __init__(self, call: Call, waiter: Waiter, options: _Options, database: int, timeout_ms: int) -> None:
        self.address = (call.argv[1], _port(call.argv[2]))
        self.database = database
        self.login = options.login
        self.timeout_s = timeout_ms / 1000
        self.requests: list[list[bytes]] = []
        self._call = call
        self._waiter = waiter
        self._copies = options.copies
        self._replaces = options.replaces
        self._sent: list[tuple[bytes, Written]] = []  # a key that was gone: its end was told
        self._moved: dict[bytes, None] = {}
        self._refusal: bytes | None = None  # the first error of the target
        self._rounds = ROUNDS

    def pack(self, call: Call, keys: list[bytes]) -> None:
        """Write down what is to be sent of these keys now."""
        self.requests.clear()
        self._sent.clear()
        for key in keys:
            written = kind, form, deadline = _written(call, key)
            self._sent.append((key, written))
            if kind is None:
                self.requests.append([b"DEL", key])
            else:
                ttl = 0 if deadline is None else max(1, deadline - call.now)
                words = [b"RESTORE", key, b"%d" % ttl, _payload(form, kind)]
                self.requests.append([*words, b"REPLACE"] if self._replaces else words)

    def settle(self, answers: list[Reply], trouble: str) -> bool:
        """What came back to the requests, in their order, and what went wrong with the connection, if anything did.
        Whether that is the end; otherwise `requests` holds what is to be sent now. No unit of others is under way."""
        is_over = True

        def conclude(call: Call) -> Reply:
            nonlocal is_over
            reply = self._settle(call, answers, trouble)
            is_over = reply is not BLOCKED
            return reply

        self._call.state.engine.waiting.settle_late(self._waiter, self._call, conclude)
        return is_over

    def _settle(self, call: Call, answers: list[Reply], trouble: str) -> Reply:
        changed: dict[bytes, None] = {}
        gone: list[bytes] = []
        for (key, written), answer in zip(self._sent, answers, strict=False):
            if isinstance(answer, Failure):
                self._refusal = self._refusal or answer.text
            elif not self._copies and written[0] is not None and key not in self._moved:
                if _written(call, key) == written:
                    self._remove(call, key)
                    gone.append(key)
                else:
                    changed[key] = None
        if gone:
            call.replicate(b"DEL", *gone)
        if self._refusal is not None:
            return Failure(b"ERR Target instance replied with error: " + self._refusal)
        if trouble:
            return Failure("IOERR error or timeout " + trouble)
        return self._again(call, list(changed)) if changed else OK

    def _remove(self, call: Call, key: bytes) -> None:
        call.db.delete(key)
        call.db.notify(notify.GENERIC, b"del", key)
        call.db.dirty += 1
        self._moved[key] = None

    def _again(self, call: Call, keys: list[bytes]) -> Reply:
        self._rounds -= 1
        if not self._rounds:
            return Failure("ERR The keys changed each time they were sent. They are here still, and at the target.")
        self._replaces = True  # what is there is what we sent
        self.pack(call, keys)
        return BLOCKED


def _port(text: bytes) -> int:
    match = _PORT.match(text)
    return int(match[1]) if match else 0


def _written(call: Call, key: bytes) -> Written:
    """A key as it is now, to be compared with what it was: small things and unchanging ones as they are, collections
    written down."""
    value = call.db.peek(key)
    if value is None:
        return None, b"", None
    form = value if isinstance(value, bytes | int) else encode(value, is_compressed=False)
    return type(value), form, call.db.expiry(key)


def _payload(form: bytes | int, kind: type) -> bytes:
    """For RESTORE. Not compressed: that would take longer here than the way of what it saves."""
    body = encode(form, is_compressed=False) if kind in (bytes, int) or isinstance(form, int) else form
    return sealed(body, version_of(body[0]))


@command(
    "MIGRATE host port:integer key-selector=<key | empty-string=> destination-db:integer timeout:integer "
    "[COPY] @3.0.0 [REPLACE] @3.0.0 "
    "authentication=[AUTH auth/password @4.0.7 | <AUTH2 username password> @6.0.0] "
    "[KEYS keys:key/key [keys ...]] @3.0.6",
    WRITE | WAITS, since="2.6.0", group="generic", acl=("dangerous",), tips=("nondeterministic_output",),
    key_specs=(KeySpec(3, flags="RW access delete"),
               KeySpec(-2, -1, flags="RW access delete incomplete", keyword="KEYS")),
    complexity="O(N) with N the size of the values, here, at the target and between",
    history=(("3.0.0", "Takes `COPY` and `REPLACE`."), ("3.0.6", "Takes `KEYS`."), ("4.0.7", "Takes `AUTH`."),
             ("6.0.0", "Takes `AUTH2`.")),
)  # fmt: skip
def migrate(call: Call) -> Reply:
    """Move keys to another server."""
    options = _Options(call)
    timeout_ms = call.integer(5)
    database = call.integer(4)
    if call.deny_blocking:
        raise Failure("ERR MIGRATE isn't allowed in a transaction or script: everybody would wait for the target")
    keys = [key for key in options.keys if call.db.find(key) is not None]
    if not keys:
        return NO_KEY
    client = call.session
    waiter = Waiter(client, call.db, {}, None, 0, call.argv)
    migration = Migration(call, waiter, options, database, timeout_ms if timeout_ms > 0 else DEFAULT_TIMEOUT_MS)
    migration.pack(call, keys)
    client.blocked = waiter
    call.replicate_nothing()
    call.state.carry(migration)
    return BLOCKED
