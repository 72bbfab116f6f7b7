"""An engine without sockets: commands in, reply values out, time moved by hand."""

from __future__ import annotations

from random import Random
from typing import Any

import miniredis.commands  # noqa: F401  for what it declares
from miniredis.engine.client import Client
from miniredis.engine.execute import Engine
from miniredis.engine.registry import declared
from miniredis.engine.settings import Settings
from miniredis.engine.state import State
from miniredis.persist.snapshots import Snapshots
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from tests.sim.disk import SimDisk
from tests.sim.world import SimProcess

START_MS = 1_795_414_035_725


class HandClock(Clock):
    def __init__(self) -> None:
        self.ms = START_MS

    def wall_ms(self) -> int:
        return self.ms

    def wall_us(self) -> int:
        return self.ms * 1000

    def monotonic(self) -> float:
        return self.ms / 1000


class Ear:
    """A sink that keeps what it hears."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.data = b""

    def feed(self, data: bytes, effects: int = 1) -> None:
        self.data += data

    def flush(self) -> None:
        pass


class Heard:
    """In the place of pub/sub: keeps what is published."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []

    def publish(self, channel: bytes, message: bytes) -> int:
        self.messages.append((channel, message))
        return 0

    def forget(self, client: Client) -> None:
        pass


class World:
    def __init__(self, settings: Settings | None = None, seed: int = 1) -> None:
        self.clock = HandClock()
        self.state = State(settings or Settings(), self.clock, Random(seed), declared())
        self.engine = Engine(self.state)
        self.state.apply_settings(self.state.settings)
        self.state.pubsub = self.heard = Heard()
        self.disk = SimDisk(Random(seed))
        self.state.snapshots = Snapshots(
            self.state, self.engine.scripts.functions, loop=None, disk=self.disk, clock=self.clock,
            process=SimProcess(), log=Logger(lambda level, text: text, write=lambda line: None), version="0",
            judge=lambda: None, fork_told=lambda took_s: None,
        )  # fmt: skip
        self.client = self.connect()

    def connect(self) -> Client:
        client = Client(self.state.next_client_id, self.state.dbs[0])
        self.state.next_client_id += 1
        self.engine.admit(client)
        return client

    def __call__(self, line: str | bytes, client: Client | None = None) -> Any:
        """The reply of one command, as a value."""
        words = line.encode().split() if isinstance(line, str) else line.split()
        return self.engine.execute(client or self.client, [words])[0]

    def send(self, *lines: str, client: Client | None = None) -> bytes:
        """The bytes answered to commands that arrive together."""
        client = client or self.client
        self.engine.plain.run(client, [line.encode().split() for line in lines])
        data = b"".join(client.out)
        client.out.clear()
        return data

    def later(self, ms: int) -> None:
        self.clock.ms += ms
