"""The vector set: elements that each have a vector, and maybe attributes; asked for those nearest to a vector.

    element → number in the graph        attributes by element, only of those that have some
    number → element                     the graph: vectors and links by number (proximity_graph.py)

A set may project what it is given to fewer dimensions (REDUCE): then `input_dimension` is what clients send, and the
graph holds what is left.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import ClassVar

from miniredis.structures.proximity_graph import Found, Graph
from miniredis.structures.vectors import Space, Vector, projected

# About what a node takes beside its vector: the columns, the links and their lists; and an element its dict entry.
_NODE_BYTES = 350
_LINK_BYTES = 4
_ENTRY_BYTES = 110
# Names and attributes are as long as the first so many of them, on average.
_SAMPLE = 20


class VectorSet:
    """Elements with their vectors."""

    __slots__ = ("_names", "_numbers", "attributes", "graph", "input_dimension", "uid")

    type_name: ClassVar[bytes] = b"vectorset"

    def __init__(self, dimension: int, format: int, links: int, input_dimension: int = 0) -> None:
        """`links`: M, the links of a node in each layer. `input_dimension`: 0 where nothing is projected."""
        self.graph = Graph(Space(dimension, format), links)
        self.input_dimension = input_dimension
        self.attributes: dict[bytes, bytes] = {}
        self.uid = -1  # given to it when somebody asks
        self._numbers: dict[bytes, int] = {}
        self._names: list[bytes] = []

    @property
    def encoding(self) -> bytes:
        return b"raw"

    @property
    def space(self) -> Space:
        return self.graph.space

    @property
    def dimension(self) -> int:
        return self.graph.space.dimension

    @property
    def size_bytes(self) -> int:
        links = self.graph.links_per_layer
        node = _NODE_BYTES + _ENTRY_BYTES + self.space.vector_bytes + 2 * links * _LINK_BYTES
        texts = sum([len(name) for name in self._names[:_SAMPLE]])
        few = [len(text) + _ENTRY_BYTES for text in islice(self.attributes.values(), _SAMPLE)]
        notes = sum(few) * len(self.attributes) // max(len(few), 1)
        return len(self) * node + texts * len(self) // max(min(len(self), _SAMPLE), 1) + notes

    @property
    def counted_bytes(self) -> int:
        """For `used_memory`."""
        return self.size_bytes

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, element: bytes) -> bool:
        return element in self._numbers

    def copy(self) -> VectorSet:
        other = VectorSet(self.dimension, self.space.format, self.graph.links_per_layer, self.input_dimension)
        other.graph = self.graph.copy()
        other.attributes = self.attributes.copy()
        other._numbers = self._numbers.copy()
        other._names = self._names[:]
        return other

    # Elements.

    def elements(self) -> list[bytes]:
        """By number."""
        return self._names

    def vector(self, element: bytes) -> Vector | None:
        number = self._numbers.get(element)
        return None if number is None else self.graph.vectors[number]

    def put(self, element: bytes, components: array[float], breadth: int, random: Random) -> bool:
        """Give an element this vector, of as many components as clients send; whether it is new.

        `breadth`: how many nodes are kept in the search for its neighbours.
        """
        vector = self.space.encode(projected(components, self.dimension) if self.input_dimension else components)
        is_new = element not in self._numbers
        if not is_new:
            self._remove(element)
        self._numbers[element] = self.graph.add(vector, breadth, random)
        self._names.append(element)
        return is_new

    def restore(self, element: bytes, vector: Vector, attributes: bytes, links: list[array[int]]) -> None:
        """The next element of a set that was written down; `graph.enter` when all are there."""
        self._numbers[element] = len(self._names)
        self._names.append(element)
        self.graph.vectors.append(vector)
        self.graph.links.append(links)
        self.annotate(element, attributes)

    def query(self, components: array[float]) -> Vector:
        """What to search for: of as many components as clients send, or as many as are kept."""
        if self.input_dimension and len(components) != self.dimension:
            components = projected(components, self.dimension)
        return self.space.encode(components)

    def remove(self, element: bytes) -> bool:
        if element not in self._numbers:
            return False
        self.attributes.pop(element, None)
        self._remove(element)
        return True

    def _remove(self, element: bytes) -> None:
        number = self._numbers.pop(element)
        self.graph.remove(number)
        last = self._names.pop()
        if last != element:
            self._names[number] = last
            self._numbers[last] = number

    def annotate(self, element: bytes, attributes: bytes) -> None:
        """Set an element's attributes; none if empty."""
        if attributes:
            self.attributes[element] = attributes
        else:
            self.attributes.pop(element, None)

    def dissolve(self, most: int) -> bool:
        """Let go of about so many elements of a set that nobody has any more; whether there are others left."""
        left = max(len(self._names) - most, 0)
        graph = self.graph
        for name in self._names[left:]:
            del self._numbers[name]
            self.attributes.pop(name, None)
        del self._names[left:], graph.vectors[left:], graph.links[left:]
        return left > 0

    # Asking.

    def search(self, query: Vector, breadth: int, accepts: Callable[[bytes], bool] | None, effort: int,
               *, is_exact: bool) -> list[tuple[float, bytes]]:  # fmt: skip
        """(distance, element) of the nearest whose attributes are accepted, nearest first.

        `is_exact` looks at all; otherwise, with `accepts`, no more than `effort` nodes are gone on from.
        """
        names = self._names
        takes = None if accepts is None else self._by_number(accepts)
        found: Found
        if is_exact:
            found = self.graph.scan(query, breadth, takes)
        elif takes is None:
            found = self.graph.search(query, breadth)
        else:
            found = self.graph.search_accepted(query, breadth, takes, effort)
        return [(distance, names[number]) for distance, number in found]

    def _by_number(self, accepts: Callable[[bytes], bool]) -> Callable[[int], bool]:
        attributes, names = self.attributes, self._names

        def takes(number: int) -> bool:
            text = attributes.get(names[number])
            return text is not None and accepts(text)

        return takes

    def distance(self, query: Vector, element: bytes) -> float:
        """How far an element of this set is from a vector, as clients are told it."""
        return self.space.distance(query, self.graph.vectors[self._numbers[element]])

    def neighbours(self, element: bytes) -> list[list[tuple[bytes, float]]]:
        """Per layer, the highest first: the elements linked with this one, and how far they are."""
        number = self._numbers[element]
        graph, names = self.graph, self._names
        vector = graph.vectors[number]
        return [[(names[other], self.space.distance(vector, graph.vectors[other])) for other in layer]
                for layer in reversed(graph.links[number])]  # fmt: skip
