"""Replies recorded from real servers, played again to ours (recorded.py says what is compared how, and what is not)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.oracle.redis.recorded import EXCEPTIONS, RULES, differences, rows
from tests.peers.redis import Server, our_server


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    with our_server("--enable-debug-command", "no", "--enable-protected-configs", "no") as server:
        yield server


@pytest.mark.parametrize(
    ("version", "proto", "least"), [("7.4.1", 2, 640), ("7.4.1", 3, 640), ("7.0.15", 0, 500)], ids=str
)
def test_recorded_replies_are_ours(version: str, proto: int, least: int, ours: Server) -> None:
    """A client would see another reply from us than the real server once gave."""
    found, compared, _left_out = differences(ours.port, version, proto)
    assert not found, "\n".join(found[:20])
    assert compared >= least, "most of the recording was not compared"


def test_every_rule_is_needed() -> None:
    """A rule or an exception whose command is in no recording would hide what comes later."""
    lines = [" ".join(row["argv"]) for version in ("7.4.1", "7.0.15") for row in rows(version, 2) if "argv" in row]
    lines.append("MONITOR lines")
    for pattern, _ in (*RULES, *EXCEPTIONS):
        assert any(re.match(pattern, line, re.IGNORECASE) for line in lines), pattern
