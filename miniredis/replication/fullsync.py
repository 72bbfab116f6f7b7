"""Full synchronizations: when a snapshot is begun, for whom, and how it gets to them.

    to a file     BGSAVE in a child; then `$<length>` and the file, from the disk, to each follower as it takes it
    to followers  a child writes, we pass on:  `$EOF:<mark>`  <snapshot>  <mark>   as fast as the slowest takes it

Laws:
1. A follower's snapshot shows the data at one offset of the stream (`start_offset`), and the stream it gets later
   begins there.
2. One snapshot serves all followers that came before it began and want the same left out; one to a file also those
   that come while it is made.
3. What is being sent is never held whole: the child stands still while a follower is slow.
4. Fields that expire need a version of the format that Redis reads from 7.4 on, and Valkey never. A follower does not
   say which Redis it is; Valkey says so. The one is told no; the other is sent it, and where it goes away without a
   word it is told no for a while: it would ask again and again, and each time cost a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final, Protocol

from miniredis.replication.follower import Follower, Phase
from protocol.disk.files import File
from protocol.ops.logs import Logger

# Of a file, read and sent at once.
PIECE_BYTES: Final = 64 * 1024
# Who could not read what it was sent is not sent it again for so long.
PATIENCE_S: Final = 60.0
REMEMBERED_MOST: Final = 1000


class Settings(Protocol):
    @property
    def save(self) -> Sequence[tuple[int, int]]: ...
    @property
    def repl_diskless_sync(self) -> bool: ...
    @property
    def repl_diskless_sync_delay(self) -> int: ...
    @property
    def repl_diskless_sync_max_replicas(self) -> int: ...
    @property
    def repl_timeout(self) -> int: ...


class Source(Protocol):
    """Who makes snapshots."""

    @property
    def is_busy(self) -> bool:
        """No snapshot may be begun now: a child is at work, at whatever, or a script on the data."""

    @property
    def is_saving(self) -> bool:
        """A child writes the file."""

    def newer_keys(self) -> list[bytes]:
        """Some keys that Redis before 7.4 cannot read; none: it can read all."""

    def save(self) -> bool:
        """Begin to write the file; `FullSync.saved` is called at the end. False: no child could be made."""

    def stream(
        self, *, skips_data: bool, skips_functions: bool, send: Callable[[bytes], None], ended: Callable[[bool], None]
    ) -> bool:  # fmt: skip
        """Begin to write to `send`. False: no child could be made."""

    def pause(self) -> None:
        """Hear nothing more of the child, which will wait."""

    def resume(self) -> None: ...

    def end(self) -> None:
        """The streaming child's work is no longer wanted."""

    def end_save(self) -> None:
        """Nor is the file that a child writes; `FullSync.saved` is called."""

    def open(self) -> File:
        """The file that was written. Raises OSError."""


