"""redis-py's own tests, played to ours. They are in its source distribution, which nothing here brings along:

    pip download --no-deps --no-binary redis 'redis==8.1.*' && tar xf redis-8.1.0.tar.gz
    REDIS_PY_SUITE=redis-8.1.0 python -m pytest tests/clients/test_redis_py_suite.py

A test may fail here when it fails against a real 7.4.1 as well, or is about what we have not: EXPECTED says which.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.peers.redis import Server

SUITE = os.environ.get("REDIS_PY_SUITE", "")
pytestmark = [
    pytest.mark.skipif(not SUITE, reason="REDIS_PY_SUITE names no unpacked source distribution of redis-py"),
    pytest.mark.slow,
]

SYNC = "test_hash test_pipeline test_scripting test_function test_lock test_monitor test_pubsub test_encoding"
ASYNC = "test_hash test_pipeline test_scripting test_lock test_monitor test_pubsub test_encoding"
FILES = {
    "commands": ["tests/test_commands.py"],
    "asyncio-commands": ["tests/test_asyncio/test_commands.py"],
    "others": [f"tests/{name}.py" for name in SYNC.split()],
    "asyncio-others": [f"tests/test_asyncio/{name}.py" for name in ASYNC.split()],
}
EXPECTED = (
    # Fails against a real 7.4.1 as well: a server on port 6379, a cluster or modules are wanted; PSYNC's reply is not
    # read; the lag of a group that has read more than there is.
    r"test_client_setinfo", r".*_on_cluster", r".*cluster", r"test_eval_crossslot", r"test_module", r"test_psync",
    r"test_resubscribe_shard_channels", r"test_pubsub_shardnumsub", r"test_xgroup_create_entriesread",
    r"test_generator_handles_concurrent_mapping_changes",
    # Not built: access control.
    r"test_acl_", r"test_auth", r"test_client_kill_filter_by_user",
)  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("part", FILES)
def test_no_data_command_fails(part: str, proto: int, ours: Server) -> None:
    """A call of redis-py would not work here."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", "-rfE", "--tb=no"]
    where = ["--redis-url", f"redis://127.0.0.1:{ours.port}/0", "--redis-mod-url", "redis://127.0.0.1:1"]
    done = subprocess.run(
        [*command, *where, "--protocol", str(proto), *FILES[part]], cwd=SUITE, capture_output=True, text=True
    )
    assert " passed" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    failed = [line.rpartition("::")[2] for line in re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)]
    assert [name for name in failed if not any(re.match(pattern, name) for pattern in EXPECTED)] == []
