"""What a save finds in its directory of one before."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.oracle.redis.traffic import info, until
from tests.peers.redis import Link, our_server


def test_a_leftover_name_of_a_file_is_not_emptied() -> None:
    """A rename that a loss of power cut off may leave both names: the next save, if that is cut off too, would have
    destroyed the data of before."""
    with our_server("--appendonly", "yes") as server:
        link = Link(server.port)
        assert link.command("SET", "k", "v") + link.command("SAVE") == b"+OK\r\n" * 2
        place = Path(server.directory)
        manifest = place / "appendonlydir/appendonly.aof.manifest"
        leftovers = {
            place / "dump.rdb": place / f"temp-{server.pid}.rdb",
            manifest: manifest.with_name("temp-appendonly.aof.manifest"),
        }
        with ExitStack() as stack:
            kept = [stack.enter_context(path.open("rb")) for path in leftovers]
            told = [path.read_bytes() for path in leftovers]
            for path, leftover in leftovers.items():
                leftover.hardlink_to(path)
            assert link.command("SET", "l", "w") + link.command("SAVE") == b"+OK\r\n" * 2
            assert link.command("BGREWRITEAOF").startswith(b"+")
            until("the rewrite", lambda: info(link, "aof_rewrite_in_progress") == "0")
            assert [file.read() for file in kept] == told
            assert [path.read_bytes() for path in leftovers] != told
