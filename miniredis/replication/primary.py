"""The primary's side: who follows, what they get, what they have.

    journal ──feed──► History: offset, backlog ──turn's end──► each follower, from its position on, as it takes it
    SYNC, PSYNC ──► a place in the backlog, or FullSync and then the stream from where that began
    REPLCONF ACK ──► Acknowledgements

Laws:
1. Effects leave at the turn's end, after the append-only file had them. Every follower gets the same bytes.
2. Bytes wait in the backlog, once for all; a follower's connection has only what it takes. Who stays too far behind
   (client-output-buffer-limit) is dropped.
3. On a replica the journal has nothing for us: what is passed on are our own primary's bytes, verbatim.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

from miniredis.replication import fullsync
from miniredis.replication.acknowledgements import Acknowledgements
from miniredis.replication.backlog import Backlog
from miniredis.replication.follower import Follower, Link, Phase
from miniredis.replication.fullsync import FullSync, Source
from miniredis.replication.history import NO_ID, History
from protocol.ops.logs import Logger
from protocol.resp.encoder import encode_command

# Of the stream, handed to one connection at once.
PIECE_BYTES: Final = 64 * 1024
# The backlog is looked through when it has so much more than it should.
SLACK_BYTES: Final = 16 * 1024

PING: Final = encode_command([b"ping"])
SELECT: Final = b"*2\r\n$6\r\nSELECT\r\n"
GETACK: Final = encode_command([b"REPLCONF", b"GETACK", b"*"])


class Settings(fullsync.Settings, Protocol):
    @property
    def repl_backlog_size(self) -> int: ...
    @property
    def repl_backlog_ttl(self) -> int: ...
    @property
    def repl_ping_replica_period(self) -> int: ...
    @property
    def min_replicas_to_write(self) -> int: ...
    @property
    def min_replicas_max_lag(self) -> int: ...
    @property
    def output_limit_replica(self) -> tuple[int, int, int]: ...


class Journal(Protocol):
    def attach(self, sink: Any) -> None: ...
    def detach(self, sink: Any) -> None: ...
    def restate(self) -> None:
        """Tell the database before the next effect, whatever it was."""


class Statistics:
    """For INFO."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.full = self.partial_good = self.partial_refused = 0
        self.sent_bytes = 0


