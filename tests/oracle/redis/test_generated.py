"""Generated commands: whatever a declaration allows is answered, told and stored as the real server does it."""

from __future__ import annotations

import os

import pytest

from tests.oracle.redis.compare import KNOWN
from tests.oracle.redis.generated import Draw, Episode, coverage_report
from tests.oracle.redis.play import Pair, Side, shown
from tests.peers.redis import Server, our_server, real_server, server_74

COMMANDS = int(os.environ.get("GENERATED_COMMANDS", "20000"))
SEED = int(os.environ.get("GENERATED_SEED", "1"))
EPISODE = 400  # commands that are played without emptying the servers
LEAST_DRAWN = 20  # of every option, when 20,000 commands are drawn

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def run(real: Server, is_old: bool) -> None:
    draw = Draw(SEED, is_old=is_old)
    with real, our_server() as ours:
        pair = Pair(Side("127.0.0.1", real.port), Side("127.0.0.1", ours.port), is_old)
        while pair.total < COMMANDS:
            episode = Episode(draw, EPISODE)
            difference = pair.play(episode)
            if difference:
                total = pair.total
                commands, found = pair.shortest(episode)
                script = "\n".join(map(shown, commands))
                pytest.fail(
                    f"GENERATED_SEED={SEED}, after {total} commands, RESP{episode.proto}: {difference}\n"
                    f"shortened, with {episode.settings}:\n{script}\n{found}"
                )
        pair.close()
    print(coverage_report(draw.coverage, pair.errors, pair.total))
    print("known to differ from 7.0.15:", *(reason for reason, _ in KNOWN), sep="\n    ")
    seldom = {name: count for name, count in draw.coverage.items() if count < LEAST_DRAWN}
    assert COMMANDS < 20000 or not seldom, f"drawn too seldom: {seldom}"
    assert pair.errors * 2 <= pair.total, "more than half of the replies are errors: the draw has lost its aim"


def test_generated_commands_equal_the_real_server() -> None:
    """Some combination of options, types and state is answered otherwise than Redis answers it."""
    run(real_server(), is_old=True)


def test_generated_commands_equal_7_4() -> None:
    """Some combination of options, types and state is answered otherwise than by the version we claim."""
    server = server_74()
    if server is None:
        pytest.skip("REDIS_SERVER_74 names no redis-server 7.4.1")
    run(server, is_old=False)
