"""The door to files: whole appends, atomic replacement, locks, executor reads."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.disk import frames
from protocol.disk.files import AlreadyLocked, Disk


def test_append_returns_where_it_landed(tmp_path: Path) -> None:
    """The log takes a batch's position from here; a wrong one corrupts the index."""
    file = Disk().open(str(tmp_path / "f"))
    assert file.append(b"abc") == 0
    assert file.append(b"de", b"", bytearray(b"f"), memoryview(b"gh")) == 3
    assert (file.size, file.read(0, 100)) == (8, b"abcdefgh")
    file.close()


def test_many_buffers_are_all_written(tmp_path: Path) -> None:
    """The kernel takes 1,024 buffers at a time: the rest must not be lost."""
    file = Disk().open(str(tmp_path / "f"))
    pieces = [b"%05d" % n for n in range(3000)]
    file.append(*pieces)
    assert file.read(0, 20_000) == b"".join(pieces)
    file.close()


def test_failed_append_leaves_the_file_as_it_was() -> None:
    """A batch half on a full disk would be read as corruption at the next start."""
    file = Disk().open("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        file.append(b"x" * 10)
    assert file.size == 0
    file.close()


def test_replacement_is_atomic(tmp_path: Path) -> None:
    """A checkpoint is the old one or the new one, and no temporary file stays."""
    disk, path = Disk(), str(tmp_path / "mark")
    disk.write_atomically(path, b"one, and longer")
    disk.write_atomically(path, b"two")
    assert disk.read(path) == b"two"
    assert disk.list(str(tmp_path)) == ["mark"]


def test_lock_excludes_another_server_in_this_process_and_in_another(tmp_path: Path) -> None:
    """Two brokers on one directory destroy it."""
    path = str(tmp_path / ".lock")
    held = Disk().lock(path)
    with pytest.raises(AlreadyLocked):
        Disk().lock(path)
    posix = f"import fcntl; fcntl.lockf(open({path!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    assert subprocess.run([sys.executable, "-c", posix], capture_output=True, check=False).returncode != 0
    held.release()
    Disk().lock(path).release()


def test_hot_read_is_a_read(tmp_path: Path) -> None:
    """Data just written lies in the page cache (or the file system cannot tell); never wrong bytes."""
    file = Disk().open(str(tmp_path / "f"))
    file.append(b"0123456789")
    got = file.read_hot(3, 4)
    assert got is None or bytes(got) == b"3456"
    assert bytes(file.read_hot(10, 5) or b"") == b""
    file.close()


async def test_a_close_waits_for_the_executor(tmp_path: Path) -> None:
    """A descriptor closed under an fsync may by then be another file's."""
    disk, loop = Disk(), asyncio.get_running_loop()
    file = disk.open(str(tmp_path / "f"))
    file.append(b"cold")
    reading, syncing = disk.async_read(file, 0, 4, loop), disk.async_sync(file, loop)
    file.close()
    assert await reading == b"cold"
    await syncing


def test_frames_stop_at_the_first_torn_one() -> None:
    """Law 1 of frames, for a cut at every byte."""
    values = [{"a": 1}, [1, 2, 3], "x" * 100]
    data = b"".join(map(frames.pack, values))
    ends = [end for end, _ in frames.scan(data)]
    assert [value for _, value in frames.scan(data)] == values
    for cut in range(len(data)):
        assert [end for end, _ in frames.scan(data[:cut])] == [end for end in ends if end <= cut]
        flipped = bytearray(data)
        flipped[cut] ^= 1
        assert len(list(frames.scan(bytes(flipped)))) < len(values)


def test_a_leftover_name_of_a_file_is_not_emptied(tmp_path: Path) -> None:
    """A rename that a loss of power cut off may leave both names: the next replacement would destroy what is there."""
    disk, path = Disk(), str(tmp_path / "mark")
    disk.write_atomically(path, b"one")
    (tmp_path / "mark.tmp").hardlink_to(path)
    with open(path, "rb") as kept:
        disk.write_atomically(path, b"two")
        assert (kept.read(), disk.read(path)) == (b"one", b"two")
