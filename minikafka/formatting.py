"""minikafka format --cluster-id ID [--standalone | --initial-controllers VOTERS | --no-initial-controllers] FILE

    -t, --cluster-id ID            the cluster this node is to belong to
    -c, --config FILE              its server.properties
    -s, --standalone               it is the first and only voter of a new quorum
    -I, --initial-controllers ID@HOST:PORT:DIRECTORY,…
                                   the first voters of a new quorum: each node is formatted with the same list
    -N, --no-initial-controllers   it joins a quorum that is there; so does one whose file has controller.quorum.voters
    -g, --ignore-formatted         leave a directory alone that is formatted already

Writes what `kafka-storage format` writes: meta.properties, bootstrap.checkpoint and, for a new quorum, the checkpoint
its first leader takes the voters from.
"""

from __future__ import annotations

from dataclasses import dataclass

from minikafka.config import Settings
from minikafka.log.store import Store
from minikafka.metadata.records import METADATA_TOPIC, bootstrap_records, to_value
from minikafka.raft.quorum import Endpoint, Voter, Voters
from minikafka.raft.storage import BOOTSTRAP_CHECKPOINT, SnapshotId, Storage, id_bytes, id_text
from protocol.disk.files import Disk
from protocol.net.address import parse_host_port

SWITCHES = {
    "-s": "--standalone", "-N": "--no-initial-controllers", "-g": "--ignore-formatted",
    "-t": "--cluster-id", "-c": "--config", "-I": "--initial-controllers",
}  # fmt: skip
WITH_VALUE = ("--cluster-id", "--config", "--initial-controllers")


class FormatError(ValueError):
    """The directory cannot be formatted like this; the text says why."""


@dataclass(slots=True)
class Wish:
    """The command line, taken apart."""

    file: str = ""
    cluster_id: str = ""
    is_standalone: bool = False
    joins: bool = False
    ignores_formatted: bool = False
    voters: str = ""


def parse(words: list[str]) -> Wish:
    """Raises FormatError."""
    wish, rest = Wish(), list(words)
    while rest:
        word = rest.pop(0)
        name, glued, value = word.partition("=")
        name = SWITCHES.get(name, name)
        if name in WITH_VALUE:
            if not glued:
                if not rest:
                    raise FormatError(f"{name} needs a value")
                value = rest.pop(0)
            if name == "--cluster-id":
                wish.cluster_id = value
            elif name == "--config":
                wish.file = value
            else:
                wish.voters = value
        elif name == "--standalone":
            wish.is_standalone = True
        elif name == "--no-initial-controllers":
            wish.joins = True
        elif name == "--ignore-formatted":
            wish.ignores_formatted = True
        elif name.startswith("-") or wish.file:
            raise FormatError(f"unknown argument {word}")
        else:
            wish.file = word
    if not wish.file or not wish.cluster_id:
        raise FormatError("format needs --config and --cluster-id")
    if wish.is_standalone + wish.joins + bool(wish.voters) > 1:
        raise FormatError("one of --standalone, --initial-controllers and --no-initial-controllers at most")
    return wish


def voters_of(text: str, listener: str) -> Voters:
    """`1@host:port:directory,…` as voters. Raises FormatError."""
    found = []
    for one in text.split(","):
        number, _, rest = one.strip().partition("@")
        address, _, directory = rest.rpartition(":")
        try:
            host, port = parse_host_port(address)
            found.append(Voter(int(number), id_bytes(directory), (Endpoint(listener, host, port),)))
        except ValueError:
            raise FormatError(f"not id@host:port:directory: {one}") from None
    return Voters(found)


def write_format(
    disk: Disk, store: Store, node_id: int, cluster_id: str, directory_id: bytes, voters: Voters | None, now_ms: int
) -> None:
    """Make the (locked) data directory that of a node of a cluster."""
    metadata = store.path_of(METADATA_TOPIC, 0)
    disk.make_dirs(metadata)
    storage = Storage(disk, metadata)
    first = [to_value(record) for record in bootstrap_records(in_log=False)]
    storage.write_bootstrap(f"{store.directory}/{BOOTSTRAP_CHECKPOINT}", first, now_ms)
    if voters is not None:
        storage.write_snapshot(SnapshotId(0, 0), voters, [], now_ms, 0)
    # The mark that the directory is formatted comes last: a crash before it formats again.
    store.write_properties(
        {
            "version": "1",
            "cluster.id": cluster_id,
            "node.id": str(node_id),
            "directory.id": id_text(directory_id),
        }
    )


def first_voters(wish: Wish, settings: Settings, me: Voter) -> tuple[bytes, Voters | None]:
    """The directory's id, and who votes at first, if that is to be written. Raises FormatError."""
    if wish.is_standalone:
        return me.directory_id, Voters([me])
    if wish.voters:
        voters = voters_of(wish.voters, settings.controller_listener_names[0])
        if me.id not in voters.by_id:
            raise FormatError(f"node {me.id} is none of the initial controllers")
        return voters.by_id[me.id].directory_id, voters
    if not wish.joins and not settings.quorum_voters():
        raise FormatError(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the following: "
            "--standalone, --initial-controllers, or --no-initial-controllers."
        )
    return me.directory_id, None
