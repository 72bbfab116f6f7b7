"""math.random as Redis has it: the generator of POSIX's lrand48, so that a seed gives the numbers it gives there.

state' = (state · 0x5DEECE66D + 0xB) mod 2^48         drawn: its upper 31 bits
"""

from __future__ import annotations

from typing import Final

_FACTOR: Final = 0x5DEECE66D
_SUMMAND: Final = 0xB
_MASK: Final = (1 << 48) - 1
_LOW_OF_SEED: Final = 0x330E
_INT32_MAX: Final = (1 << 31) - 1


class Rand48:
    """One generator; `state` is its 48 bits."""

    __slots__ = ("state",)

    def __init__(self, state: int) -> None:
        self.state = state & _MASK

    def seed(self, number: int) -> None:
        """Begin anew: 32 bits of it count."""
        self.state = (number & 0xFFFFFFFF) << 16 | _LOW_OF_SEED

    def share(self) -> float:
        """The next number, 0 or more and less than 1."""
        self.state = (self.state * _FACTOR + _SUMMAND) & _MASK
        return (self.state >> 17) % _INT32_MAX / _INT32_MAX
