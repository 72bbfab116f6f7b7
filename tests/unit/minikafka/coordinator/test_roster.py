"""The protocols in common: counted by member, not by what a member repeats."""

from __future__ import annotations

from minikafka.coordinator.members import Caller, Member
from minikafka.coordinator.roster import Roster


def member(member_id: str, *protocols: str) -> Member:
    return Member(
        member_id, None, Caller("c", "/h", 9), "consumer", [(name, b"") for name in protocols], 10_000, 10_000
    )


def test_a_protocol_named_twice_counts_once() -> None:
    """A member that repeats itself would leave its group without a protocol, and everybody in it without an answer."""
    roster = Roster()
    roster.add(member("a", "range", "range"))
    assert roster.select_protocol() == "range"
    assert roster.supports("consumer", ["range"])
    roster.add(member("b", "sticky", "range"))
    assert roster.select_protocol() == "range"
    roster.set_protocols(roster.members["a"], [("range", b""), ("sticky", b""), ("sticky", b"")])
    assert roster.supported == {"range": 2, "sticky": 2}
    roster.remove("a")
    assert roster.supported == {"range": 1, "sticky": 1}
