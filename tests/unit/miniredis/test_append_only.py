"""The parts of the append-only file: each alone, and how a server begins with what lies there."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from miniredis.engine.replay import Replay
from miniredis.engine.settings import Settings
from miniredis.persist.aof_load import Loader, Unknown
from miniredis.persist.aof_manifest import BadManifest, Manifest
from miniredis.persist.aof_read import CommandReader, Damaged, Short
from miniredis.persist.aof_write import CommandWriter
from miniredis.persist.check_aof import AofCheck
from miniredis.persist.digest import dataset_digest
from miniredis.persist.snapshots import CannotLoad
from protocol.disk.files import File
from protocol.ops.logs import Logger
from protocol.resp.encoder import encode_command
from tests.peers.redis import Link, our_server
from tests.sim.disk import SimDisk
from tests.unit.miniredis.world import World

TWO = b"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"


# ── the manifest ───────────────────────────────────────────────────────────────────────────────────────


def test_a_manifest_is_read_and_written() -> None:
    """A real server would not find our files, nor we its."""
    manifest = Manifest.read("a", b"# comment\n" + TWO)
    assert manifest.text() == TWO
    assert manifest.next_base(is_rdb=False) == "a.2.base.aof"
    assert manifest.next_increment() == "a.3.incr.aof"
    manifest.retire_increments(keep_last=True)
    assert manifest.text().decode().splitlines() == [
        "file a.2.base.aof seq 2 type b", "file a.1.incr.aof seq 1 type h", "file a.2.incr.aof seq 2 type h",
        "file a.1.base.rdb seq 1 type h", "file a.3.incr.aof seq 3 type i",
    ]  # fmt: skip
    assert Manifest.read("a", manifest.text()).text() == manifest.text()


def test_names_that_are_no_words_are_quoted() -> None:
    """appendfilename with a space in it would be two words of the manifest."""
    manifest = Manifest('my "file"')
    manifest.next_increment()
    assert manifest.text() == b'file "my \\"file\\".1.incr.aof" seq 1 type i\n'
    assert Manifest.read("x", manifest.text()).increments[0].name == 'my "file".1.incr.aof'


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (b"", "Found an empty AOF manifest", 0),
        (b"\n", "Invalid AOF manifest file format", 1),
        (TWO + b"\n", "Invalid AOF manifest file format", 4),
        (b"file a seq 1\n", "Invalid AOF manifest file format", 1),
        (b"file a seq 0 type b\n", "Invalid AOF manifest file format", 1),
        (b"file a seq 1 type b x\n", "Invalid AOF manifest file format", 1),
        (b'file "a seq 1 type b\n', "Invalid AOF manifest file format", 1),
        (b"file ../a seq 1 type b\n", "File can't be a path, just a filename", 1),
        (b"file a seq 1 type x\n", "Unknown AOF file type", 1),
        (b"file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information", 2),
        (b"file a seq 2 type i\nfile b seq 2 type i\n", "Found a non-monotonic sequence number", 2),
        (b"file a seq 1 type b", "The AOF manifest file contains too long line", 1),
        (b"file " + b"a" * 2000 + b" seq 1 type b\n", "The AOF manifest file contains too long line", 1),
    ],
)
def test_a_bad_manifest_is_refused(data: bytes, reason: str, line: int) -> None:
    """A server would start on some of its data, or on somebody else's file."""
    with pytest.raises(BadManifest) as caught:
        Manifest.read("a", data)
    assert (caught.value.reason, caught.value.number) == (reason, line)


def test_a_manifest_cut_anywhere_but_at_the_end_of_a_line_is_refused() -> None:
    """A name cut short would be another file's, a number another number: a server would start on the wrong data."""
    text = b"".join(
        [
            b"file a.10.base.rdb seq 10 type b\n",
            b"file a.9.incr.aof seq 9 type h\n",
            b"file a.10.incr.aof seq 10 type i\n",
        ]
    )
    ends = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    for size in range(len(text)):
        if size in ends:
            names = [each.name for each in Manifest.read("a", text[:size]).parts]
            assert names == ["a.10.base.rdb"]
        else:
            with pytest.raises(BadManifest):
                Manifest.read("a", text[:size])


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


