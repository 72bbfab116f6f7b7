"""What the log says of an RDB file, or of a payload, that does not hold together: people search for these lines."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from miniredis.persist.rdb_format import sealed, string
from protocol.checksums import crc64
from tests.peers.redis import DEADLINE_S, ROOT, Link, our_server

# A hash of two fields in a ziplist, the second of which is the first again.
TWICE = (
    b"\x0d\x1b\x1b\x00\x00\x00\x16\x00\x00\x00\x04\x00\x00\x02a\x00\x04\x02b\x00\x04\x02a\x00\x04\x02d\x00\xff"
)  # fmt: skip
EMPTY_SET = b"\x02" + string(b"nobody", False) + b"\x00"


def rdb(*entries: bytes) -> bytes:
    data = b"REDIS0009\xfe\x00" + b"".join(entries) + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def started_with(data: bytes) -> str:
    """The log of a server that cannot start."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "dump.rdb").write_bytes(data)
        words = [sys.executable, "-m", "miniredis", "--port", "0", "--dir", directory]
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, cwd=ROOT, check=False)
    assert done.returncode == 1
    return done.stdout


def test_a_file_whose_sum_is_wrong() -> None:
    """An operator would not learn that it is the file."""
    data = bytearray(rdb(b"\x00\x01k\x01v"))
    data[-1] ^= 1
    log = started_with(bytes(data))
    assert "Wrong RDB checksum expected: (" in log
    assert "-> RDB CRC error" in log
    assert log.count("Terminating server after rdb file reading failure.") == 1


def test_a_file_with_a_damaged_value() -> None:
    """Nor which kind of value, and where."""
    log = started_with(rdb(b"\x00\x01k\x01v", TWICE[:1], string(b"h", False), TWICE[1:]))
    assert "Internal error in RDB reading offset 16 -> Hash ziplist integrity check failed: a field twice" in log
    assert log.count("integrity check failed") > 1  # the checker has looked at the file, too


def test_collections_without_elements_are_told() -> None:
    """A key would be gone after a restart, and nothing would say so."""
    with our_server("--save", "") as server:
        link = Link(server.port)
        (Path(server.directory) / "dump.rdb").write_bytes(rdb(EMPTY_SET, b"\x00\x01k\x01v"))
        assert link.command("DEBUG", "RELOAD", "NOSAVE") == b"+OK\r\n"
        assert link.command("KEYS", "*") == b"*1\r\n$1\r\nk\r\n"
        assert "rdbLoadObject skipping empty key: nobody" in server.log()
        assert "empty keys skipped: 1." in server.log()


def test_a_damaged_payload_is_told_in_detail() -> None:
    """Who moves keys with RESTORE would hear no more than "Bad data format"."""
    with our_server("--loglevel", "verbose") as server:
        link = Link(server.port)
        assert link.command(b"RESTORE", b"h", b"0", sealed(TWICE, 9)) == b"-ERR Bad data format\r\n"
        assert "Hash ziplist integrity check failed: a field twice" in server.log()
        assert link.command("CONFIG", "SET", "loglevel", "notice") == b"+OK\r\n"
        assert link.command(b"RESTORE", b"h", b"0", sealed(TWICE, 9)) == b"-ERR Bad data format\r\n"
        assert server.log().count("integrity check failed") == 1
