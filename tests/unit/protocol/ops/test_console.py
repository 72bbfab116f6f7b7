"""Metrics and the HTTP console, asked by a real HTTP client."""

import asyncio
import urllib.error
import urllib.request

import pytest

from protocol.ops.console import open_console
from protocol.ops.metrics import Registry


async def ask(port: int, path: str, data: bytes | None = None) -> tuple[int, str, bytes]:
    def get() -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=60) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()

    return await asyncio.to_thread(get)


def registry() -> Registry:
    made = Registry()
    made.counter("commands_processed", "Commands run").value += 7
    made.gauge("connected_clients", "Clients now", lambda: 3)
    made.gauge("db_keys", "Keys a database", lambda: [(("0",), 5), (("1",), 6)], labels=("db",))
    latency = made.histogram("latency_seconds", "Time a command takes", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.5, 0.5, 9.0):
        latency.observe(seconds)
    return made


async def test_scrape() -> None:
    """A scraper must find every kind of metric in the text format it knows."""
    made = registry()
    console = await open_console(asyncio.get_running_loop(), "127.0.0.1", 0, {"/metrics": made.text})
    status, kind, body = await ask(console.port, "/metrics?x=1")
    assert status == 200
    assert kind.startswith("text/plain")
    lines = body.decode().splitlines()
    for line in (
        "commands_processed_total 7.0",
        "connected_clients 3.0",
        'db_keys{db="1"} 6.0',
        'latency_seconds_bucket{le="0.1"} 1.0',
        'latency_seconds_bucket{le="1.0"} 3.0',
        'latency_seconds_bucket{le="+Inf"} 4.0',
    ):
        assert line in lines
    assert (await ask(console.port, "/nothing"))[0] == 404
    assert (await ask(console.port, "/metrics", b"posted"))[0] == 405
    await console.drain(1)


@pytest.mark.parametrize("garbage", [b"\x00\xff\r\n\r\n", b"GARBAGE\r\n\r\n", b"GET /" + b"a" * 40_000])
async def test_garbage_is_answered_and_closed(garbage: bytes) -> None:
    """An HTTP port is scanned by everybody: it must neither hang nor keep what it is sent."""
    console = await open_console(asyncio.get_running_loop(), "127.0.0.1", 0, {})
    reader, writer = await asyncio.open_connection("127.0.0.1", console.port)
    writer.write(garbage)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    writer.close()
    await console.drain(1)


def test_a_name_is_taken_once() -> None:
    """Two metrics of one name make the whole scrape invalid."""
    made = registry()
    with pytest.raises(AssertionError):
        made.counter("commands_processed", "again")