def file_of(data: bytes) -> File:
    file = SimDisk(Random(1)).open("/file")
    file.append(data)
    return file


def read(data: bytes, window: int = 1 << 20) -> list[tuple[list[bytes], int]]:
    return [command for commands in CommandReader(file_of(data), window_bytes=window) for command in commands]


COMMANDS = [
    [b"SELECT", b"0"], [b"SET", b"k", b"line\r\nbreak"], [b"SET", b"", b""], [b"RPUSH", b"l", *[b"x"] * 300],
    [b"SET", b"big", b"y" * 5000], [b"MULTI"], [b"INCR", b"n"], [b"EXEC"],
]  # fmt: skip


@pytest.mark.parametrize("window", [1, 7, 64, 1 << 20])
def test_commands_are_read_whatever_the_window(window: int) -> None:
    """A long file would be cut in the middle of a command, or an argument with a line break taken for two."""
    parts = [encode_command(argv) for argv in COMMANDS]
    data = b"#TS:1700000000\r\n".join([b"", *parts])
    found = read(data, window)
    assert [argv for argv, _ in found] == COMMANDS
    for argv, end in found:
        assert data[:end].endswith(encode_command(argv))


def test_each_cut_is_told() -> None:
    """Half a command would be run, or a whole one left out."""
    parts = [encode_command(argv) for argv in COMMANDS[:3]]
    data = b"".join(parts)
    ends = [len(parts[0]), len(parts[0] + parts[1]), len(data)]
    for size in range(len(data)):
        found = []
        try:
            for commands in CommandReader(file_of(data[:size])):
                found += commands
        except Short:
            assert size not in (0, *ends)
        else:
            assert size in (0, *ends)
        assert [end for _, end in found] == [end for end in ends if end <= size]


