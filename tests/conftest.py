"""What many tests of miniredis share: one server of each kind for a whole file, ended by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.redis import Server, our_server, real_server, server_74, server_80


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    with our_server() as server:
        yield server


@pytest.fixture(scope="module")
def theirs() -> Iterator[Server]:
    with real_server() as server:
        yield server


@pytest.fixture(scope="module")
def newer() -> Iterator[Server]:
    """Redis of the version we claim to be, where a developer has built one."""
    server = server_74()
    if server is None:
        pytest.skip("REDIS_SERVER_74 names no redis-server 7.4.1")
    with server:
        yield server


@pytest.fixture(scope="module")
def newest() -> Iterator[Server]:
    """Redis 8.0, whose newer commands we have too, where there is one."""
    server = server_80()
    if server is None:
        pytest.skip("REDIS_SERVER_80 names no redis-server 8.0.2")
    with server:
        yield server
