"""Near vectors found without looking at all of them: a hierarchical navigable small world (Malkov, Yashunin, 2016).

Every vector is a node of layer 0; one in four is also one of layer 1, one in sixteen of layer 2, and so on. In each
layer a node is linked with others near it, up to M of them, 2M in layer 0. A search goes from the entry, which is on
the highest layer, greedily nearer; one layer down it goes on from where it stood; in layer 0 it keeps the `breadth`
nearest nodes it has seen, and ends when all that is left to look at is farther than those.

Nodes are numbered densely, so what is known of them are columns. Links are arrays of numbers, not references: nothing
here leaves cycles behind for the collector.

Law 1: links are mutual. So a node can be taken out: those linked with it are known, and are linked with each other.
Law 2: numbers are 0 … len-1. The last node takes the number of one that is removed; `remove` says so.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from random import Random
from typing import Final

from miniredis.structures.vectors import Measure, Space, Vector

DEFAULT_LINKS: Final = 16
MIN_LINKS: Final = 4
MAX_LINKS: Final = 4096

# The breadth of the search for a new node's neighbours where the client names none, and of the one that finds new
# neighbours for a node that has lost its last.
DEFAULT_BUILD_BREADTH: Final = 200

MAX_LEVEL: Final = 16
_LEVEL_CHANCE: Final = 0.25
# How many of what a search found are looked at as neighbours: so many times the links to be made, and no more than
# these beyond them.
_CHOICE: Final = 4
_SPARE: Final = 192
# Bounds where a client asks for thousands of links; with the usual 16 none is ever reached. With how many of the
# neighbours chosen so far another is compared; how many distances are measured to make room for links; how many of
# those that lost a neighbour are linked with each other.
_COMPARED: Final = 32
_ROOM_EFFORT: Final = 4096
_RELINKED: Final = 64
# A node is not robbed of a link in favour of a nearer one if it keeps fewer than this share of M.
_KEPT_SHARE: Final = 2

Found = list[tuple[float, int]]  # (distance, number), nearest first


class Graph:
    """The vectors of one set, by number."""

    __slots__ = ("entry", "last_id", "links", "links_per_layer", "space", "vectors")

    def __init__(self, space: Space, links_per_layer: int) -> None:
        self.space = space
        self.links_per_layer = links_per_layer
        self.vectors: list[Vector] = []
        self.links: list[list[array[int]]] = []  # of each node, layer 0 first: its length is level + 1
        self.entry = -1
        self.last_id = 0  # nodes there have ever been

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def top(self) -> int:
        """The highest layer."""
        return len(self.links[self.entry]) - 1 if self.entry >= 0 else 0

    def copy(self) -> Graph:
        other = Graph(self.space, self.links_per_layer)
        other.vectors = self.vectors[:]
        other.links = [[layer[:] for layer in layers] for layers in self.links]
        other.entry = self.entry
        other.last_id = self.last_id
        return other

    # Searching.

    def search(self, query: Vector, breadth: int) -> Found:
        """The nearest nodes, `breadth` of them or all there are; now and then one is missed."""
        measure = self.space.measure(query)
        return self._search_layer(measure, self._descend(measure, 0), breadth, 0)

    def search_accepted(self, query: Vector, breadth: int, accepts: Callable[[int], bool], effort: int) -> Found:
        """The nearest nodes that are accepted. At most `effort` nodes are looked at with their neighbours."""
        measure = self.space.measure(query)
        links, vectors = self.links, self.vectors
        candidates = self._descend(measure, 0)
        visited = {number for _, number in candidates}
        kept = [(-distance, number) for distance, number in candidates if accepts(number)]
        heapify(kept)
        while candidates and effort > 0:
            effort -= 1
            distance, number = heappop(candidates)
            if len(kept) >= breadth and distance > -kept[0][0]:
                break
            fresh = [near for near in links[number][0] if near not in visited]
            visited.update(fresh)
            for distance, near in zip(measure([vectors[near] for near in fresh]), fresh, strict=True):
                is_wanted = len(kept) < breadth or distance < -kept[0][0]
                if is_wanted or len(candidates) < breadth:
                    heappush(candidates, (distance, near))
                if is_wanted and accepts(near):
                    _keep(kept, distance, near, breadth)
        return sorted([(-distance, number) for distance, number in kept])

    def scan(self, query: Vector, count: int, accepts: Callable[[int], bool] | None = None) -> Found:
        """The nearest nodes, by looking at every one."""
        numbers: Iterable[int] = range(len(self.vectors))
        vectors = self.vectors
        if accepts is not None:
            numbers = [number for number in numbers if accepts(number)]
            vectors = [vectors[number] for number in numbers]
        return sorted(zip(self.space.measure(query)(vectors), numbers, strict=True))[:count]

    def distance(self, one: int, other: int) -> float:
        return self.space.measure(self.vectors[one])([self.vectors[other]])[0]

    def _descend(self, measure: Measure, layer: int) -> Found:
        """Greedily from the entry down to the layer above this one: where to begin in this one."""
        if self.entry < 0:
            return []
        vectors, links = self.vectors, self.links
        best = self.entry
        nearest = measure([vectors[best]])[0]
        for above in range(self.top, layer, -1):
            improves = True
            while improves:
                improves = False
                around = links[best][above]
                for distance, near in zip(measure([vectors[near] for near in around]), around, strict=True):
                    if distance < nearest:
                        nearest, best, improves = distance, near, True
        return [(nearest, best)]

    def _search_layer(self, measure: Measure, start: Found, breadth: int, layer: int) -> Found:
        vectors, links = self.vectors, self.links
        candidates = start[:]
        visited = {number for _, number in start}
        kept = [(-distance, number) for distance, number in start]
        heapify(kept)
        while candidates:
            distance, number = heappop(candidates)
            if len(kept) >= breadth and distance > -kept[0][0]:
                break
            fresh = [near for near in links[number][layer] if near not in visited]
            visited.update(fresh)
            for distance, near in zip(measure([vectors[near] for near in fresh]), fresh, strict=True):
                if len(kept) < breadth:
                    heappush(candidates, (distance, near))
                    heappush(kept, (-distance, near))
                elif distance < -kept[0][0]:
                    heappush(candidates, (distance, near))
                    heapreplace(kept, (-distance, near))
        return sorted([(-distance, number) for distance, number in kept])

    # Changing.

    def add(self, vector: Vector, breadth: int, random: Random) -> int:
        """A new node; its number."""
        level = 0
        while level < MAX_LEVEL and random.random() < _LEVEL_CHANCE:
            level += 1
        number = len(self.vectors)
        self.vectors.append(vector)
        self.links.append([array("I") for _ in range(level + 1)])
        self.last_id += 1
        if self.entry < 0:
            self.entry = number
            return number
        measure = self.space.measure(vector)
        top = self.top
        near = self._descend(measure, level)
        for layer in range(min(level, top), -1, -1):
            near = self._search_layer(measure, near, breadth, layer)
            self._settle(number, near, layer)
        if level > top:
            self.entry = number
        return number

    def remove(self, number: int) -> None:
        """Take a node out; the last one has its number from now on."""
        links = self.links
        around = [layer[:] for layer in links[number]]
        for layer, neighbours in enumerate(around):
            for neighbour in neighbours:
                self._unlink(number, neighbour, layer)
        if number == self.entry:
            self.entry = self._successor(number, around)
        for layer, neighbours in enumerate(around):
            self._reconnect(neighbours, layer)
        self._drop(number)

    def _successor(self, number: int, around: list[array[int]]) -> int:
        """Who is the entry after this one: a neighbour as high up as there is."""
        for neighbours in reversed(around):
            if neighbours:
                return max(neighbours, key=lambda neighbour: len(self.links[neighbour]))
        others = [other for other in (0, len(self.vectors) - 1) if other != number]
        return others[0] if others else -1

    def _drop(self, number: int) -> None:
        """Delete the columns of a node without links, and give its number to the last."""
        last = len(self.vectors) - 1
        vector, layers = self.vectors.pop(), self.links.pop()
        if number == last:
            return
        self.vectors[number], self.links[number] = vector, layers
        for layer, neighbours in enumerate(layers):
            for neighbour in neighbours:
                back = self.links[neighbour][layer]
                back[back.index(last)] = number
        if self.entry == last:
            self.entry = number

    def enter(self, last_id: int) -> None:
        """Begin with what has been put into the columns by others: an entry is chosen."""
        self.entry = max(range(len(self.vectors)), key=lambda number: len(self.links[number]))
        self.last_id = last_id

    # Links.

    def room(self, layer: int) -> int:
        """How many links a node may have there."""
        return self.links_per_layer if layer else 2 * self.links_per_layer

    def _link(self, one: int, other: int, layer: int) -> None:
        self.links[one][layer].append(other)
        self.links[other][layer].append(one)

    def _unlink(self, one: int, other: int, layer: int) -> None:
        self.links[one][layer].remove(other)
        self.links[other][layer].remove(one)

    def _settle(self, number: int, found: Found, layer: int) -> None:
        """Link a node with some of those near it."""
        room = self.room(layer)
        effort = _ROOM_EFFORT
        for distance, near in self._chosen(found, layer):
            has_room = len(self.links[near][layer]) < room
            if not has_room and effort > 0:
                effort -= room
                has_room = self._make_room(near, distance, layer)
            if has_room:
                self._link(number, near, layer)
        if not self.links[number][layer]:
            self._force(number, found, layer)

    def _chosen(self, found: Found, layer: int) -> Found:
        """Neighbours in different directions: one that is nearer to another chosen one than to the node comes last."""
        wanted = self.links_per_layer
        chosen: Found = []
        passed: Found = []
        taken: list[Vector] = []
        for distance, near in found[: min(wanted * _CHOICE, wanted + _SPARE)]:
            if len(chosen) >= wanted:
                break
            vector = self.vectors[near]
            if taken and min(self.space.measure(vector)(taken)) < distance:
                passed.append((distance, near))
            else:
                chosen.append((distance, near))
                if len(taken) < _COMPARED:
                    taken.append(vector)
        return chosen + passed[: wanted - len(chosen)]

    def _make_room(self, node: int, distance: float, layer: int) -> bool:
        """Cut a full node's farthest link, if that is farther than this and who is at its end has others."""
        around = self.links[node][layer]
        distances = self.space.measure(self.vectors[node])([self.vectors[near] for near in around])
        farthest = max(distances)
        other = around[distances.index(farthest)]
        if farthest <= distance or len(self.links[other][layer]) <= self.links_per_layer // _KEPT_SHARE:
            return False
        self._unlink(node, other, layer)
        return True

    def _force(self, number: int, found: Found, layer: int) -> None:
        """A node that nobody had room for takes the place of the nearest node's neighbour with the most links."""
        if not found:
            return
        near = found[0][1]
        around = self.links[near][layer]
        if len(around) >= self.room(layer):
            self._unlink(near, max(around, key=lambda other: len(self.links[other][layer])), layer)
        self._link(number, near, layer)

    def _reconnect(self, orphans: Iterable[int], layer: int) -> None:
        """Link those with each other that have lost the same neighbour: the nearest pairs first, each once."""
        waiting = sorted(orphans, key=lambda node: len(self.links[node][layer]))[:_RELINKED]
        pairs: list[tuple[float, int, int]] = []
        for place, one in enumerate(waiting):
            rest = [other for other in waiting[place + 1 :] if other not in self.links[one][layer]]
            distances = self.space.measure(self.vectors[one])([self.vectors[other] for other in rest])
            pairs += [(distance, one, other) for distance, other in zip(distances, rest, strict=True)]
        open_ = set(waiting)
        for _, one, other in sorted(pairs):
            if one in open_ and other in open_:
                self._link(one, other, layer)
                open_ -= {one, other}
        for node in open_:
            if not self.links[node][layer]:
                self._rescue(node, layer)

    def _rescue(self, node: int, layer: int) -> None:
        """Search for neighbours of a node that has none left."""
        if self.entry in (node, -1) or layer > self.top:
            return
        measure = self.space.measure(self.vectors[node])
        start = self._descend(measure, layer)
        found = self._search_layer(measure, start, DEFAULT_BUILD_BREADTH, layer)
        self._settle(node, [(distance, near) for distance, near in found if near != node], layer)


def _keep(kept: Found, distance: float, number: int, most: int) -> None:
    """Into a heap of the nearest, whose first is the farthest of them."""
    if len(kept) < most:
        heappush(kept, (-distance, number))
    else:
        heapreplace(kept, (-distance, number))
