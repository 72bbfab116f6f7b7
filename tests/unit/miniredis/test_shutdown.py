"""SHUTDOWN ends the server, and only when it can do what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.redis import DEADLINE_S, Link, our_server


@pytest.mark.parametrize("options", [(), ("NOSAVE",), ("SAVE",), ("NOW",), ("nosave", "force")])
def test_shutdown_ends_the_server(options: tuple[str, ...]) -> None:
    """An operator could not stop the server, or a client would hang instead of seeing the end."""
    with our_server() as server:
        assert server.process is not None
        other = Link(server.port)
        assert other.command("PING") == b"+PONG\r\n"
        link = Link(server.port)
        link.send(b"SHUTDOWN " + " ".join(options).encode() + b"\r\n")
        assert link.to_the_end() == b""
        assert other.to_the_end() == b""
        assert server.process.wait(DEADLINE_S) == 0


def test_shutdown_that_cannot_save_goes_on() -> None:
    """Data somebody asked to be saved would be gone."""
    with our_server("--dbfilename", "taken") as server:
        (Path(server.directory) / "taken").mkdir()
        link = Link(server.port)
        assert link.command("SHUTDOWN", "SAVE") == b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
        assert link.command("PING") == b"+PONG\r\n"
