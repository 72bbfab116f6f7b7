"""A partition's directory as a stop left it: swaps finished, leftovers removed.

<base>.log.deleted      out of sight, waiting for its removal: removed
<base>.log.cleaned      a compaction that had not come to its swap: removed, and with it every swap that might
                        belong to the same split (same or higher base)
<base>.log.swap         a compaction that had: the segments it replaces are removed, then it takes its name
<base>.index without    an index whose log is gone: removed
"""

from protocol.disk.files import Disk
from protocol.kafka.batch import HEADER_SIZE, LENGTH_FROM, BatchHeader

__all__ = ["base_of", "tidy"]

CLEANED = ".cleaned"
DELETED = ".deleted"
SNAPSHOT_DELETED = ".checkpoint.deleted"  # the metadata log's snapshots: their owner's business
SWAP = ".swap"
INDEX_SUFFIXES = (".index", ".timeindex", ".txnindex")


def base_of(name: str) -> int:
    """The offset a file is named after; -1 when it is not named after one."""
    digits = name.partition(".")[0]
    return int(digits) if len(digits) == 20 and digits.isdecimal() else -1


def tidy(disk: Disk, directory: str) -> list[str]:
    """Bring a directory into order; return its names."""
    names = disk.list(directory)
    removed = [name for name in names if name.endswith(DELETED) and not name.endswith(SNAPSHOT_DELETED)]
    cleaned = [name for name in names if name.endswith(CLEANED)]
    swaps = [name for name in names if name.endswith(SWAP)]
    if cleaned:
        first_cleaned = min(map(base_of, cleaned))
        stale = [name for name in swaps if base_of(name) >= first_cleaned]
        swaps = [name for name in swaps if base_of(name) < first_cleaned]
        removed += cleaned + stale
    for name in removed:
        disk.remove(f"{directory}/{name}")
    if swaps:
        _finish_swap(disk, directory, swaps)
    if removed or swaps:
        names = disk.list(directory)
    return _without_orphans(disk, directory, names)


def _finish_swap(disk: Disk, directory: str, swaps: list[str]) -> None:
    logs = [name for name in swaps if name.endswith(".log" + SWAP)]
    first = min(map(base_of, logs), default=0)
    end = max((_end_offset(disk, f"{directory}/{name}", base_of(name)) for name in logs), default=0)
    for name in disk.list(directory):
        if not name.endswith(SWAP) and first <= base_of(name) < end:
            disk.remove(f"{directory}/{name}")
    for name in swaps:
        disk.rename(f"{directory}/{name}", f"{directory}/{name.removesuffix(SWAP)}")


def _end_offset(disk: Disk, path: str, base_offset: int) -> int:
    file = disk.open(path, read_only=True)
    try:
        end, position = base_offset, 0
        while position + HEADER_SIZE <= file.size:
            header = BatchHeader.peek(file.read(position, HEADER_SIZE))
            if header.length + LENGTH_FROM < HEADER_SIZE or position + header.length + LENGTH_FROM > file.size:
                break
            end = header.base_offset + header.last_offset_delta + 1
            position += header.length + LENGTH_FROM
        return end
    finally:
        file.close()


def _without_orphans(disk: Disk, directory: str, names: list[str]) -> list[str]:
    logs = {base_of(name) for name in names if name.endswith(".log")}
    orphans = {name for name in names if name.endswith(INDEX_SUFFIXES) and base_of(name) not in logs}
    for name in orphans:
        disk.remove(f"{directory}/{name}")
    return [name for name in names if name not in orphans]