class FullSync:
    """`followers` are all there are; `prepare` is told when one's snapshot begins, `online` when one has all of it."""

    def __init__(
        self, followers: Callable[[], Iterable[Follower]], source: Source, settings: Callable[[], Settings],
        monotonic: Callable[[], float], random: Random, log: Logger, *,
        prepare: Callable[[Follower, int | None], None], online: Callable[[Follower], None],
    ) -> None:  # fmt: skip
        self._followers = followers
        self._source = source
        self._settings = settings
        self._monotonic = monotonic
        self._random = random
        self._log = log
        self._prepare = prepare
        self._online = online
        self._mark = b""
        self._streamed_to: list[Follower] = []  # the child's bytes go to these
        self._is_paused = False
        self._newer_keys: list[bytes] = []  # of the last snapshot, those that not everybody can read
        self._gave_up: dict[str, float] = {}  # by name: could not read what it was sent, and when that was
        self.sent_bytes = 0

    @property
    def is_streaming(self) -> bool:
        return bool(self._mark)

    # Beginning.

    def arrive(self, follower: Follower) -> None:
        """A follower wants everything."""
        source, settings = self._source, self._settings()
        if source.is_saving:
            other = next((each for each in self._followers() if each.phase == Phase.WAIT_END), None)
            if other is not None and follower.can_share(other):
                if self._able([follower]):
                    self._prepare(follower, other.start_offset)
                    self._log.notice("Waiting for end of BGSAVE for SYNC")
            else:
                self._log.notice("Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC")
        elif self.is_streaming:
            self._log.notice("Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC")
        elif settings.repl_diskless_sync and follower.knows_eof and settings.repl_diskless_sync_delay:
            self._log.notice("Delay next BGSAVE for diskless SYNC")
        elif source.is_busy:
            self._log.notice(
                "No BGSAVE in progress, but another BG operation is active. BGSAVE for replication delayed"
            )
        else:
            self._begin([follower])

    def begin_pending(self) -> None:
        """Begin for those that have waited long enough, or are many enough."""
        if self._source.is_busy or self.is_streaming:
            return
        waiting = [each for each in self._followers() if each.phase == Phase.WAIT_START]
        if not waiting:
            return
        waiting = [each for each in waiting if each.wants == waiting[0].wants]
        settings = self._settings()
        longest = self._monotonic() - min(each.waits_since for each in waiting)
        most = settings.repl_diskless_sync_max_replicas
        if not settings.repl_diskless_sync or 0 < most <= len(waiting) or longest >= settings.repl_diskless_sync_delay:
            self._begin(waiting)

    def _begin(self, waiting: list[Follower]) -> None:
        self._newer_keys = self._source.newer_keys()
        waiting = self._able(waiting)
        if not waiting:
            return
        first = waiting[0]
        is_filtered = first.skips_data or first.skips_functions
        is_streamed = (self._settings().repl_diskless_sync or is_filtered) and all(each.knows_eof for each in waiting)
        target = "replicas sockets" if is_streamed else "disk"
        self._log.notice(f"Starting BGSAVE for SYNC with target: {target}")
        if is_streamed:
            self._mark = b"%040x" % self._random.getrandbits(160)
            is_begun = self._source.stream(
                skips_data=first.skips_data, skips_functions=first.skips_functions, send=self._pass_on,
                ended=self._streamed,
            )  # fmt: skip
            self._mark = self._mark if is_begun else b""
        else:
            is_begun = self._source.save()
        if not is_begun:
            self._log.warning("BGSAVE for replication failed")
            for follower in waiting:
                follower.link.send_now(b"-ERR BGSAVE failed, replication can't continue\r\n")
                follower.link.kill()
            return
        for follower in waiting:
            self._prepare(follower, None)
        if is_streamed:
            self._streamed_to = waiting
            self._is_paused = False
            self._pass_on(b"$EOF:%b\r\n" % self._mark)

    def _able(self, waiting: list[Follower]) -> list[Follower]:
        """Those of them that can read the snapshot, as far as is known; the others are told no."""
        if not self._newer_keys:
            return waiting
        shown = ", ".join([key.decode("utf-8", "backslashreplace") for key in self._newer_keys])
        able, since = [], self._monotonic() - PATIENCE_S
        for follower in waiting:
            if follower.skips_data or not (follower.version or self._gave_up.get(follower.name, since) > since):
                follower.is_tried = not follower.skips_data
                able.append(follower)
                continue
            self._log.warning(
                f"Replica {follower.name} is refused: fields that expire need a version of RDB that it cannot read. "
                f"They are in these keys, or more: {shown}"
            )
            follower.link.send_now(b"-ERR there are fields that expire, which this replica cannot read\r\n")
            follower.link.kill()
        return able

    # To followers.

    def _pass_on(self, data: bytes) -> None:
        self.sent_bytes += len(data) * len(self._streamed_to)
        for follower in self._streamed_to:
            follower.link.send_now(data)
        self._look_for_slow()

    def _look_for_slow(self) -> None:
        slow = [each for each in self._streamed_to if each.link.is_congested]
        now = self._monotonic()
        for follower in self._streamed_to:
            if follower not in slow:
                follower.stuck_since = 0.0
            elif not follower.stuck_since:
                follower.stuck_since = now
        if bool(slow) != self._is_paused:
            self._is_paused = bool(slow)
            (self._source.pause if slow else self._source.resume)()

    def _streamed(self, is_good: bool) -> None:
        """The child has ended, and all it wrote was passed on."""
        mark, self._mark = self._mark, b""
        followers, self._streamed_to = self._streamed_to, []
        self._log.notice(f"Diskless rdb transfer, done reading from pipe, {len(followers)} replicas still up.")
        for follower in followers:
            if not is_good:
                self._log.warning("SYNC failed. BGSAVE child returned an error")
                follower.link.kill()
                continue
            follower.link.send_now(mark)
            self._log.notice(
                f"Streamed RDB transfer with replica {follower.name} succeeded (socket). Waiting for REPLCONF ACK "
                "from replica to enable streaming"
            )
            follower.awaits_ack = True
            self._online(follower)
        self.begin_pending()

    # From a file.

    def saved(self, is_good: bool) -> None:
        """A child that wrote the file has ended, whoever asked for it."""
        for follower in list(self._followers()):
            if follower.phase == Phase.WAIT_END:
                self._send_file(follower, is_good)
        self.begin_pending()

    def _send_file(self, follower: Follower, is_good: bool) -> None:
        if not is_good:
            self._log.warning("SYNC failed. BGSAVE child returned an error")
            follower.link.kill()
            return
        try:
            follower.file = file = self._source.open()
        except OSError as error:
            self._log.warning(f"SYNC failed. Can't open/stat DB after BGSAVE: {error.strerror}")
            follower.link.kill()
            return
        follower.file_position = 0
        follower.phase = Phase.SEND_BULK
        follower.link.send_now(b"$%d\r\n" % file.size)
        self._send_on(follower)

    def _send_on(self, follower: Follower) -> None:
        """As much of its file as its connection takes now."""
        file, link = follower.file, follower.link
        assert file is not None
        while follower.file_position < file.size and not link.is_congested:
            try:
                data = file.read(follower.file_position, PIECE_BYTES)
            except OSError as error:
                self._log.warning(f"Read error sending DB to replica: {error.strerror}")
                data = b""
            if not data:
                link.kill()
                return
            follower.file_position += len(data)
            self.sent_bytes += len(data)
            link.send_now(data)
        if follower.file_position >= file.size:
            follower.close_file()
            self._online(follower)

    # What happens meanwhile.

    def resumed(self, follower: Follower) -> None:
        """Its connection takes more."""
        if follower.file is not None:
            self._send_on(follower)
        elif follower in self._streamed_to:
            self._look_for_slow()

    def leave(self, follower: Follower) -> None:
        """It is gone, whatever it was waiting for."""
        follower.close_file()
        if follower.is_tried and follower.phase == Phase.ONLINE and not follower.is_old:
            if len(self._gave_up) >= REMEMBERED_MOST:
                self._gave_up.clear()
            self._gave_up[follower.name] = self._monotonic()
        if follower.phase == Phase.WAIT_END and follower not in self._streamed_to:
            self._end_useless_save(follower)
        if follower not in self._streamed_to:
            return
        self._streamed_to.remove(follower)
        if self._streamed_to:
            self._look_for_slow()
        elif self.is_streaming:
            self._log.warning("Diskless rdb transfer, last replica dropped, killing fork child.")
            self._mark = b""
            self._source.end()

    def _end_useless_save(self, gone: Follower) -> None:
        """Nobody waits for the file any more. Where there are save points it may be the user's, and is let be."""
        if not self._source.is_saving or self._settings().save:
            return
        if not any(each.phase == Phase.WAIT_END for each in self._followers() if each is not gone):
            self._source.end_save()

    def drop_stuck(self) -> None:
        """Followers that have taken nothing for too long, while a child waits for them."""
        oldest = self._monotonic() - self._settings().repl_timeout
        for follower in self._streamed_to:
            if follower.stuck_since and follower.stuck_since < oldest:
                self._log.warning(f"Disconnecting timedout replica (full sync): {follower.name}")
                follower.link.kill()
