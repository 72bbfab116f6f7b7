"""minikafka [server.properties] [--port N] [--data-dir DIR] [--override key=value …]

    --port N               listen on localhost:N, or, where listeners are configured, put the first on port N; 0 takes
                           a free one
    --data-dir DIR         where everything is kept (log.dirs)
    --override key=value   as if it stood in the file, any number of times
    --ready-file FILE      written once the broker serves: a line `host:port NAME` for each listener
    --exit-with-parent     stop when the process that started this one ends
    --version              print the version of Kafka this stands in for, and leave
    --help                 print this, and leave

    minikafka format …     make a data directory that of a node of a cluster (minikafka format --help)
    minikafka apis         print the table of APIs and versions served, and leave

An empty data directory is formatted on the way. SIGTERM and SIGINT stop the broker in order.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any

from protocol.disk.files import Disk

KAFKA_VERSION = "4.3.1"


class UsageError(Exception):
    """The command line is wrong; the text says how."""


@dataclass(slots=True)
class Arguments:
    """The command line, taken apart."""

    file: str | None = None
    port: int | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    ready_file: str | None = None
    exit_with_parent: bool = False


def parse(words: list[str]) -> Arguments:
    """Take the command line apart. Raises UsageError."""
    found, rest = Arguments(), list(words)
    while rest:
        word = rest.pop(0)
        name, glued, value = word.partition("=")
        if name in ("--port", "--data-dir", "--override", "--ready-file"):
            if not glued:
                if not rest:
                    raise UsageError(f"{name} needs a value")
                value = rest.pop(0)
            _take(found, name, value)
        elif word == "--exit-with-parent":
            found.exit_with_parent = True
        elif word.startswith("-"):
            raise UsageError(f"unknown option {word} (--help lists them)")
        elif found.file is not None:
            raise UsageError(f"one configuration file at most, not also {word}")
        else:
            found.file = word
    return found


def _take(found: Arguments, name: str, value: str) -> None:
    if name == "--port":
        if not value.isascii() or not value.isdigit() or int(value) > 65_535:
            raise UsageError(f"--port needs a number from 0 to 65535, not {value!r}")
        found.port = int(value)
    elif name == "--data-dir":
        found.overrides["log.dirs"] = value
    elif name == "--override":
        key, separator, text = value.partition("=")
        if not separator or not key:
            raise UsageError(f"--override needs key=value, not {value!r}")
        found.overrides[key.strip()] = text
    else:
        found.ready_file = value


def given(found: Arguments, disk: Disk) -> dict[str, str]:
    """The configuration as it was given: file, then overrides, then the port."""
    from minikafka.config import ConfigError, read_properties

    pairs: dict[str, str] = {}
    if found.file is not None:
        try:
            pairs = read_properties(disk.read(found.file).decode())
        except OSError as error:
            raise ConfigError(f"cannot read {found.file}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{found.file} is not UTF-8") from None
    pairs.update(found.overrides)
    if found.port is not None:
        listeners = pairs.get("listeners", "PLAINTEXT://localhost:0").split(",")
        listeners[0] = f"{listeners[0].rpartition(':')[0]}:{found.port}"
        pairs["listeners"] = ",".join(listeners)
    return pairs


async def serve(found: Arguments, stop: asyncio.Event) -> int:
    """Run one broker until it is told to stop."""
    from minikafka.broker import Broker, StartError
    from minikafka.config import settings_of
    from protocol.net.address import join_host_port
    from protocol.ops.clock import Clock
    from protocol.ops.logs import KafkaLogger
    from protocol.ops.process import Process

    disk, loop, process, clock = Disk(), asyncio.get_running_loop(), Process(), Clock()
    log = KafkaLogger(clock, "minikafka")
    if found.exit_with_parent:
        process.watch_parent(loop, stop.set)
    try:
        settings = settings_of(given(found, disk))
        for warning in settings.warnings:
            log.warning(warning)
        broker = Broker(settings, loop=loop, disk=disk, clock=clock, random=SystemRandom(), process=process, log=log)
        await broker.start()
    except (ValueError, StartError) as problem:
        sys.stderr.write(f"minikafka: {problem}\n")
        return 1
    ends = [f"{join_host_port(end.host or '0.0.0.0', end.port)} {end.name}" for end in broker.endpoints]
    log.info("[KafkaRaftServer nodeId=%d] listening on %s", broker.node_id, ", ".join(ends))
    log.info("[KafkaRaftServer nodeId=%d] Kafka Server started", broker.node_id)
    if found.ready_file is not None:
        disk.write_atomically(found.ready_file, "".join(f"{end}\n" for end in ends).encode())
    stopping = asyncio.ensure_future(stop.wait())
    ends_it: list[asyncio.Future[Any]] = [stopping, broker.failed]
    await asyncio.wait(ends_it, return_when=asyncio.FIRST_COMPLETED)
    await broker.stop()
    log.info("[KafkaRaftServer nodeId=%d] shut down completed", broker.node_id)
    return 1 if broker.failed.done() else 0


async def format_directory(words: list[str], _: asyncio.Event) -> int:
    """`minikafka format`."""
    from minikafka import formatting
    from minikafka.broker import Broker, StartError
    from minikafka.config import settings_of
    from protocol.ops.clock import Clock
    from protocol.ops.process import Process

    disk, loop = Disk(), asyncio.get_running_loop()
    try:
        wish = formatting.parse(words)
        settings = settings_of(given(Arguments(wish.file), disk))
        broker = Broker(settings, loop=loop, disk=disk, clock=Clock(), random=SystemRandom(), process=Process())
        is_new = broker.format(wish)
    except (ValueError, StartError) as problem:
        sys.stderr.write(f"minikafka: {problem}\n")
        return 1
    directory = settings.data_directory()
    if not is_new and not wish.ignores_formatted:
        sys.stderr.write(f"minikafka: {directory} is formatted already (--ignore-formatted leaves it as it is)\n")
        return 1
    sys.stdout.write(f"Formatting metadata directory {directory}.\n" if is_new else "All is formatted already.\n")
    return 0


def main() -> int:
    """The console script."""
    words = sys.argv[1:]
    if words in (["--help"], ["-h"]):
        sys.stdout.write(__doc__ or "")
        return 0
    if words == ["--version"]:
        sys.stdout.write(f"{KAFKA_VERSION} (minikafka)\n")
        return 0
    if words == ["apis"]:
        from minikafka.api.everything import markdown

        sys.stdout.write(markdown() + "\n")
        return 0
    if words[:1] == ["format"]:
        from minikafka import formatting
        from protocol.net.loop import run

        if "--help" in words:
            sys.stdout.write(formatting.__doc__ or "")
            return 0
        return run(lambda stop: format_directory(words[1:], stop))
    try:
        found = parse(words)
    except UsageError as problem:
        sys.stderr.write(f"minikafka: {problem}\n")
        return 1
    from protocol.net.loop import run

    # What asyncio has to say; the broker has a log of its own.
    logging.addLevelName(logging.WARNING, "WARN")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="[%(asctime)s] %(levelname)s %(message)s (%(name)s)"
    )
    return run(lambda stop: serve(found, stop))


if __name__ == "__main__":
    sys.exit(main())
