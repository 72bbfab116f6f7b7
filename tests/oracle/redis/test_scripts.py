"""Our replies are the real server's, byte for byte: every script of `scripts/`, in RESP2 and RESP3."""

from __future__ import annotations

import pytest

from tests.oracle.redis.runner import Script, differences, scripts
from tests.peers.redis import Server, our_server, real_server, server_74

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.name)
def test_replies_equal_the_real_servers(script: Script, proto: int, ours: Server, theirs: Server) -> None:
    """A client would see another reply from us than from Redis."""
    if script.directives:
        with our_server(*script.directives) as mine, real_server(*script.directives) as other:
            found = differences(script, proto, mine, other, version="")
    else:
        found = differences(script, proto, ours, theirs, version="")
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize(
    "script", [script for script in scripts() if script.since < "8"], ids=lambda script: script.name
)
def test_replies_equal_those_of_7_4(script: Script, proto: int, ours: Server, newer: Server) -> None:
    """A client would see another reply from us than from the version we claim to be."""
    if script.directives:
        own = server_74(*script.directives)
        assert own is not None
        with our_server(*script.directives) as mine, own as other:
            found = differences(script, proto, mine, other, version="7.4")
    else:
        found = differences(script, proto, ours, newer, version="7.4")
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize(
    "script", [script for script in scripts() if script.since == "8.0"], ids=lambda each: each.name
)
def test_replies_equal_those_of_8_0(script: Script, proto: int, ours: Server, newest: Server) -> None:
    """A client of what came after 7.4 would see another reply from us than from Redis."""
    found = differences(script, proto, ours, newest, version="8.0")
    assert not found, "\n".join(found[:20])
