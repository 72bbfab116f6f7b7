"""Directed graphs of whole numbers whose edges have a kind, and the cycles in them.

`graph[node]` is a list of edges, each `target * KINDS + kind`: histories have millions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

KINDS = 4
Graph = list[list[int]]


def components(graph: Graph, nodes: Iterable[int], kinds: frozenset[int]) -> list[list[int]]:
    """Strongly connected components of more than one node (Tarjan 1972) by edges of those kinds, among those nodes."""
    allowed = [False] * len(graph)
    starts = list(nodes)
    for node in starts:
        allowed[node] = True
    number = [0] * len(graph)  # in order of discovery, from 1; 0: not yet met
    lowest = [0] * len(graph)
    on_stack = [False] * len(graph)
    stack: list[int] = []
    found = []
    count = 0
    for start in starts:
        if number[start]:
            continue
        count += 1
        number[start] = lowest[start] = count
        stack.append(start)
        on_stack[start] = True
        path = [(start, iter(graph[start]))]
        while path:
            node, edges = path[-1]
            for edge in edges:
                target, kind = divmod(edge, KINDS)
                if kind not in kinds or not allowed[target]:
                    continue
                if not number[target]:
                    count += 1
                    number[target] = lowest[target] = count
                    stack.append(target)
                    on_stack[target] = True
                    path.append((target, iter(graph[target])))
                    break
                if on_stack[target] and number[target] < lowest[node]:
                    lowest[node] = number[target]
            else:
                path.pop()
                if path and lowest[node] < lowest[path[-1][0]]:
                    lowest[path[-1][0]] = lowest[node]
                if lowest[node] == number[node]:
                    at = _place(stack, node)
                    component = stack[at:]
                    del stack[at:]
                    for each in component:
                        on_stack[each] = False
                    if len(component) > 1:
                        found.append(component)
    return found


def _place(stack: list[int], node: int) -> int:
    """Where the node is: searched from the top, where it is near."""
    at = len(stack) - 1
    while stack[at] != node:
        at -= 1
    return at


def shortest_path(
    graph: Graph, start: int, end: int, nodes: set[int], kinds: frozenset[int]
) -> list[tuple[int, int]] | None:
    """(kind of the edge, node it leads to), from `start` to `end`, by edges of those kinds, among those nodes."""
    came_by: dict[int, tuple[int, int]] = {start: (-1, -1)}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        if node == end:
            steps = []
            while node != start:
                before, kind = came_by[node]
                steps.append((kind, node))
                node = before
            return steps[::-1]
        for edge in graph[node]:
            target, kind = divmod(edge, KINDS)
            if kind in kinds and target in nodes and target not in came_by:
                came_by[target] = (node, kind)
                waiting.append(target)
    return None
