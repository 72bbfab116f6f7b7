"""What is refused, to whom and in which order.

Server and client modes are one integer each, and every command knows the bits it does not simply pass (`refuses`): the
hot path is one AND. Any hit takes the slow path, which reads this table from top to bottom: the order is that of
Redis' processCommand.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from miniredis.engine import registry
from miniredis.engine.client import (
    IN_MULTI,
    LIMITED_USER,
    REPLICA,
    SUBSCRIBED,
    UNAUTHENTICATED,
    UNUSUAL,
    Client,
)
from miniredis.engine.observe import Command
from miniredis.engine.registry import Spec
from miniredis.engine.state import (
    BUSY_SCRIPT,
    DISK_ERROR,
    LOADING,
    LOADING_BESIDE,
    MONITORED,
    OUT_OF_MEMORY,
    PAUSED_ALL,
    PAUSED_WRITES,
    READ_ONLY_REPLICA,
    STALE_REPLICA,
    TOO_FEW_REPLICAS,
    State,
)
from protocol.resp.values import Failure

# Always on in a server's mode: commands that need a second look (containers, DEBUG, those that may block) carry it.
LOOK_TWICE: Final = 1 << 60

_MAY_REPLICATE: Final = registry.WRITE | registry.MAY_REPLICATE
_SECOND_LOOK: Final = registry.BLOCKING | registry.PROTECTED | registry.UNQUEUED | registry.OUTLASTS | registry.WAITS
_KEYSPACE: Final = _MAY_REPLICATE | registry.READONLY

# How much of an unknown command's words the error repeats.
_SHOWN_NAME_BYTES: Final = 128
_SHOWN_ARGS_BYTES: Final = 128


class Rule(NamedTuple):
    """In `mode`, refuse what has a flag of `having`, or lacks `lacking`."""

    mode: int
    error: str
    having: int = 0
    lacking: int = 0


_MISCONF: Final = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    "may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    "snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    "error."
)
_LOADS: Final = "LOADING Redis is loading the dataset in memory"
MASTERDOWN: Final = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."

RULES: Final = (
    Rule(UNAUTHENTICATED, "NOAUTH Authentication required.", lacking=registry.NO_AUTH),
    Rule(IN_MULTI, "ERR Command not allowed inside a transaction", having=registry.NO_MULTI),
    Rule(LIMITED_USER, "", having=-1),  # asks access
    Rule(OUT_OF_MEMORY, "OOM command not allowed when used memory > 'maxmemory'.", having=registry.DENYOOM),
    Rule(DISK_ERROR, _MISCONF, having=registry.WRITE | registry.HEALTH),
    Rule(TOO_FEW_REPLICAS, "NOREPLICAS Not enough good replicas to write.", having=registry.WRITE),
    Rule(READ_ONLY_REPLICA, "READONLY You can't write against a read only replica.", having=registry.WRITE),
    Rule(SUBSCRIBED, "", lacking=registry.IN_SUBSCRIBER),  # names the command
    Rule(STALE_REPLICA, MASTERDOWN, lacking=registry.STALE),
    Rule(LOADING, _LOADS, lacking=registry.LOADING),
    Rule(LOADING_BESIDE, _LOADS, having=registry.NO_ASYNC_LOADING),
    Rule(BUSY_SCRIPT, "", lacking=registry.ALLOW_BUSY),  # names the way out
    Rule(REPLICA, "ERR Replica can't interact with the keyspace", having=_KEYSPACE),
)  # fmt: skip


# What a replica's clients are refused, and its primary is not.
OF_REPLICA: Final = READ_ONLY_REPLICA | STALE_REPLICA | OUT_OF_MEMORY | DISK_ERROR | TOO_FEW_REPLICAS


def refuses(spec: Spec) -> int:
    """The mode bits that send this command down the slow path."""
    bits = UNUSUAL | MONITORED | PAUSED_ALL | OUT_OF_MEMORY  # before any command room is made
    flags = spec.flags
    for rule in RULES:
        if _applies(rule, flags, flags):
            bits |= rule.mode
    if flags & _MAY_REPLICATE:
        bits |= PAUSED_WRITES
    if has_second_look(spec):
        bits |= LOOK_TWICE
    return bits


def has_second_look(spec: Spec) -> bool:
    """Containers; and EXEC stands for what was queued, of whatever kind: UNQUEUED looks twice."""
    return spec.run is None or bool(spec.subcommands) or bool(spec.flags & _SECOND_LOOK)


def _applies(rule: Rule, flags: int, always: int) -> bool:
    """`always`: flags that all of what would be run has (of a transaction, not only some of it)."""
    return bool(flags & rule.having) or bool(rule.lacking and not always & rule.lacking)


def refusal(state: State, client: Client, command: Command, argv: list[bytes]) -> Failure | None:
    """Why this call may not go on: the first rule that says so. Arity and existence were looked at before."""
    flags = always = _flags(state, command, argv)
    if command.spec.name == b"exec":
        for queued, words in client.queue:
            queued_flags = _flags(state, queued, words)
            flags |= queued_flags & (_KEYSPACE | registry.DENYOOM)
            always &= queued_flags
    if flags & registry.PROTECTED and not _is_allowed_protected(state, client):
        return Failure(
            'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from '
            "a local connection, otherwise you need to set this option in the configuration file, and then restart "
            "the server."
        )
    mode = state.mode | client.mode
    for rule in RULES:
        if mode & rule.mode and _applies(rule, flags, always):
            if rule.mode == LIMITED_USER:
                denied: Failure | None = state.access.check(client.user, command.spec, argv)
                if denied is not None:
                    return denied
            elif rule.mode == SUBSCRIBED:
                return Failure(
                    b"ERR Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
                    b"in this context" % command.spec.name
                )
            elif rule.mode == BUSY_SCRIPT:
                return state.engine.scripts.busy()
            else:
                return _refused_by(rule, state)
    return None


def _refused_by(rule: Rule, state: State) -> Failure:
    if rule.mode == DISK_ERROR and state.append_error:
        return Failure(f"MISCONF Errors writing to the AOF file: {state.append_error}")
    return Failure(rule.error)


def _flags(state: State, command: Command, argv: list[bytes]) -> int:
    """A command's flags; for one that runs a script, those the script gave itself."""
    flags = command.flags
    return flags if not flags & registry.OUTLASTS else state.engine.scripts.command_flags(flags, argv)


