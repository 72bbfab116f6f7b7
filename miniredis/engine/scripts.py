"""Scripts as the engine sees them: which are known, how one is begun, what it may call, how it is ended.

    EVAL ──► prepare ──► outlast(…) ──► sandbox.run ──► redis.call ──► Scripts.call ──► perform ──► conclude
                         (execute.py)   scripting/      the script's own client, origin SCRIPT

Laws:
1. A script is one execution unit: one instant, its effects leave together when it has ended.
2. It makes its calls as a client of its own, with the rights of whoever sent it.
3. A script that has written cannot be killed: half of its work would stay.
4. Scripts that came with EVAL are forgotten after 500 others; those loaded with SCRIPT LOAD stay until SCRIPT FLUSH.
5. Functions (engine/functions.py) run the same way, in an interpreter of their own.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from miniredis.engine import guards
from miniredis.engine.call import Call, Origin
from miniredis.engine.client import NO_TOUCH, TRACKING, Client
from miniredis.engine.functions import Function, Libraries
from miniredis.engine.journal import TO_AOF, TO_REPLICAS
from miniredis.engine.registry import DENYOOM, MAY_REPLICATE, STALE, WRITE
from miniredis.engine.state import (
    DISK_ERROR,
    MONITORED,
    OUT_OF_MEMORY,
    READ_ONLY_REPLICA,
    STALE_REPLICA,
    TOO_FEW_REPLICAS,
)
from miniredis.engine.version import VERSION
from miniredis.scripting.errors import ScriptError
from miniredis.scripting.shebang import ALLOW_OOM, ALLOW_STALE, COMPATIBLE, NO_WRITES, read_shebang
from protocol.resp.values import Failure, Reply

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine

KILLED: Final = b"ERR Script killed by user with SCRIPT KILL..."
# What a known script takes beside its text.
SCRIPT_BYTES: Final = 250
# Redis' own bound of scripts that were not loaded on purpose.
EVAL_SCRIPTS_MAX: Final = 500


class Script:
    """A script that EVAL or SCRIPT LOAD has brought, by its SHA-1."""

    __slots__ = ("body", "chunk", "flags", "is_loaded", "only_line", "sha")
    kill_command = "SCRIPT KILL"

    def __init__(self, sha: bytes, body: bytes, flags: int, *, is_loaded: bool) -> None:
        self.sha = sha
        self.body = body
        self.flags = flags
        self.is_loaded = is_loaded
        self.chunk: Any = None  # of the sandbox there is now
        self.only_line = None if b"\n" in body else 1

    @property
    def name(self) -> bytes:
        return self.sha

    @property
    def size_bytes(self) -> int:
        return SCRIPT_BYTES + len(self.body)


class Run:
    """One script or function under way."""

    __slots__ = (
        "allows_oom", "argv", "client", "has_written", "is_eval", "is_killed", "is_read_only", "now", "script",
        "started",
    )  # fmt: skip

    def __init__(
        self, script: Script | Function, call: Call, started: float, *, is_read_only: bool, allows_oom: bool
    ) -> None:  # fmt: skip
        self.script = script
        self.client = call.session
        self.argv = call.argv
        self.now = call.now
        self.started = started  # monotonic
        self.is_eval = isinstance(script, Script)
        self.is_read_only = is_read_only
        self.allows_oom = allows_oom
        self.has_written = False
        self.is_killed = False


class Scripts:
    """The scripts of one server; the `Host` of its sandbox."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state
        self.known: dict[bytes, Script] = {}  # by SHA-1 in hexadecimal; those of EVAL in the order of their last use
        self.eval_count = 0
        self.evicted = 0
        self.size_bytes = 0  # of what is known
        self.running: Run | None = None
        self.sandbox: Any = None
        self.resp = 2  # what the running script speaks
        self.client = Client(0, self.state.dbs[0])
        self.client.peer = "lua"
        self._call = self.client.call = Call(self.state, self.client, Origin.SCRIPT)
        self._call.deny_blocking = True
        self.functions = Libraries(self.state)
        self.may_call_anything = False  # DEBUG SET-DISABLE-DENY-SCRIPTS: also what is not for scripts

    @property
    def vm_bytes(self) -> int:
        """What the interpreter holds; none is made before the first script comes."""
        return self.sandbox.memory_bytes if self.sandbox is not None else 0

    # What is known.

    def find(self, sha: bytes) -> Script:
        script = self.known.get(sha.lower())
        if script is None:
            raise Failure("NOSCRIPT No matching script. Please use EVAL.")
        return script

    def learn(self, body: bytes, *, is_loaded: bool) -> Script:
        """Compile and remember. Raises Failure with Lua's words where it is none."""
        sha = hashlib.sha1(body, usedforsecurity=False).hexdigest().encode()
        script = self.known.get(sha)
        if script is not None:
            if is_loaded and not script.is_loaded:
                script.is_loaded = True
                self.eval_count -= 1
            return script
        flags, code = read_shebang(body)
        script = Script(sha, code, flags, is_loaded=is_loaded)
        self._compile(script)
        if not is_loaded:
            self._make_room()
            self.eval_count += 1
        self.known[sha] = script
        self.size_bytes += script.size_bytes
        return script

    def _make_room(self) -> None:
        while self.eval_count >= EVAL_SCRIPTS_MAX:
            oldest = next(script.sha for script in self.known.values() if not script.is_loaded)
            self.size_bytes -= self.known.pop(oldest).size_bytes
            self.eval_count -= 1
            self.evicted += 1

    def _compile(self, script: Script) -> Any:
        """The sandbox in which it can run now."""
        if self.sandbox is None or self.sandbox.is_spent:
            from miniredis.scripting.sandbox import Sandbox  # with the first script: Lua is not loaded before

            self._close()
            self.sandbox = Sandbox(VERSION, self.state.script_random)
            for known in self.known.values():
                known.chunk = None
            script.chunk = None  # it may have been forgotten since
        if script.chunk is None:
            script.chunk = self.sandbox.compile(script.body)
        return self.sandbox

    def flush(self, *, is_lazy: bool) -> None:
        """SCRIPT FLUSH: everything is forgotten, the interpreter too."""
        if is_lazy:
            self.state.keyspace.waste.add_whole(self.known, len(self.known), len(self.known))
        self.known = {}
        self.eval_count = self.size_bytes = 0
        self._close()

    def _close(self) -> None:
        if self.sandbox is not None:
            self.sandbox.close()
            self.sandbox = None

    def command_flags(self, flags: int, argv: list[bytes]) -> int:
        """Of a command that runs a script: what the script says it does stands for what the command may do."""
        declared = self._declared(argv)
        if declared is None or declared & COMPATIBLE:
            return flags
        flags &= ~(STALE | DENYOOM | WRITE | MAY_REPLICATE)
        if not declared & NO_WRITES:
            flags |= WRITE | (0 if declared & ALLOW_OOM else DENYOOM)
        return flags | STALE if declared & ALLOW_STALE else flags

    def _declared(self, argv: list[bytes]) -> int | None:
        word = argv[1]
        verb = argv[0].lower()
        if verb.startswith(b"fcall"):
            function = self.functions.functions.get(word.lower())
            return function.flags if function is not None else None
        if verb.startswith(b"evalsha"):
            script = self.known.get(word.lower())
            return script.flags if script is not None else None
        try:
            return read_shebang(word)[0]
        except Failure:
            return None

    # Running one.

    def evaluate(self, call: Call, script: Script, keys: list[bytes], arguments: list[bytes], *, ro: bool) -> Reply:
        if not script.is_loaded:  # most recently used is forgotten last
            self.known[script.sha] = self.known.pop(script.sha, script)
        self.tell_monitors(call)  # before what the script does
        return self.outlast(call, script, keys, arguments, ro=ro)

    def tell_monitors(self, call: Call) -> None:
        if self.state.mode & MONITORED:
            wall_us = self.state.clock.wall_us()
            self.engine.observer.feed_monitors(call.session, call.db.index, call.argv, wall_us)

    def outlast(
        self, call: Call, script: Script | Function, keys: list[bytes], arguments: list[bytes], *, ro: bool
    ) -> Reply:  # fmt: skip
        """Run it; the loop waits for a while (execute.py)."""
        self._object(script, ro=ro)
        return self.engine.waiting.outlast(call, lambda: self._carry_out(call, script, keys, arguments, ro=ro))

    def _object(self, script: Script | Function, *, ro: bool) -> None:
        """A script that declared what it does is refused before it begins."""
        mode, flags = self.state.mode, script.flags
        if flags & COMPATIBLE:
            if mode & STALE_REPLICA:
                raise Failure(guards.MASTERDOWN)
            return
        if mode & STALE_REPLICA and not flags & ALLOW_STALE:
            raise Failure(
                "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag "
                "is not set on the script."
            )
        if not flags & NO_WRITES:
            if mode & READ_ONLY_REPLICA:
                raise Failure("READONLY Can not run script with write flag on readonly replica")
            if mode & DISK_ERROR and self.state.append_error:
                raise Failure(
                    "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist to disk. "
                    "Writable scripts are blocked. Use 'no-writes' flag for read only scripts. AOF error: "
                    f"{self.state.append_error}"
                )
            if mode & DISK_ERROR:
                raise Failure(
                    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
                    "Writable scripts are blocked. Use 'no-writes' flag for read only scripts."
                )
            if ro:
                raise Failure("ERR Can not execute a script with write flag using *_ro command.")
            if mode & TOO_FEW_REPLICAS:
                raise Failure("NOREPLICAS Not enough good replicas to write.")
        if mode & OUT_OF_MEMORY and not flags & (ALLOW_OOM | NO_WRITES):
            raise Failure("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'")

    def _carry_out(
        self, call: Call, script: Script | Function, keys: list[bytes], arguments: list[bytes], *, ro: bool
    ) -> Reply:  # fmt: skip
        caller, client = call.session, self.client
        client.user = caller.user
        client.db = self._call.db = call.db
        client.mode = caller.mode & NO_TOUCH
        self._call.now = call.now
        self.resp = 2
        declared = 0 if script.flags & COMPATIBLE else script.flags
        self.running = Run(
            script, call, self.state.clock.monotonic(), is_read_only=ro or bool(declared & NO_WRITES),
            allows_oom=bool(declared & ALLOW_OOM),
        )  # fmt: skip
        self.engine.depth += 1
        try:
            sandbox = self._compile(script) if isinstance(script, Script) else self.functions.sandbox_of(script)
            reply: Reply = sandbox.run(script, keys, arguments, self)
            return reply
        finally:
            self.engine.depth -= 1
            self.engine.journal.targets = TO_AOF | TO_REPLICAS
            self.running = None

    def warn_slow(self, elapsed_ms: int) -> None:
        run = self.running
        if run is not None:
            self.state.log(
                f"Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the "
                f"script using the {run.script.kill_command} command. Script name is: {run.script.name.decode()}."
            )

    def kill(self, *, is_eval: bool) -> None:
        """SCRIPT KILL and FUNCTION KILL. Raises Failure where nothing of the kind runs, or what runs has written."""
        run = self.running
        if run is None:
            raise Failure("NOTBUSY No scripts in execution right now.")
        if run.has_written:
            raise Failure(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait "
                "the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
            )
        if run.is_eval != is_eval:
            raise self.busy()
        run.is_killed = True

    def busy(self) -> Failure:
        """What others are told while a script runs that has outlasted the loop's patience."""
        way_out = self.running.script.kill_command if self.running is not None else Script.kill_command
        return Failure(f"BUSY Redis is busy running a script. You can only call {way_out} or SHUTDOWN NOSAVE.")

    def stop(self) -> None:
        """The server ends: so does what runs, whatever it has done."""
        if self.running is not None:
            self.running.is_killed = True

    # The sandbox's host.

    def end_reason(self) -> bytes | None:
        return KILLED if self.running is not None and self.running.is_killed else None

    def enter(self) -> None:
        if self.state.companion is not None and self.state.companion.is_working:
            self.state.companion.enter()
        run = self.running
        if run is not None and self.state.keyspace.now != run.now:
            # Others were told a later instant meanwhile: for a script time stands still.
            self.state.keyspace.tell_time(run.now)

    def leave(self) -> None:
        if self.state.companion is not None and self.state.companion.is_working:
            self.state.companion.leave()

    def call(self, argv: list[bytes]) -> Reply:
        engine, state, run = self.engine, self.state, self.running
        assert run is not None
        command = engine.lookup(argv)
        failure = guards.script_refusal(
            state, self.client.user, command, argv, is_read_only=run.is_read_only, has_written=run.has_written,
            allows_oom=run.allows_oom, may_call_anything=self.may_call_anything,
        )  # fmt: skip
        if failure is not None:
            if command is not None:
                command.rejected += 1
            engine.observer.count_error(failure)
            return failure
        assert command is not None
        if command.flags & WRITE:
            run.has_written = True
        call = self._call
        call.resp = self.client.resp = self.resp
        reply = engine.perform(self.client, call, command, argv)
        if run.client.mode & TRACKING:
            engine.tracking.ran(run.client, command, argv)
        return reply

    def speaker(self, client: Client | None) -> Client | None:
        """Whose command it is: of a script's, that of who runs the script."""
        return self.running.client if client is self.client and self.running is not None else client

    def may_call(self, argv: list[bytes]) -> bool:
        command = self.engine.lookup(argv)
        if command is None or (command.subcommands and len(argv) > 1):
            raise ScriptError("ERR Invalid command passed to redis.acl_check_cmd()", kind="plain")
        return self.state.access.check(self.client.user, command.spec, argv) is None

    def set_targets(self, targets: int) -> None:
        self.engine.journal.targets = targets

    def log(self, level: int, line: bytes) -> None:
        self.state.log_script(level, line.decode("utf-8", "backslashreplace"))
