"""This server as a replica: whom it follows, how it gets his data, and how it becomes a primary again.

    link_state     connect ──► connecting ──► handshake ──► sync ──► connected          "none": this is a primary
                      ▲                           │ +CONTINUE ────────────▲  │
                      └───────── whatever fails ──┴──────────────────────────┘

How a data set comes is `incoming`, how the stream is run `engine/upstream`, what clients may do here `replica_rules`.

Laws:
1. `history` holds what has been applied, to the byte: with that a lost link is taken up again where it broke.
2. Whatever comes to nothing is tried again (`replication/attempts`).
3. Nothing here waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from miniredis.engine.call import Origin
from miniredis.engine.journal import TO_REPLICAS
from miniredis.engine.state import State
from miniredis.engine.upstream import Upstream
from miniredis.incoming import Incoming
from miniredis.replica_rules import ReplicaRules
from miniredis.replication.attempts import Attempts
from miniredis.replication.handshake import Handshake, Introduction, Position, Verdict
from miniredis.replication.link import Link, Phase, link_fields
from protocol.net.dialer import dial

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from miniredis.config import Config
    from miniredis.engine.execute import Engine
    from miniredis.persist.snapshots import Snapshots
    from miniredis.replication.hub import Replication
    from miniredis.replication.payload import Payload
    from protocol.disk.files import Disk
    from protocol.net.connection import Connection, Turn
    from protocol.ops.logs import Logger
    from protocol.ops.process import Process

# Of one command or transaction of a primary, unless client-query-buffer-limit allows clients more. It is no client: its
# own limit of what a value may have can be higher than ours.
STREAM_MOST_BYTES: Final = 1 << 30


class Following:
    """`host` is empty while this server is a primary. `replication` is the hub both sides share."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, turn: Turn, engine: Engine, config: Config, replication: Replication,
        snapshots: Snapshots, *, disk: Disk, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self.host = b""
        self.port = 0
        self.link_state = b"none"
        self.stream: Upstream | None = None  # there while connected
        self.stream_most_bytes = STREAM_MOST_BYTES
        # Where the primary's data takes the place of ours: nobody may write ours down meanwhile, or after.
        self.replacing: Callable[[], None] = lambda: None
        self.replaced: Callable[[], None] = lambda: None
        self._loop = loop
        self._turn = turn
        self._engine = engine
        self._state: State = engine.state
        self._config = config
        self._replication = replication
        self._snapshots = snapshots
        self._log = log
        self._incoming = Incoming(
            loop, engine, config, replication.history, snapshots, self._forget, disk=disk, process=process, log=log
        )
        self.rules = ReplicaRules(engine, config)
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None  # dials, or loads
        self._attempts = Attempts(loop, self._tick)
        self._knows_position = False  # `history` is a part of the primary's
        self._db = 0  # in which the stream was
        self._is_placed = False  # in a history, by the file of before
        self._takes_over = False
        self._heard_at = 0.0  # loop time of the last sign of life, where there is no link to tell it
        self._down_since_s: int | None = None  # seconds since 1970
        replication.become_replica = lambda host, port, takes_over: self.follow(host, port, takes_over=takes_over)
        replication.become_primary = self.promote
        config.apply["replica-read-only"] = config.apply["replica-serve-stale-data"] = self._rule_changed

    # ── whom ───────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """At start: follow whom the configuration names. Before the file of before is loaded: a primary decides what
        in it has expired."""
        self._snapshots.expired_told = self.expired
        primary = self._config["replicaof"]
        if primary is not None:
            self.host, self.port = primary[0].encode("utf-8", "surrogateescape"), primary[1]
            self.link_state = b"connect"
            self._become(is_replica=True)

    def expired(self, db: int, key: bytes) -> None:
        """While the file of before is loaded: this key was left out, since its time was over. Replicas of before have
        it, and take up the stream where the file was written."""
        if not self.host:
            self.loaded(self._snapshots.aux)
            if self._replication.history.backlog is not None:
                self._state.journal.add(db, [b"DEL", key], TO_REPLICAS)
                self._state.journal.commit(as_transaction=False)

    def loaded(self, aux: dict[bytes, bytes]) -> None:
        """The file is loaded: what it tells of a history is a place to go on from, for us or for our replicas."""
        if self._is_placed:
            return
        self._is_placed = True
        id, offset, db = aux.get(b"repl-id", b""), aux.get(b"repl-offset", b""), aux.get(b"repl-stream-db", b"")
        if len(id) != len(self._replication.history.id) or not (offset.isdigit() and db.isdigit()):
            return
        history = self._replication.history
        if self.host:
            history.adopt(id, int(offset))
            self._knows_position, self._db = True, int(db) % len(self._state.dbs)
        else:
            history.second_id, history.second_offset = id, int(offset) + 1
            history.offset += int(offset)
            history.keep(self._config["repl-backlog-size"])
            self._replication.primary.become(is_replica=False)  # it hears the journal now

    def start(self) -> None:
        """Connect, if this is a replica."""
        self._snapshots.expired_told = lambda db, key: None
        if self.host:
            self._attempts.begin()
            self._connect()

    def stop(self) -> None:
        """The server ends."""
        self._attempts.end()
        if self.stream is not None:
            self._drop_stream()
        self._abandon()

    def follow(self, host: bytes, port: int, *, takes_over: bool = False) -> None:
        """REPLICAOF. `takes_over`: the other one is our replica, and becomes a primary by this."""
        was_primary = not self.host
        if self.stream is not None:
            self._drop_stream()
        self._engine.waiting.unblock_everybody()
        self._abandon()
        self.host, self.port, self._takes_over = host, port, takes_over
        if was_primary:
            self._log.notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be "
                "able to synchronize with the new master with just a partial transfer."
            )
            self._knows_position, self._db = True, 0
        self.link_state = b"connect"
        self._become(is_replica=True)
        self._attempts.begin()
        self._connect()

    def promote(self) -> None:
        """REPLICAOF NO ONE: the history goes on under a name of our own."""
        if not self.host:
            return
        if self.stream is not None:
            self._drop_stream()
        self._abandon()
        self._attempts.end()
        self.host, self.port = b"", 0
        self.link_state = b"none"
        self._knows_position = False
        self._down_since_s = None
        history = self._replication.history
        history.shift()
        self._log.notice(
            f"Setting secondary replication ID to {history.second_id.decode()}, valid up to offset: "
            f"{history.second_offset}. New replication ID is {history.id.decode()}"
        )
        self._replication.primary.drop_replicas()
        self._become(is_replica=False)
        self.replaced()

    def _become(self, *, is_replica: bool) -> None:
        self._state.is_replica = is_replica
        self._replication.upstream = self if is_replica else None
        self._replication.primary.become(is_replica=is_replica)
        self._config.values["replicaof"] = (self._host, self.port) if is_replica else None
        self._judge()

    def _judge(self) -> None:
        self.rules.judge(is_connected=self.stream is not None)

    def _rule_changed(self, value: bool) -> None:
        self._judge()

    @property
    def _host(self) -> str:
        return self.host.decode("utf-8", "surrogateescape")

    # ── the connection ─────────────────────────────────────────────────────────────────────────────────

    def _tick(self) -> None:
        state = self.link_state
        link = self._link
        heard_at = link.last_heard_at if link is not None else self._heard_at
        is_silent = self._loop.time() - heard_at > self._config["repl-timeout"]
        if state == b"connect":
            self._connect()
        elif state == b"connected":
            assert self.stream is not None
            if is_silent and not self.stream.is_behind:
                self._log.warning("MASTER timeout: no data nor PING received...")
                self._lose_stream()
            else:
                self.stream.acknowledge()
        elif link is not None and link.phase is Phase.LOADING:
            link.keep_alive()
        elif is_silent:
            if state == b"sync":
                self._log.warning(
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' "
                    "parameter in redis.conf to a larger value."
                )
            else:
                self._log.warning("Timeout connecting to the MASTER...")
            self._fail()

    def _connect(self) -> None:
        self._log.notice(f"Connecting to MASTER {self._host}:{self.port}")
        self.link_state = b"connecting"
        self._heard_at = self._loop.time()
        self._begin(self._dial())
        self._log.notice("MASTER <-> REPLICA sync started")

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._look_at_end)

    def _look_at_end(self, task: asyncio.Task[None]) -> None:
        """A fault of ours in there is heard of, and ends the attempt."""
        if not task.cancelled() and task.exception() is not None:
            if task is self._task:
                self._fail()
            task.result()

    async def _dial(self) -> None:
        try:
            await dial(
                self._loop, self._turn, self._open, lambda connection: None, self._host, self.port,
                timeout_s=self._config["repl-timeout"],
            )  # fmt: skip
        except (OSError, ValueError) as error:
            self._log.warning(f"Error condition on socket for SYNC: {_why(error)}")
            self.link_state = b"connect"

    def _open(self, connection: Connection) -> Link:
        self._log.notice("Non blocking connect for SYNC fired the event.")
        self.link_state = b"handshake"
        if self._config["tcp-keepalive"]:
            connection.keep_alive(self._config["tcp-keepalive"])
        history = self._replication.history
        position = Position(history.id, history.offset) if self._knows_position else None
        handshake = Handshake(self._introduction(), position, self._log, takes_over=self._takes_over)
        self._link = Link(connection, handshake, self)
        return self._link

    def _introduction(self) -> Introduction:
        config = self._config
        words = (config["masteruser"], config["masterauth"]) if config["masteruser"] else (config["masterauth"],)
        login = tuple([word.encode("utf-8", "surrogateescape") for word in words]) if config["masterauth"] else ()
        port = config["replica-announce-port"] or self._state.port
        return Introduction(login, port, config["replica-announce-ip"].encode("utf-8", "surrogateescape"))

    def _abandon(self) -> None:
        """Whatever is under way towards a connected link is not wanted any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        link, self._link = self._link, None
        if link is not None:
            link.end()
        self._incoming.abandon()

    def _fail(self) -> None:
        """An attempt came to nothing: try again."""
        self._abandon()
        self._again()

    def _again(self) -> None:
        self.link_state = b"connect"
        self._judge()
        if self._attempts.may_hurry():
            self._connect()

    def _lose_stream(self, *, is_known: bool = True) -> None:
        """The link is gone: mostly it can be taken up again from where it was."""
        self._drop_stream(is_known=is_known)
        self._again()

    def _drop_stream(self, *, is_known: bool = True) -> None:
        stream, link = self.stream, self._link
        assert stream is not None
        assert link is not None
        self.stream = self._link = None
        link.end()
        self._knows_position = is_known and stream.counts
        self._db = stream.db.index
        self._engine.dismiss(stream)
        if self._knows_position:
            self._log.notice("Caching the disconnected master state.")
        self._down_since_s = self._now_s()
        self.link_state = b"connect"

    def _now_s(self) -> int:
        return self._state.clock.wall_ms() // 1000

    # ── what the link tells ────────────────────────────────────────────────────────────────────────────

    def lost_link(self, link: Link) -> None:
        if link is not self._link:
            return
        if self.stream is not None:
            self._log.notice("Connection with master lost.")
            self._lose_stream()
        elif link.phase is Phase.LOADING:
            link.phase = Phase.ENDED  # the data set is here: it is loaded, and the stream taken up on another link
        else:
            self._log.warning("I/O error trying to sync with MASTER: connection lost")
            self._fail()

    def broke(self, link: Link, why: str) -> None:
        self._log.warning(why)
        self._fail()

    def streamed(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.take(data)

    def _broke_stream(self, why: str) -> None:
        """What came is no stream. What was applied of it is not to be gone on from."""
        self._log.warning(why)
        self._lose_stream(is_known=False)

    def agreed(self, link: Link) -> None:
        verdict = link.handshake.verdict
        if self._takes_over:
            self._takes_over = False
            if verdict not in (Verdict.CONTINUE, Verdict.FULL):
                self._replication.failover.abort("Failover target rejected psync request")
                return
            self._replication.failover.end()
        if verdict is Verdict.CONTINUE:
            self._continue(link)
        elif verdict in (Verdict.FULL, Verdict.UNSUPPORTED):
            if verdict is Verdict.UNSUPPORTED:
                self._log.notice("Retrying with SYNC...")
                link.ask_for_all()
            self.link_state = b"sync"
        else:
            self._abandon()
            self.link_state = b"connect"  # with the next tick

    def _continue(self, link: Link) -> None:
        history = self._replication.history
        id = link.handshake.replication_id
        if id and id != history.id:
            self._log.notice(f"Master replication ID changed to {id.decode('utf-8', 'replace')}")
            history.continue_as(id)
            self._replication.primary.drop_replicas()
        if history.backlog is None:
            history.keep(self._config["repl-backlog-size"])
        self._log.notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.")
        self.replaced()  # an attempt before this one may have come so far, and no further
        self._attach(link)

    def _attach(self, link: Link, *, counts: bool = True, is_awaited: bool = False) -> None:
        """The stream begins. `is_awaited`: the primary sends nothing until it has heard of us."""
        state = self._state
        self.stream = stream = Upstream(
            state.next_client_id, state.dbs[self._db], self._engine, link.connection, self._replication.history.offset,
            forward=self._replication.primary.forward, broke=self._broke_stream,
            synced=self._synced_offset, log=self._log.warning, most_bytes=self.stream_most_bytes,
        )  # fmt: skip
        stream.counts = counts
        state.next_client_id += 1
        self._engine.admit(stream, Origin.PRIMARY)
        self.link_state = b"connected"
        self._down_since_s = None
        self._judge()
        if is_awaited:
            stream.acknowledge()
        link.go_on()

    def _synced_offset(self) -> int:
        """Of what an append-only file has on the medium; -1 where there is none."""
        if not self._config["appendonly"]:
            return -1
        offset: int = self._replication.primary.acknowledgements.synced_offset
        return offset

    # ── a data set ─────────────────────────────────────────────────────────────────────────────────────

    def announced(self, link: Link, payload: Payload) -> None:
        if not self._incoming.begin(payload, link.handshake.replication_id):
            self._abandon()
            self.link_state = b"connect"  # with the next tick

    def brought(self, link: Link, data: bytes) -> None:
        assert link.payload is not None
        if not self._incoming.take(data):
            self._fail()
        elif link.payload.is_complete:
            self._begin(self._take_over(link))

    async def _take_over(self, link: Link) -> None:
        """The payload is whole: its data takes the place of ours, and the stream begins."""
        assert link.payload is not None
        db = None
        if self._incoming.is_sound:
            self.replacing()
            db = await self._incoming.replace()
        self._task = None
        self._judge()
        if db is None:
            self._fail()
            return
        handshake, history = link.handshake, self._replication.history
        counts = handshake.verdict is Verdict.FULL
        if counts:
            history.adopt(handshake.replication_id, handshake.offset)
        else:
            history.begin()
        if history.backlog is None:
            history.keep(self._config["repl-backlog-size"])
        self._db = db
        self._log.notice("MASTER <-> REPLICA sync: Finished with success")
        self.replaced()
        if link.phase is Phase.ENDED:
            self._link = None
            self._knows_position = counts
            self._down_since_s = self._now_s()
            self._again()
        else:
            self._attach(link, counts=counts, is_awaited=bool(link.payload.mark))

    def _forget(self) -> None:
        """It is another history from here on: for us, and for those who follow us."""
        if self._knows_position:
            self._log.notice("Discarding previously cached master state.")
        self._knows_position = False
        self._replication.primary.drop_replicas()
        self._replication.history.backlog = None

    # ── what others are told ───────────────────────────────────────────────────────────────────────────

    @property
    def stream_db(self) -> int | None:
        """The database that the stream is in; None where it would have to begin anew."""
        if self.stream is not None:
            return self.stream.db.index
        return self._db if self._knows_position else None

    @property
    def offset(self) -> int:
        """Of what has been applied; -1 while not connected."""
        return self.stream.applied if self.stream is not None else -1

    def acknowledge(self) -> None:
        """REPLCONF GETACK."""
        if self.stream is not None:
            self.stream.acknowledge()

    def info(self) -> dict[str, object]:
        """The lines of INFO replication that only a replica has."""
        config, stream = self._config, self.stream
        known = self._replication.history.offset if self._knows_position else 1
        offsets = (known, known) if stream is None else (stream.received, stream.applied)
        fields = link_fields(self._host, self.port, self.link_state, self._link, offsets, self._loop.time())
        if stream is None:
            since = self._down_since_s
            fields["master_link_down_since_seconds"] = -1 if since is None else self._now_s() - since
        fields["slave_priority"] = config["replica-priority"]
        fields["slave_read_only"] = int(config["replica-read-only"])
        fields["replica_announced"] = int(config["replica-announced"])
        return fields


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "Connection timed out"
    return getattr(error, "strerror", None) or str(error)
