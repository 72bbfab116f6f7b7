"""What a decision comes to: records for the log and the reply that goes out once they are committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from protocol.kafka.schema import Record

Reply = TypeVar("Reply")


@dataclass(slots=True)
class Outcome(Generic[Reply]):
    """`records` become one atomic batch, unless `may_split`: then each record may be committed by itself."""

    reply: Reply
    records: list[Record] = field(default_factory=list)
    may_split: bool = False
