"""All api modules, imported: from here the table is complete."""

from __future__ import annotations

from minikafka.api import (
    brokers,
    committed,
    configs,
    fetch,
    groups,
    offsets,
    produce,
    quorum,
    topics,
    transactions,
    versions,
)
from minikafka.api.registry import Api, listing
from minikafka.api.registry import table as _table

MODULES = (brokers, committed, configs, fetch, groups, offsets, produce, quorum, topics, transactions, versions)


def table() -> dict[int, Api]:
    """Every API this broker serves, by key."""
    return _table()


def markdown() -> str:
    """The table for the README and `minikafka apis`."""
    return listing(table().values())
