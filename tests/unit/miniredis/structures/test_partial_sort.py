"""The order a partial sort leaves: recorded from Redis in the scripts of geo and sorting; here, that it is one."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.structures.partial_sort import partial_order


@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 40, 41, 300])
@pytest.mark.parametrize("kinds", [1, 2, 5, 1000])
def test_what_is_wanted_is_where_it_belongs(size: int, kinds: int) -> None:
    """A nearest member would be left out, or be there twice."""
    chance = Random(size * kinds)
    for _ in range(20):
        keys = [chance.randrange(kinds) for _ in range(size)]
        first = chance.randrange(size)
        last = chance.randrange(first, size)
        order = partial_order(keys, first, last)
        assert sorted(order) == list(range(size))
        assert [keys[at] for at in order[first : last + 1]] == sorted(keys)[first : last + 1]
