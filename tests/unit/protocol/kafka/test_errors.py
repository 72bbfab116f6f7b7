"""The error table."""

from __future__ import annotations

from protocol.kafka.errors import ERRORS, NotLeaderOrFollower, UnknownServerError, error_of


def test_codes() -> None:
    """A client would be told of another error, or would not try again where it should."""
    assert sorted(ERRORS) == [-1, *range(1, 134)]
    assert error_of(6) is NotLeaderOrFollower
    assert error_of(4711) is UnknownServerError
    assert NotLeaderOrFollower.name == "NOT_LEADER_OR_FOLLOWER"
    assert NotLeaderOrFollower.is_retriable
    assert not UnknownServerError.is_retriable


def test_texts() -> None:
    """Replies would carry no reason."""
    assert str(NotLeaderOrFollower("moved")) == "moved"
    assert str(UnknownServerError()) == UnknownServerError.message