class Primary:
    """`want_turn` asks for an end of this turn; `judge` is told when it may have changed whether there are enough good
    replicas; while `is_paused` nothing is asked of them. `target` is the journal's word for us."""

    def __init__(
        self, history: History, settings: Callable[[], Settings], journal: Journal, source: Source, log: Logger, *,
        monotonic: Callable[[], float], random: Random, want_turn: Callable[[], None], judge: Callable[[], None],
        is_paused: Callable[[], bool], target: int,
    ) -> None:  # fmt: skip
        self.target = target
        self.history = history
        self.followers: dict[Link, Follower] = {}
        self.statistics = Statistics()
        self.acknowledgements = Acknowledgements(self.followers.values)
        self.fullsync = FullSync(
            self.followers.values, source, settings, monotonic, random, log, prepare=self._prepare, online=self._online
        )
        self._settings = settings
        self._journal = journal
        self._log = log
        self._monotonic = monotonic
        self._want_turn = want_turn
        self._judge = judge
        self._is_paused = is_paused
        self.acknowledged_told: Callable[[], None] = lambda: None
        self._is_attached = False
        self._is_replica = False
        self.counts_for_aof = False
        self._wants_acks = False
        self._is_fed = False  # since the last turn's end
        self._sendable = 0  # the offset up to which the stream may leave
        self._alone_since = monotonic()
        self._ticks = 1  # seconds; at its start, when a server would say PING for the first time, nobody follows it

    # The stream.

    def _listen(self) -> None:
        """Follow the journal where effects have to be kept or counted."""
        wanted = not self._is_replica and (self.history.backlog is not None or self.counts_for_aof)
        if wanted != self._is_attached:
            self._is_attached = wanted
            (self._journal.attach if wanted else self._journal.detach)(self)

    def count_for_aof(self, is_on: bool) -> None:
        """The append-only file needs offsets, for WAITAOF, whether anybody follows or not."""
        self.counts_for_aof = is_on
        self._listen()
        if is_on:
            self.synced(0)  # what nobody has written is there
        else:
            self.acknowledgements.lose_file()

    def become(self, *, is_replica: bool) -> None:
        """Whose stream it is: our own effects', or our primary's (`forward`)."""
        self._is_replica = is_replica
        self._listen()
        self._judge()

    def feed(self, data: bytes, effects: int = 1) -> None:
        if self.history.backlog is None and data.startswith(SELECT):
            return  # of effects that are only counted it is none
        self.history.append(data, effects)
        if not self._is_fed:
            self._is_fed = True
            self._want_turn()

    def forward(self, data: bytes) -> None:
        """Our primary's next bytes."""
        self.feed(data)

    def flush_forwarded(self) -> None:
        """As `flush`, on a replica: no journal knows of us."""
        if self._is_replica:
            self.flush()

    def request_acks(self) -> None:
        """Somebody waits for acknowledgements: ask for them at the turn's end."""
        self._wants_acks = True
        self._want_turn()

    def ask_for_acks(self) -> None:
        """Ask for them with what leaves in this turn."""
        if self.followers and self.history.backlog is not None and not self._is_replica:
            self.history.append(GETACK)
            self._want_turn()

    def flush(self) -> None:
        """The turn ends: everybody gets what there is."""
        if self._wants_acks and not self._is_paused():
            self._wants_acks = False
            self.ask_for_acks()
        self._is_fed = False
        self._sendable = self.history.offset
        backlog = self.history.backlog
        if backlog is None:
            return
        for follower in list(self.followers.values()):
            if follower.phase == Phase.ONLINE and not follower.awaits_ack:
                self._send(follower)
            if follower.phase >= Phase.WAIT_END and not follower.is_rdb_only:
                self._check_lag(follower)
        if len(backlog) > backlog.size_bytes + SLACK_BYTES:
            self._trim(backlog)

    def _trim(self, backlog: Backlog) -> None:
        """Give up what nobody needs any more."""
        positions = [
            each.position for each in self.followers.values() if each.phase >= Phase.WAIT_END and not each.is_rdb_only
        ]
        backlog.trim(min(positions, default=backlog.end))

    def _send(self, follower: Follower) -> None:
        """As much of what it lacks as its connection takes now."""
        backlog, link = self.history.backlog, follower.link
        assert backlog is not None
        while follower.position < self._sendable and not link.is_congested:
            piece = backlog.read(follower.position, PIECE_BYTES)
            follower.position += len(piece)
            self.statistics.sent_bytes += len(piece)
            link.send_now(piece)

    def _check_lag(self, follower: Follower) -> None:
        """Drop who is too far behind. A limit below the size of the backlog would cut off whom a partial
        synchronization lets in again."""
        hard, soft, soft_s = self._settings().output_limit_replica
        behind = self.pending_bytes(follower)
        now = self._monotonic()
        if not soft or behind < soft:
            follower.soft_limit_since = 0.0
        elif not follower.soft_limit_since:
            follower.soft_limit_since = now
        is_over = bool(follower.soft_limit_since) and now - follower.soft_limit_since > soft_s
        if is_over or (hard and behind >= max(hard, self._settings().repl_backlog_size)):
            self._log.warning(f"Replica {follower.name} closed for overcoming of output buffer limits.")
            follower.link.kill()
            self._leave_alone(follower)

    def _leave_alone(self, follower: Follower) -> None:
        """It is being dropped: nothing more is for it, and nothing is kept for it."""
        follower.phase = Phase.NONE

    def pending_bytes(self, follower: Follower) -> int:
        """What is still to go to it, of the stream."""
        return self.history.offset - follower.position if follower.phase >= Phase.WAIT_END else 0

    def resumed(self, link: Link) -> None:
        """A follower's connection takes more."""
        follower = self.followers.get(link)
        if follower is None:
            return
        if follower.phase == Phase.ONLINE and not follower.awaits_ack:
            self._send(follower)
        else:
            self.fullsync.resumed(follower)

    # Synchronizations.

    def try_partial(self, follower: Follower, id: bytes, wanted: int) -> bool:
        """PSYNC: whether the stream simply goes on from byte number `wanted` (the first is 1)."""
        if not self._can_continue(follower, id, wanted):
            if not id.startswith(b"?"):  # that is how one asks for everything
                self.statistics.partial_refused += 1
            return False
        history = self.history
        self.followers[follower.link] = follower
        follower.position = wanted - 1
        follower.phase = Phase.ONLINE
        follower.ack_at = self._monotonic()
        self.statistics.partial_good += 1
        follower.link.send_now(b"+CONTINUE %b\r\n" % history.id if follower.knows_psync2 else b"+CONTINUE\r\n")
        self._log.notice(
            f"Partial resynchronization request from {follower.name} accepted. Sending "
            f"{history.offset - follower.position} bytes of backlog starting from offset {wanted}."
        )
        self._want_turn()
        self._judge()
        return True

    def _can_continue(self, follower: Follower, id: bytes, wanted: int) -> bool:
        history = self.history
        backlog = history.backlog
        if not history.is_known(id, wanted):
            self._tell_unknown(follower, id, wanted)
            return False
        if backlog is None or not backlog.first < wanted <= history.offset + 1:
            self._log.notice(
                f"Unable to partial resync with replica {follower.name} for lack of backlog (Replica request was: "
                f"{wanted})."
            )
            if wanted > history.offset:
                self._log.warning(
                    f"Warning: replica {follower.name} tried to PSYNC with an offset that is greater than the master "
                    "replication offset."
                )
            return False
        return True

    def _tell_unknown(self, follower: Follower, id: bytes, wanted: int) -> None:
        history = self.history
        if id.startswith(b"?"):
            self._log.notice(f"Full resync requested by replica {follower.name}")
            return
        if id.lower() == history.second_id:
            self._log.notice(
                f"Partial resynchronization not accepted: Requested offset for second ID was {wanted}, but I can reply "
                f"up to {history.second_offset}"
            )
            return
        asked = id[: len(NO_ID)].decode("utf-8", "replace")
        self._log.notice(
            f"Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{asked}', my "
            f"replication IDs are '{history.id.decode()}' and '{history.second_id.decode()}')"
        )

    def begin_full(self, follower: Follower) -> None:
        """Everything, and then the stream."""
        history = self.history
        self.statistics.full += 1
        follower.ack_offset = follower.aof_offset = 0
        follower.phase = Phase.WAIT_START
        follower.waits_since = self._monotonic()
        self.followers[follower.link] = follower
        if history.backlog is None:
            history.begin()
            history.keep(self._settings().repl_backlog_size)
            self._listen()
            self._log.notice(
                f"Replication backlog created, my new replication IDs are '{history.id.decode()}' and "
                f"'{history.second_id.decode()}'"
            )
        self.fullsync.arrive(follower)

    def _prepare(self, follower: Follower, offset: int | None) -> None:
        """A snapshot for it shows the data at this offset of the stream: None, now."""
        follower.start_offset = follower.position = self.history.offset if offset is None else offset
        follower.phase = Phase.WAIT_END
        self._journal.restate()
        if not follower.is_old:
            follower.link.send_now(b"+FULLRESYNC %b %d\r\n" % (self.history.id, follower.start_offset))

    def _online(self, follower: Follower) -> None:
        if follower.is_rdb_only:
            self._log.notice(f"RDB transfer completed, rdb only replica ({follower.name}) should be disconnected asap")
            follower.link.close_when_sent()
            self._leave_alone(follower)
            return
        follower.phase = Phase.ONLINE
        follower.ack_at = self._monotonic()
        self._judge()
        self._log.notice(f"Synchronization with replica {follower.name} succeeded")
        self._want_turn()

    def acknowledged(self, follower: Follower, offset: int, aof_offset: int | None) -> None:
        """REPLCONF ACK."""
        follower.ack_offset = max(follower.ack_offset, offset)
        if aof_offset is not None:
            follower.aof_offset = max(follower.aof_offset, aof_offset)
        follower.ack_at = self._monotonic()
        follower.is_tried = False
        if follower.awaits_ack and follower.phase == Phase.ONLINE:
            follower.awaits_ack = False
            self._want_turn()
        if self.acknowledgements:
            self.acknowledgements.look()
        self.acknowledged_told()

    def synced(self, offset: int) -> None:
        """Our append-only file is on the medium up to there."""
        self.acknowledgements.synced_offset = max(self.acknowledgements.synced_offset, offset)
        if self.acknowledgements:
            self.acknowledgements.look()

    def leave(self, link: Link) -> None:
        """A connection is gone."""
        follower = self.followers.pop(link, None)
        if follower is None:
            return
        self.fullsync.leave(follower)
        self._log.notice(f"Connection with replica {follower.name} lost.")
        if self.history.backlog is not None:
            self._trim(self.history.backlog)
        if not self.followers:
            self._alone_since = self._monotonic()
        self._judge()

    def drop_replicas(self) -> None:
        """They have to come again: what follows is another history, or has another name."""
        for follower in list(self.followers.values()):
            follower.link.kill()
            self._leave_alone(follower)

    # Time.

    @property
    def good_replicas(self) -> int:
        """Those that have acknowledged something within min-replicas-max-lag."""
        settings, now = self._settings(), self._monotonic()
        return sum(
            [
                follower.phase == Phase.ONLINE and int(now - follower.ack_at) <= settings.min_replicas_max_lag
                for follower in self.followers.values()
            ]
        )

    @property
    def lacks_replicas(self) -> bool:
        """Whether writes are refused for want of good replicas (min-replicas-to-write)."""
        settings = self._settings()
        if self._is_replica or not settings.min_replicas_to_write or not settings.min_replicas_max_lag:
            return False
        return self.good_replicas < settings.min_replicas_to_write

    def second(self, *, may_ping: bool) -> None:
        """What is due every second."""
        settings = self._settings()
        if self.followers and not self._is_replica and may_ping and not self._ticks % settings.repl_ping_replica_period:
            self.feed(PING)
        self._ticks += 1
        oldest = self._monotonic() - settings.repl_timeout
        for follower in list(self.followers.values()):
            is_waiting = follower.phase == Phase.WAIT_START or (
                follower.phase == Phase.WAIT_END and not self.fullsync.is_streaming
            )
            if is_waiting:
                follower.link.send_now(b"\n")
            elif follower.phase == Phase.ONLINE and not follower.is_old and follower.ack_at < oldest:
                self._log.warning(f"Disconnecting timedout replica (streaming sync): {follower.name}")
                follower.link.kill()
        self.fullsync.drop_stuck()
        self.fullsync.begin_pending()
        self._forget_backlog(settings.repl_backlog_ttl)
        self._judge()

    def _forget_backlog(self, ttl_s: int) -> None:
        """Nobody has followed for so long: with the backlog goes the name, since offsets count no bytes from here."""
        history = self.history
        if self._is_replica or self.followers or history.backlog is None or not ttl_s:
            return
        if self._monotonic() - self._alone_since > ttl_s:
            history.begin()
            history.backlog = None
            self._listen()
            self._log.notice(f"Replication backlog freed after {ttl_s} seconds without connected replicas.")

    def resize_backlog(self) -> None:
        """CONFIG SET repl-backlog-size."""
        if self.history.backlog is not None:
            self.history.backlog.resize(self._settings().repl_backlog_size)