@pytest.mark.parametrize(
    "data",
    [
        b"hello", b"*1\r\n+OK\r\n", b"*0\r\n", b"*-1\r\n", b"*1\r\n$-1\r\n\r\n", b"*1\r\n$3\r\nabcd\r\n", b"\0\0\0\0",
        b"*99999999999999999999\r\n", b"SET a b\r\n", b"*1\r\n$1" + b"0" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_command_is_refused_with_its_place(data: bytes) -> None:
    """Rubbish in the middle of a file would be skipped, and what comes after it run."""
    good = encode_command([b"SET", b"a", b"b"])
    with pytest.raises(Damaged, match="offset"):
        read(good + data + good)


# ── loading ────────────────────────────────────────────────────────────────────────────────────────────


def load(data: bytes, *, allows_truncated: bool = True, base: bytes | None = None) -> tuple[World, SimDisk]:
    world = World()
    disk = SimDisk(Random(1))
    disk.make_dirs("/aof")
    disk.open("/aof/a.1.incr.aof").append(data)
    log = Logger(lambda level, text: text, write=lambda line: None)
    replay = Replay(world.engine, Unknown, log.warning)
    loader = Loader(
        "/aof", world.state.dbs, world.state.snapshots, replay, disk=disk, clock=world.clock, log=log,
        allows_truncated=allows_truncated, preamble_name="a",
    )  # fmt: skip
    manifest = Manifest("a")
    manifest.next_increment()
    if base is not None:
        disk.open(f"/aof/{manifest.next_base(is_rdb=False)}").append(base)
    replay.open()
    try:
        for _ in loader.load(manifest):
            pass
    finally:
        replay.close()
    return world, disk


def test_a_transaction_is_all_or_nothing_wherever_the_file_ends() -> None:
    """Half a transaction would be there after a crash, or be completed by the next one that is written."""
    before = encode_command([b"SET", b"a", b"1"])
    words = ([b"MULTI"], [b"SET", b"b", b"1"], [b"SET", b"c", b"1"], [b"EXEC"])
    unit = b"".join([encode_command(argv) for argv in words])
    for size in range(len(before), len(before + unit) + 1):
        world, disk = load((before + unit)[:size])
        is_whole = size == len(before + unit)
        assert world("MGET a b c") == ([b"1", b"1", b"1"] if is_whole else [b"1", None, None])
        assert disk.size("/aof/a.1.incr.aof") == (size if is_whole else len(before)), size
        if not is_whole and size != len(before):
            with pytest.raises(CannotLoad, match="Unexpected end of file"):
                load((before + unit)[:size], allows_truncated=False)


STAMP = b"#TS:1700000000\r\n"


def test_what_is_there_is_a_prefix_wherever_the_file_ends() -> None:
    """Of several transactions, with stamps and a change of database between, one would be there in half, or a
    torn end would stay and swallow what is written after it."""
    units = [
        [[b"SET", b"n", b"0"]],
        [[b"MULTI"], [b"INCR", b"n"], [b"RPUSH", b"l", b"1"], [b"EXEC"]],
        [[b"SELECT", b"1"]],
        [[b"MULTI"], [b"SELECT", b"0"], [b"INCR", b"n"], [b"RPUSH", b"l", b"2"], [b"EXEC"]],
        [[b"MULTI"], [b"INCR", b"n"], [b"EVAL", b"redis.call('rpush', 'l', 3)", b"0"], [b"EXEC"]],
    ]
    pieces = [b"".join(map(encode_command, unit)) for unit in units]
    pieces[2] = STAMP + pieces[2]
    counts = {0: None, 1: b"0", 2: b"1", 3: b"1", 4: b"2", 5: b"3"}
    data = b"".join(pieces)
    for size in range(len(data) + 1):
        whole = sum(len(b"".join(pieces[: number + 1])) <= size for number in range(len(pieces)))
        world, disk = load(data[:size])
        assert world("GET n") == counts[whole], size
        assert world("LLEN l") == int(counts[whole] or 0), size
        left = disk.read("/aof/a.1.incr.aof")
        assert left.removesuffix(STAMP) == b"".join(pieces[:whole]).removesuffix(STAMP), size


@pytest.mark.parametrize("increment", [b"", encode_command([b"SET", b"b", b"2"])])
def test_a_base_cut_short_is_refused_whatever_comes_after_it(increment: bytes) -> None:
    """What a rewrite had on the medium, and something took, would be cut away as if it had never been acknowledged."""
    with pytest.raises(CannotLoad, match="not the last file"):
        load(increment, base=encode_command([b"SET", b"a", b"1"])[:-3])


def test_damage_in_the_middle_refuses_the_start() -> None:
    """A server would go on without some of its data."""
    good = encode_command([b"SET", b"a", b"1"])
    with pytest.raises(CannotLoad, match=r"Bad file format.*offset 27"):
        load(good + b"!" + good)
    with pytest.raises(CannotLoad, match="Unknown command 'bla'"):
        load(good + encode_command([b"bla", b"x"]))


def test_what_has_ended_is_there_until_the_file_removes_it() -> None:
    """A key would be gone before the command that read it, or come back after one that removed it."""
    commands = [
        [b"SET", b"k", b"v"], [b"PEXPIREAT", b"k", b"1000"], [b"APPEND", b"k", b"w"], [b"RENAME", b"k", b"other"],
        [b"PERSIST", b"other"],
    ]  # fmt: skip
    world, _ = load(b"".join([encode_command(argv) for argv in commands]))
    assert world("GET other") == b"vw"


# ── a base of commands ─────────────────────────────────────────────────────────────────────────────────

EVERYTHING = """
SET text v|SET number 12|SET short v PX 100000|SELECT 3|RPUSH list a b c|SADD ints 1 2 3|SADD words a b
ZADD zset 1.5 a -inf b 3 c|HSET hash f v g w|HSET ending f v g w|HPEXPIREAT ending 9000000000000 FIELDS 1 f
XADD stream 1-1 f v|XADD stream 2-1 f v g w|XADD stream 3-1 f v|XDEL stream 2-1|XGROUP CREATE stream group 0
XREADGROUP GROUP group one COUNT 1 STREAMS stream >|XGROUP CREATECONSUMER stream group idle
XADD empty 5-5 a b|XDEL empty 5-5|VADD vectors VALUES 2 1 0 element
"""


def test_a_base_of_commands_makes_the_same_data() -> None:
    """A rewrite with aof-use-rdb-preamble no would lose something of a type."""
    world = World()
    for line in EVERYTHING.strip().replace("\n", "|").split("|"):
        world(line)
    world("RPUSH long " + " ".join(map(str, range(200))))
    world("ZADD scores " + " ".join(f"{n} m{n}" for n in range(200)))
    world("HSET fields " + " ".join(f"f{n} {n}" for n in range(200)))
    file = SimDisk(Random(1)).open("/base")
    CommandWriter(file, lambda keys: None, 1, is_synced_often=True).write(world.state.dbs, [], 1_700_000_000)
    data = file.read(0, file.size)
    assert data.startswith(b"#TS:1700000000\r\n")
    assert max(len(argv) for argv, _ in read(data)) == 2 + 2 * 64
    again, _ = load(data)
    assert dataset_digest(again.state.dbs) == dataset_digest(world.state.dbs)
    group = again.state.dbs[3].peek(b"stream").groups[b"group"]
    assert [consumer.name for consumer in group.sorted_consumers()] == [b"idle", b"one"]


def test_a_long_base_is_synced_on_the_way() -> None:
    """aof-rewrite-incremental-fsync would leave gigabytes to one fsync at the end."""
    world = World()
    world("SETRANGE k 9000000 x")
    world("COPY k l")
    for often, expected in ((True, 2), (False, 0)):
        done: list[str] = []
        disk = SimDisk(Random(1), lambda operation, path, done=done: done.append(operation))  # type: ignore[misc]
        CommandWriter(disk.open("/base"), lambda keys: None, 1, is_synced_often=often).write(world.state.dbs, [], None)
        assert done.count("sync") == expected


# ── the checker ────────────────────────────────────────────────────────────────────────────────────────


def checked(data: bytes, *, fixes: bool = False, until_s: int | None = None) -> tuple[bool, list[str], bytes]:
    disk = SimDisk(Random(1))
    disk.open("/file").append(data)
    lines: list[str] = []
    check = AofCheck(
        disk, Settings(), lines.append, now_ms=0, fixes=fixes, until_s=until_s, asks=lambda: True
    )  # fmt: skip
    return check.run("/file"), lines, disk.read("/file")


def test_the_checker_finds_and_mends_an_end() -> None:
    """An operator would be told that a file is whole which no server loads, or lose more of it than he must."""
    good = encode_command([b"SET", b"a", b"1"])
    torn = good + encode_command([b"MULTI"]) + good
    assert checked(good)[0]
    is_good, lines, data = checked(torn)
    assert not is_good
    assert "Reached EOF before reading EXEC for MULTI" in lines[1]
    assert data == torn
    is_good, lines, data = checked(torn, fixes=True)
    assert is_good
    assert data == good
    assert lines[-1] == "Successfully truncated AOF /file"


def test_the_checker_cuts_to_a_time() -> None:
    """A state of the past could not be had back."""
    good = encode_command([b"SET", b"a", b"1"])
    stamped = b"#TS:100\r\n" + good + b"#TS:200\r\n" + good
    assert checked(stamped, until_s=150)[2] == b"#TS:100\r\n" + good
    assert checked(stamped, until_s=200)[2] == stamped
    assert not checked(stamped, until_s=50)[0]


# ── a server's beginning ───────────────────────────────────────────────────────────────────────────────


def test_a_stray_increment_is_not_gone_on_with() -> None:
    """What a crash left of an append-only file that never came to be would be there at the start after the next; or,
    where it is the manifest that was lost, all the data would be gone."""
    server = our_server("--appendonly", "yes")
    directory = Path(server.directory, "appendonlydir")
    directory.mkdir()
    stray = encode_command([b"SET", b"stray", b"1"])
    (directory / "appendonly.aof.1.incr.aof").write_bytes(stray)
    (directory / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS0010 cut short")
    server.keep = True
    for _ in range(2):
        with server:
            link = Link(server.port)
            assert link.command("EXISTS", "stray") == b":0\r\n"
            link.close()
    assert (directory / "appendonly.aof.1.incr.aof.unnamed-1").read_bytes() == stray
    assert (directory / "appendonly.aof.1.base.rdb.unnamed-1").read_bytes() == b"REDIS0010 cut short"
    shutil.rmtree(server.directory)
