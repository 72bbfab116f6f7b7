"""Clients that wait until others have what they wrote: WAIT and WAITAOF.

Law: what is counted is what was acknowledged, never what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from miniredis.replication.follower import Follower, Phase

# There is no append-only file, or nothing of it is known to be on the medium.
NOTHING_SYNCED: Final = -1


class Wish(NamedTuple):
    """`offset`: up to there; `replicas`: so many at least. `is_aof`: synced to their files; `local`: to ours too."""

    offset: int
    replicas: int
    is_aof: bool = False
    local: int = 0


class Tally(NamedTuple):
    """WAITAOF's two numbers: replicas, and 1 where our own file holds it."""

    replicas: int
    local: int


class Acknowledgements:
    """`followers` are all there are. `synced_offset` is how far our own append-only file is on the medium."""

    def __init__(self, followers: Callable[[], Iterable[Follower]]) -> None:
        self._followers = followers
        self.synced_offset = NOTHING_SYNCED
        self._waiting: dict[Any, tuple[Wish, Callable[[Tally | None], None]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def count(self, wish: Wish) -> Tally:
        online = [each for each in self._followers() if each.phase == Phase.ONLINE]
        if wish.is_aof:
            return Tally(
                sum([each.aof_offset >= wish.offset for each in online]), int(self.synced_offset >= wish.offset)
            )
        return Tally(sum([each.ack_offset >= wish.offset for each in online]), 0)

    @staticmethod
    def is_met(wish: Wish, tally: Tally) -> bool:
        return tally.replicas >= wish.replicas and tally.local >= wish.local

    def wait(self, who: Any, wish: Wish, met: Callable[[Tally | None], None]) -> None:
        """`met` is called once, unless `who` is forgotten before: with the count, or None when there is no file any
        more that could be on the medium."""
        self._waiting[who] = (wish, met)

    def forget(self, who: Any) -> None:
        self._waiting.pop(who, None)

    def lose_file(self) -> None:
        """Our append-only file was turned off."""
        self.synced_offset = NOTHING_SYNCED
        for who, (wish, met) in list(self._waiting.items()):
            if wish.local:
                self.forget(who)
                met(None)

    def look(self) -> None:
        """Something was acknowledged, or somebody left: answer whose wish has come true, in the order they came."""
        known: dict[tuple[int, bool], Tally] = {}
        for who, (wish, met) in list(self._waiting.items()):
            place = (wish.offset, wish.is_aof)
            tally = known.get(place)
            if tally is None:
                tally = known[place] = self.count(wish)
            if self.is_met(wish, tally):
                self.forget(who)
                met(tally)