def script_refusal(
    state: State, user: Any, command: Command | None, argv: list[bytes], *, is_read_only: bool, has_written: bool,
    allows_oom: bool, may_call_anything: bool = False,
) -> Failure | None:  # fmt: skip
    """Why a script may not make this call; the order is that of Redis' scriptCall."""
    if command is None or (command.subcommands and len(argv) > 1):
        return Failure("ERR Unknown Redis command called from script")
    if not command.low <= len(argv) <= command.high or command.spec.run is None:
        return Failure("ERR Wrong number of args calling Redis command from script")
    flags = command.flags
    if flags & registry.NOSCRIPT and not may_call_anything:
        return Failure("ERR This Redis command is not allowed from script")
    if state.mode & STALE_REPLICA and not flags & registry.STALE:
        return Failure("ERR Can not execute the command on a stale replica")
    denied: Failure | None = state.access.check(user, command.spec, argv) if state.access is not None else None
    if denied is not None:
        return Failure(b"ERR ACL failure in script: " + denied.text.partition(b" ")[2])
    if is_read_only and flags & _MAY_REPLICATE:
        return Failure("ERR Write commands are not allowed from read-only scripts.")
    if has_written:  # a script that has begun to change things is not stopped half way
        return None
    for rule in _OF_FIRST_WRITE:
        if state.mode & rule.mode and flags & rule.having and not (rule.mode == OUT_OF_MEMORY and allows_oom):
            return _refused_by(rule, state)
    return None


_OF_FIRST_WRITE: Final = [
    next(rule for rule in RULES if rule.mode == mode)
    for mode in (READ_ONLY_REPLICA, DISK_ERROR, TOO_FEW_REPLICAS, OUT_OF_MEMORY)
]


def is_paused(state: State, client: Client, command: Command, argv: list[bytes]) -> bool:
    """Whether CLIENT PAUSE makes this call wait."""
    if not state.mode & (PAUSED_ALL | PAUSED_WRITES) or client.mode & REPLICA:
        return False
    if state.mode & PAUSED_ALL:
        return True
    flags = _flags(state, command, argv)
    if command.spec.name == b"exec":
        for queued, words in client.queue:
            flags |= _flags(state, queued, words)
    return bool(flags & _MAY_REPLICATE)


def _is_allowed_protected(state: State, client: Client) -> bool:
    allowed = state.settings.enable_debug_command
    if allowed == "local":
        return client.peer.startswith(("127.", "[::1]", "/")) or ":" not in client.peer
    return allowed == "yes"


def unknown(argv: list[bytes]) -> Failure:
    """The error for a command that does not exist; it repeats some of the words."""
    shown = b""
    for word in argv[1:]:
        if len(shown) >= _SHOWN_ARGS_BYTES:
            break
        shown += b"'%b' " % word[: _SHOWN_ARGS_BYTES - len(shown)].split(b"\0", 1)[0]
    return Failure(b"ERR unknown command '%b', with args beginning with: %b" % (_shown(argv[0]), shown))


def unknown_subcommand(argv: list[bytes]) -> Failure:
    """For a container that knows no such word."""
    return Failure(b"ERR unknown subcommand '%b'. Try %b HELP." % (_shown(argv[1]), argv[0].upper()))


def _shown(word: bytes) -> bytes:
    return word.split(b"\0", 1)[0][:_SHOWN_NAME_BYTES]


def wrong_arity(command: Command, argv: list[bytes]) -> Failure:
    """For a command of another number of words; a subcommand is named with its container."""
    # Redis' vector sets are a module, which tells the name as the client wrote it.
    name = _shown(argv[0]) if command.spec.group == "vector_set" else command.spec.name
    return Failure(b"ERR wrong number of arguments for '%b' command" % name)
