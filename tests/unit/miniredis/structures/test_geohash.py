"""Geohashes: what a search covers is found, and no search is an exception."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from miniredis.structures import geohash
from miniredis.structures.geohash import Shape


@pytest.mark.parametrize("seed", range(4))
def test_the_boxes_of_a_search_cover_it(seed: int) -> None:
    """A member within the radius would be missing from the reply."""
    chance = Random(seed)
    for _ in range(150):
        longitude, latitude = chance.uniform(-170, 170), chance.uniform(-60, 60)
        radius = 10 ** chance.uniform(0, 5)
        shape = Shape(longitude, latitude, radius)
        boxes = geohash.boxes(shape)
        for _ in range(20):
            place = longitude + chance.uniform(-1, 1) * radius / 1e5, latitude + chance.uniform(-1, 1) * radius / 1e5
            bits = geohash.encode(*place)
            if geohash.within(shape, *geohash.decode(bits)) is None:
                continue
            assert any(bits >> 2 * (geohash.STEPS - box.step) == box.bits for box in boxes)


def test_a_place_comes_back_to_within_its_box() -> None:
    """GEOPOS would return another place than GEOADD was given."""
    chance = Random(9)
    for _ in range(500):
        longitude, latitude = chance.uniform(-180, 180), chance.uniform(-85, 85)
        found = geohash.decode(geohash.encode(longitude, latitude))
        assert abs(found[0] - longitude) < 1e-5
        assert abs(found[1] - latitude) < 1e-5


def test_any_score_and_any_size_is_a_number() -> None:
    """A score that ZADD wrote, or an endless radius, would end the command with an exception."""
    for score in (0.0, -1.0, 1e300, -1e300, inf, -inf, 2.0**64, -(2.0**63), 0.5):
        longitude, latitude = geohash.decode(score)
        geohash.distance(longitude, latitude, 0.0, 0.0)
        geohash.text(longitude, latitude)
        for size in (0.0, 1e-300, 1e200, inf):
            for shape in (Shape(longitude, latitude, size), Shape(longitude, latitude, 0.0, size, 1.0)):
                assert 1 <= len(geohash.boxes(shape)) <= 9
                geohash.within(shape, 1.0, 2.0)
