"""A network of a few hosts on this machine: each a network namespace with one address, at a bridge that has a namespace
too, so that nothing outside of it is touched. Cables can be pulled, ways blocked in one direction, cables made thin.

    host a 10.77.0.1 ── veth ──┐
    host b 10.77.0.2 ── veth ──┤ bridge, in "hub"
    host c 10.77.0.3 ── veth ──┘
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from tests.peers.redis import missing

BURST = ("burst", "32kbit", "latency", "400ms")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


def needed() -> None:
    """Skips the running test where no network can be made. Who is not root cannot; nor can root in many a container
    without privileges, and there is nothing to install against that: both are skipped in CI too."""
    if os.geteuid():
        pytest.skip("only root can make network namespaces")
    if shutil.which("ip") is None:
        missing("no ip: apt-get install iproute2")
    name = f"chaos-{os.getpid()}-probe"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", name, "link", "add", "name", "one", "type", "veth", "peer", "name", "other")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network of namespaces here: {error.stderr.strip()}")
    finally:
        with suppress(subprocess.CalledProcessError):
            ip("netns", "del", name)


class Network:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.hub = self.space("hub")

    def open(self) -> None:
        ip("netns", "add", self.hub)
        ip("-n", self.hub, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", self.hub, "link", "set", "dev", "bridge", "up")
        for name in self.names:
            self._add(name)

    @staticmethod
    def space(name: str) -> str:
        """The namespace, by the name `ip netns` knows."""
        return f"chaos-{os.getpid()}-{name}"

    def _add(self, name: str) -> None:
        space = self.space(name)
        ip("netns", "add", space)
        ip("-n", self.hub, "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", self.hub, "link", "set", "dev", name, "master", "bridge", "up")
        ip("-n", space, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", space, "link", "set", "dev", device, "up")

    def address(self, name: str) -> str:
        return f"10.77.0.{self.names.index(name) + 1}"

    def inside(self, name: str) -> tuple[str, ...]:
        """What starts a process there."""
        return ("ip", "netns", "exec", self.space(name))

    def pull(self, name: str) -> None:
        """Its cable: nobody reaches it, nor it anybody."""
        ip("-n", self.hub, "link", "set", "dev", name, "down")

    def plug(self, name: str) -> None:
        ip("-n", self.hub, "link", "set", "dev", name, "up")

    def block(self, source: str, target: str) -> None:
        """What is sent from there to the other is gone; what the other sends arrives."""
        ip("-n", self.space(source), "route", "add", "blackhole", f"{self.address(target)}/32")

    def unblock(self, source: str, target: str) -> None:
        ip("-n", self.space(source), "route", "del", "blackhole", f"{self.address(target)}/32")

    def thin(self, name: str, kilobits: int) -> None:
        """So much a second leaves it."""
        rate = ("rate", f"{kilobits}kbit")
        words = ["tc", "-n", self.space(name), "qdisc", "replace", "dev", "eth0", "root", "tbf", *rate, *BURST]
        subprocess.run(words, check=True, capture_output=True, timeout=20)

    def thick(self, name: str) -> None:
        words = ["tc", "-n", self.space(name), "qdisc", "del", "dev", "eth0", "root"]
        subprocess.run(words, check=True, capture_output=True, timeout=20)

    def close(self) -> None:
        """Its processes have to be gone."""
        for name in [*self.names, "hub"]:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", self.space(name))


@contextmanager
def network(*names: str) -> Iterator[Network]:
    made = Network(names)
    try:
        made.open()
        yield made
    finally:
        made.close()
