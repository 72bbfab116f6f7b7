"""Imports go down, never up, never sideways between siblings."""

import pytest

from tests.house.sources import ROOT, imports, modules

KAFKA_WIRE = {"protocol.checksums", "protocol.kafka"}
FLOORS = {
    "protocol.net", "protocol.disk", "protocol.resp", "protocol.kafka", "protocol.ops", "protocol.checksums"
}  # fmt: skip

# Each room and the rooms it may import, itself aside. The longest matching prefix names a module's room.
ALLOWED: dict[str, set[str]] = {
    "protocol": set(),
    "protocol.checksums": set(),
    "protocol.net": {"protocol.checksums"},
    "protocol.disk": {"protocol.checksums"},
    "protocol.resp": {"protocol.checksums"},
    "protocol.kafka": {"protocol.checksums"},
    "protocol.ops": {"protocol.checksums", "protocol.net"},
    # minikafka, bottom up
    "minikafka.log": FLOORS,
    "minikafka.raft": FLOORS,
    "minikafka.metadata": FLOORS,
    "minikafka.security": FLOORS,
    "minikafka.replica": FLOORS | {"minikafka.log", "minikafka.metadata"},
    "minikafka.controller": FLOORS | {"minikafka.raft", "minikafka.metadata"},
    "minikafka.coordinator": FLOORS | {"minikafka.replica", "minikafka.metadata"},
    "minikafka.api": FLOORS
    | {f"minikafka.{room}" for room in ("log", "raft", "metadata", "security", "replica", "controller", "coordinator")},
    # miniredis, bottom up
    "miniredis.structures": FLOORS,
    "miniredis.keyspace": FLOORS | {"miniredis.structures"},
    "miniredis.persist": FLOORS | {"miniredis.structures", "miniredis.keyspace"},
    "miniredis.replication": FLOORS | {"miniredis.structures", "miniredis.keyspace"},
    "miniredis.pubsub": FLOORS | {"miniredis.structures", "miniredis.keyspace"},
    "miniredis.access": FLOORS | {"miniredis.structures", "miniredis.keyspace"},
    "miniredis.scripting": FLOORS | {"miniredis.structures", "miniredis.keyspace"},
    "miniredis.engine": FLOORS
    | {
        f"miniredis.{room}"
        for room in ("structures", "keyspace", "persist", "replication", "pubsub", "access", "scripting")
    },
}
ALLOWED["miniredis.commands"] = ALLOWED["miniredis.engine"] | {"miniredis.engine"}
WIRING = {"minikafka", "miniredis"}  # the modules directly in a server's package may import everything below


def room(name: str) -> str:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        candidate = ".".join(parts[:length])
        if candidate in ALLOWED or candidate in WIRING:
            return candidate
    return name


@pytest.mark.parametrize("name", modules())
def test_imports_go_down(name: str) -> None:
    """A floor that calls the floor above can be neither tested nor replaced alone."""
    path, own = modules()[name], room(name)
    for line, target in imports(path):
        if target.split(".")[0] not in ("protocol", "miniredis", "minikafka"):
            continue
        other, where = room(target), f"{path.relative_to(ROOT)}:{line}"
        if own in WIRING:
            assert not (other.split(".")[0] in WIRING and other.split(".")[0] != own), f"{where}: the servers are apart"
        elif other != own:
            assert other in ALLOWED[own], f"{where}: {own} may not import {target}"
