"""One client as commands and the engine see it: who it is, what mode it is in, where its answers go.

Law: this floor knows no socket. `miniredis/session.py` puts one behind it; tests and internal callers need none.
`mode` is one integer: everything about a client that is not the plain case is a bit of it, so that the path of a plain
command asks once (engine/guards.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol.resp.encoder import encode
from protocol.resp.values import Reply

if TYPE_CHECKING:
    from miniredis.engine.call import Call
    from miniredis.keyspace.blocked import Waiter
    from miniredis.keyspace.db import Db

# Bits of Client.mode.
IN_MULTI: Final = 1 << 0
DIRTY_EXEC: Final = 1 << 1  # a command was refused while the transaction was collected: EXEC aborts
DIRTY_CAS: Final = 1 << 2  # a watched key was touched: EXEC answers null
SUBSCRIBED: Final = 1 << 3  # RESP2 with subscriptions: only a few commands are allowed
UNAUTHENTICATED: Final = 1 << 4
LIMITED_USER: Final = 1 << 5  # the user may not do everything: ask `state.access`
REPLY_OFF: Final = 1 << 6  # CLIENT REPLY OFF
REPLY_SKIP: Final = 1 << 7  # this command stays silent: the one before was CLIENT REPLY SKIP
REPLY_SKIP_NEXT: Final = 1 << 14  # this one is CLIENT REPLY SKIP
MONITOR: Final = 1 << 8
TRACKING: Final = 1 << 9
NO_TOUCH: Final = 1 << 10  # CLIENT NO-TOUCH: reads leave the access clock alone
NO_EVICT: Final = 1 << 11
CLOSING: Final = 1 << 12  # the connection closes after the output it has
REPLICA: Final = 1 << 13
PRIMARY: Final = 1 << 16  # the server that this one is a replica of (engine/upstream.py)
HOLDING: Final = 1 << 15  # bytes or commands of it wait, or it does itself: what comes has to go behind them

# What sends a command down the slow path whatever the command is.
UNUSUAL: Final = (
    IN_MULTI | SUBSCRIBED | UNAUTHENTICATED | LIMITED_USER | REPLY_OFF | REPLY_SKIP | TRACKING | NO_TOUCH | CLOSING
    | REPLICA
)  # fmt: skip


class Client:
    """The base of a session; on its own a client nobody hears (internal calls, tests: answers land in `out`)."""

    __slots__ = (
        "blocked", "call", "channels", "created_at", "db", "follower", "id", "is_known", "is_running", "laddr",
        "last_command", "late", "lib_name", "lib_ver", "mode", "name", "out", "patterns", "peer", "queue", "resp",
        "shard_channels", "tracking", "user", "watched", "written_at",
    )  # fmt: skip

    def __init__(self, id: int, db: Db) -> None:
        self.id = id
        self.db = db
        self.resp = 2
        self.mode = 0
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.peer = ""
        self.laddr = ""
        self.user: Any = None  # the access.users object of whoever is logged in
        self.is_known = True  # logged in, or came when nobody had to
        self.created_at = 0.0  # loop time
        self.last_command = b""  # full name, for CLIENT LIST
        self.queue: list[Any] = []  # (Command, argv) collected since MULTI
        self.watched: dict[tuple[Db, bytes], bool] = {}  # whether the key had expired when it was watched
        self.blocked: Waiter | None = None
        self.channels: dict[bytes, None] = {}  # in the order of subscribing
        self.patterns: dict[bytes, None] = {}
        self.shard_channels: dict[bytes, None] = {}
        self.tracking: Any = None
        self.call: Call | None = None
        self.out: list[bytes] = []  # replies of the commands being run; joined once
        self.late: list[bytes] = []  # messages to itself, behind the reply of the command that caused them
        self.follower: Any = None  # replication.follower.Follower, once it has spoken of itself as a replica
        self.written_at = 0  # the offset of the effect stream behind the last that it wrote
        self.is_running = False  # its commands are being run: output joins `out`

    def become(self, user: Any, *, is_stranger: bool = False) -> None:
        """Somebody has logged in, or a new connection starts; a stranger must log in before anything else."""
        self.user = user
        self.is_known = not is_stranger
        self.require_login(is_stranger)

    def require_login(self, is_required: bool) -> None:
        """Whether strangers must log in has changed: it concerns only who has not."""
        if is_required and not self.is_known:
            self.mode |= UNAUTHENTICATED
        else:
            self.mode &= ~UNAUTHENTICATED

    def mark_listening(self) -> None:
        """In RESP2 who listens to channels may do little else: to be called when either changes."""
        if self.resp == 2 and (self.channels or self.patterns or self.shard_channels):
            self.mode |= SUBSCRIBED
        else:
            self.mode &= ~SUBSCRIBED

    def send(self, data: bytes) -> None:
        """Output in order: behind the replies of commands now running, else straight to the connection."""
        self.out.append(data)
        if not self.is_running:
            self.flush()

    def send_message(self, data: bytes) -> None:
        """Out-of-band data: at once, or behind the reply of the command this client is running."""
        if self.is_running:
            self.late.append(data)
        else:
            self.send(data)

    def push(self, value: Reply) -> None:
        """An answer or out-of-band message made into bytes of this client's protocol version."""
        self.send(encode(value, self.resp))

    def send_now(self, data: bytes | memoryview) -> None:
        """Output past everything that waits for the end of a turn: what a replica gets."""
        self.out.append(bytes(data))

    def receive(self, data: bytes) -> None:
        """What it sent, whatever that is. A client without a connection sends nothing."""

    def flush(self) -> None:
        """Hand `out` to whoever carries it. A client without a connection keeps it."""

    def resume(self) -> None:
        """It waits no longer: what it sent meanwhile can be run."""

    def hold_first(self, argv: list[bytes]) -> None:
        """Run these words before anything else it sent: the call that CLIENT PAUSE made wait."""

    def drop_attacker(self) -> None:
        """It speaks HTTP to us: the connection ends without a word."""
        self.kill()

    def close_after_reply(self) -> None:
        """End the connection once what was answered has left; nothing more is read."""
        self.mode |= CLOSING

    def close_when_sent(self) -> None:
        """End the connection once all that was sent now has left."""
        self.mode |= CLOSING

    def kill(self) -> None:
        """End the connection now."""
        self.mode |= CLOSING

    @property
    def is_congested(self) -> bool:
        """It is slower to take its output than we are to make it."""
        return False

    @property
    def pending_bytes(self) -> int:
        """Output the kernel has not taken yet."""
        return sum(map(len, self.out))

    @property
    def buffered_bytes(self) -> int:
        """Input that was received and not yet run."""
        return 0

    @property
    def argument_bytes(self) -> int:
        """Of a command of which not all arguments have come yet."""
        return 0

    @property
    def descriptor(self) -> int:
        """The socket's file descriptor; -1 without one."""
        return -1

    @property
    def last_active_at(self) -> float:
        """Loop time of the last input."""
        return self.created_at

    @property
    def subscriptions(self) -> int:
        return len(self.channels) + len(self.patterns)
