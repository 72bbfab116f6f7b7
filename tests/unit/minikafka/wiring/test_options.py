"""The table of configs says of each what reads it: what it says must be so."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from minikafka import options
from minikafka.metadata.configs import Option, read_table
from minikafka.replica.manager import ReplicaSettings

SOURCES = Path(options.__file__).parent
TABLE = Path(options.__file__)
# Named in the sources and yet without effect: described, checked against another, refused, or carried along for later.
NOT_READ = {
    "max.compaction.lag.ms",
    "min.compaction.lag.ms",
    "remote.log.storage.system.enable",
    "remote.storage.enable",
    "unclean.leader.election.enable",
}


@cache
def named() -> frozenset[str]:
    """Every text in the sources that could be the name of a config."""
    found = {field.replace("_", ".") for field in ReplicaSettings.__dataclass_fields__}
    for path in SOURCES.rglob("*.py"):
        if path == TABLE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return frozenset(found)


def read_through_topics(topic_table: dict[str, Option]) -> set[str]:
    """Broker configs that matter because topic configs fall back on them."""
    return {name for option in topic_table.values() if option.reader != "-" for name, _ in option.fallbacks}


def test_readers_are_told_truly() -> None:
    """Somebody would rely on a config that does nothing, or be warned about one that works."""
    topics = read_table(options.TOPIC)
    through_topics = read_through_topics(topics)
    wrong = []
    for name, option in read_table(options.BROKER).items():
        is_read = name in named() or name in through_topics
        if (option.reader != "-") != is_read and name not in NOT_READ:
            wrong.append(f"{name}: the table says {option.reader!r}")
    for name, option in topics.items():
        if (option.reader != "-") != (name in named()) and name not in NOT_READ:
            wrong.append(f"{name}: the table says {option.reader!r} (topic)")
    assert not wrong, "\n".join(wrong)
    for name, option in read_table(options.OWN).items():
        assert option.reader != "-", name


def test_readers_exist() -> None:
    """The table would send its reader to a module that is not there."""
    for table in (options.BROKER, options.TOPIC, options.GROUP, options.OWN):
        for option in read_table(table).values():
            path = SOURCES / option.reader
            assert option.reader == "-" or path.with_suffix(".py").exists() or path.is_dir(), option.name
