"""The graph of a vector set: it finds what a look at everything finds, and stays whole while nodes come and go."""

from __future__ import annotations

import time
from array import array
from random import Random

import pytest

from miniredis.structures.proximity_graph import Graph
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.vectors import BIN, F32, INT8, Space, projected, projection_matrix


def draw(random: Random, dimension: int) -> array[float]:
    return array("f", [random.gauss(0, 1) for _ in range(dimension)])


def filled(format: int, count: int, dimension: int, random: Random) -> VectorSet:
    vectors = VectorSet(dimension, format, 16)
    for number in range(count):
        vectors.put(b"%d" % number, draw(random, dimension), 100, random)
    return vectors


def recall(vectors: VectorSet, random: Random) -> float:
    """How many of the ten nearest are found, of a hundred."""
    hits = 0
    for _ in range(10):
        query = vectors.query(draw(random, vectors.dimension))
        found = {element for _, element in vectors.search(query, 100, None, 0, is_exact=False)[:10]}
        hits += len(found & {element for _, element in vectors.search(query, 10, None, 0, is_exact=True)})
    return hits / 100


def check(graph: Graph) -> None:
    """Links are mutual, of nodes that are there and on that layer, and no more than there is room for."""
    for number, layers in enumerate(graph.links):
        for layer, links in enumerate(layers):
            assert len(links) == len(set(links)) <= graph.links_per_layer * (1 if layer else 2)
            assert number not in links
            for other in links:
                assert number in graph.links[other][layer]
    if len(graph):
        assert 0 <= graph.entry < len(graph)


@pytest.mark.parametrize("format", [F32, INT8, BIN])
def test_recall(format: int) -> None:
    """A search would miss what it is for: nine in ten of the nearest, by default."""
    random = Random(format)
    vectors = filled(format, 400, 16, random)
    check(vectors.graph)
    assert recall(vectors, random) >= 0.9


def test_nodes_go() -> None:
    """Removed elements would be found, or take others out of reach with them."""
    random = Random(7)
    vectors = filled(INT8, 300, 16, random)
    for number in range(0, 300, 3):
        assert vectors.remove(b"%d" % number)
        assert not vectors.remove(b"%d" % number)
        vectors.put(b"%d" % (number + 1), draw(random, 16), 50, random)
    check(vectors.graph)
    assert len(vectors) == 200
    assert recall(vectors, random) >= 0.9
    everything = vectors.search(vectors.query(draw(random, 16)), 200, None, 0, is_exact=False)
    assert len(everything) == 200
    assert sorted([element for _, element in everything]) == sorted(vectors.elements())
    copy = vectors.copy()
    for element in vectors.elements()[:]:
        vectors.remove(element)
        check(vectors.graph) if len(vectors) < 40 else None
    assert len(vectors) == 0
    assert vectors.graph.entry == -1
    assert len(copy) == 200
    check(copy.graph)
    while copy.dissolve(100):
        pass
    assert len(copy) == 0


def test_filtered() -> None:
    """With a filter, elements would be found that it refuses, or few of those that it lets through."""
    random = Random(9)
    vectors = filled(INT8, 300, 16, random)
    for number in range(0, 300, 10):
        vectors.annotate(b"%d" % number, b"yes")
    query = vectors.query(draw(random, 16))
    exact = vectors.search(query, 10, lambda text: text == b"yes", 0, is_exact=True)
    found = vectors.search(query, 10, lambda text: text == b"yes", 1000, is_exact=False)
    assert all(int(element) % 10 == 0 for _, element in exact + found)
    assert len({element for _, element in exact} & {element for _, element in found}) >= 9
    asked: list[bytes] = []

    def refuses(text: bytes) -> bool:
        asked.append(text)
        return False

    assert vectors.search(query, 10, refuses, 3, is_exact=False) == []
    assert len(asked) <= 3 * 32


@pytest.mark.parametrize("format", [F32, INT8, BIN])
def test_formats(format: int) -> None:
    """What is stored would not be near what was given, or not be read back as it was stored."""
    random = Random(3)
    space = Space(70, format)
    given = draw(random, 70)
    vector = space.encode(given)
    raw = space.raw(vector)
    assert len(raw) == {F32: 280, INT8: 70, BIN: 16}[format]
    again = space.from_raw(raw, vector.norm, vector.range)
    assert (again.coded, again.bits, again.half, again.scale) == (vector.coded, vector.bits, vector.half, vector.scale)
    for sent, kept in zip(given, space.decode(vector), strict=True):
        assert (
            kept == (1 if sent > 0 else -1) if format == BIN else abs(kept - sent) < (1e-5 if format == F32 else 0.03)
        )
    assert abs(space.measure(vector)([vector])[0]) < 1e-3
    opposite = space.encode(array("f", [-component for component in given]))
    assert space.measure(vector)([opposite])[0] == pytest.approx(2, abs=1e-3)
    with pytest.raises(ValueError):
        space.from_raw(raw + b"\0", 1.0, 1.0)
    nothing = Space(70, INT8).encode(array("f", [0.0] * 70))
    assert Space(70, INT8).measure(nothing)([nothing]) == [1.0]


def test_distances_are_cosines() -> None:
    """Likeness would be measured wrongly: compared with the sum of products."""
    random = Random(4)
    one, other = draw(random, 50), draw(random, 50)
    product = sum([a * b for a, b in zip(one, other, strict=True)])
    lengths = (sum([a * a for a in one]) * sum([b * b for b in other])) ** 0.5
    for format, error in ((F32, 1e-6), (INT8, 0.02)):
        space = Space(50, format)
        distance = space.measure(space.encode(one))([space.encode(other)])[0]
        assert distance == pytest.approx(1 - product / lengths, abs=error)


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (5, 3), (16, 16), (33, 7)])
def test_projection(count: int, kept: int) -> None:
    """Sets of a primary and its replica would be projected by different matrices."""
    given = draw(Random(5), count)
    matrix = array("f", projection_matrix(count, kept))
    for row, component in enumerate(projected(given, kept)):
        weights = matrix[row * count : (row + 1) * count]
        assert component == pytest.approx(sum([a * b for a, b in zip(weights, given, strict=True)]), abs=1e-5)


def test_no_insert_takes_long() -> None:
    """Everybody else would wait for one VADD; a bound far above what it needs, for a machine that has others to run."""
    random = Random(6)
    vectors = filled(INT8, 150, 128, random)
    start = time.process_time()
    for number in range(20):
        vectors.put(b"%d" % number, draw(random, 128), 200, random)
    assert (time.process_time() - start) / 20 < 0.05


def test_thousands_of_links() -> None:
    """M and EF as large as a client may ask for would keep everybody waiting for every insert and removal."""
    random = Random(10)
    vectors = VectorSet(8, INT8, 4096)
    for number in range(150):
        vectors.put(b"%d" % number, draw(random, 8), 1_000_000, random)
    start = time.process_time()
    for number in range(5):
        vectors.put(b"new%d" % number, draw(random, 8), 1_000_000, random)
        vectors.remove(b"%d" % number)
    assert (time.process_time() - start) / 10 < 0.2
    check(vectors.graph)
    assert recall(vectors, random) == 1
