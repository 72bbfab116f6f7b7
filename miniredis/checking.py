"""`miniredis check-aof` and `miniredis check-rdb`: the files looked at by themselves, without a server.

miniredis check-aof [--fix | --truncate-to-timestamp seconds] <file.manifest|file.aof>
miniredis check-rdb <rdb-file-name>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from miniredis.engine.settings import Settings
from miniredis.engine.version import VERSION
from miniredis.persist.check_aof import AofCheck
from miniredis.persist.check_rdb import RdbCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protocol.disk.files import Disk
    from protocol.ops.clock import Clock

_AOF_USAGE: Final = "Usage: check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>"
_RDB_USAGE: Final = "Usage: check-rdb <rdb-file-name>"


def run_tool(
    words: Sequence[str], disk: Disk, clock: Clock, say: Callable[[str], None], answer: Callable[[], str]
) -> int:
    """`words` begin with the tool's name. `answer` reads a line of whoever is asked; the exit code."""
    tool, *rest = words
    if rest in (["-v"], ["--version"]):
        say(f"{tool} {VERSION}")
        return 0
    if tool == "check-rdb":
        return _check_rdb(rest, disk, clock, say)
    fixes, until_s = False, None
    if len(rest) == 2 and rest[0] == "--fix":
        fixes = True
    elif len(rest) == 3 and rest[0] == "--truncate-to-timestamp":
        if not rest[1].isdigit():
            say("Invalid timestamp, aborting...")
            return 1
        until_s = int(rest[1])
    elif len(rest) != 1:
        say(_AOF_USAGE)
        return 1

    def asks() -> bool:
        say("Continue? [y/N]: ")
        return answer().lower().startswith("y")

    check = AofCheck(disk, Settings(), say, now_ms=clock.wall_ms(), fixes=fixes, until_s=until_s, asks=asks)
    return 0 if check.run(rest[-1]) else 1


def _check_rdb(words: Sequence[str], disk: Disk, clock: Clock, say: Callable[[str], None]) -> int:
    if len(words) != 1:
        say(_RDB_USAGE)
        return 1
    try:
        file = disk.open(words[0], create=False, read_only=True)
    except OSError as error:
        say(f"Cannot open file {words[0]}: {error.strerror}")
        return 1
    try:
        return 0 if RdbCheck(file, Settings(), say, clock.wall_ms()).run(words[0]) else 1
    finally:
        file.close()
