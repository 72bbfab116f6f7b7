"""The four scans refuse, or read, other cursors and options than Redis does."""

import pytest

from miniredis.engine.scanning import ScanOptions, choose, parse_cursor, scan_options
from protocol.resp.values import Failure


@pytest.mark.parametrize(
    ("text", "cursor"),
    [
        (b"0", 0), (b"17", 17), (b"18446744073709551615", 2**64 - 1), (b"007", 7), (b"+5", 5), (b" 5", 5),
        (b"-05", 2**64 - 5),
    ],
)  # fmt: skip
def test_cursors(text: bytes, cursor: int) -> None:
    """A cursor is read otherwise than by strtoull behind Redis' own rule."""
    assert parse_cursor(text) == cursor


@pytest.mark.parametrize("text", [b"", b"x", b"-1", b"1x", b"1.5", b"18446744073709551616", b"9" * 100_000, b"5 "])
def test_no_cursors(text: bytes) -> None:
    """Something that is no cursor is taken for one."""
    with pytest.raises(Failure, match="ERR invalid cursor"):
        parse_cursor(text)


def test_options() -> None:
    """Options are lost, or the last of two does not win."""
    words = [b"count", b"5", b"MATCH", b"a*", b"COUNT", b"7", b"NoValues", b"TYPE", b"hash"]
    found = scan_options([b"SCAN", b"0", *words], 2, allows_type=True, allows_novalues=True)
    assert found == ScanOptions(7, b"a*", b"hash", True)
    assert scan_options([b"SCAN", b"0", b"MATCH", b"*"], 2) == ScanOptions()
    assert choose([b"a", b"ab", b"b"], found.pattern) == [b"a", b"ab"]
    assert choose([b"a", b"b"], None) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([b"COUNT"], "ERR syntax error"),
        ([b"COUNT", b"0"], "ERR syntax error"),
        ([b"COUNT", b"x"], "ERR value is not an integer or out of range"),
        ([b"COUNT", b"x", b"NONSENSE"], "ERR value is not an integer or out of range"),
        ([b"MATCH"], "ERR syntax error"),
        ([b"TYPE", b"hash"], "ERR syntax error"),
        ([b"NOVALUES"], "ERR NOVALUES option can only be used in HSCAN"),
    ],
)
def test_refused_options(words: list[bytes], error: str) -> None:
    """A wrong option is answered with another text than Redis'."""
    with pytest.raises(Failure, match=error):
        scan_options([b"SSCAN", b"k", b"0", *words], 3)
