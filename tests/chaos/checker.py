"""Whether a history of list appends can have happened, one transaction after the other, in an order that agrees with
the clock: the method of Elle (Kingsbury, Alvaro 2020), for lists.

The longest read of a list tells the order of its appends. From that, one transaction comes before another because

    ww  it appended right before the other, to the same list
    wr  the other read what it had appended
    rw  it read a list before the other appended to it
    rt  it had been answered before the other was sent

and a cycle of these is an order that cannot be. By what it takes to close one (Adya 1999):

    G0 ww alone    G1c ww and wr    G-single one rw    G2 several rw    …-realtime only with the help of rt

Found without the graph:

    lost              acknowledged, and a later read does not have it
    duplicate         one append is in a list twice
    phantom           a value nobody has appended
    G1a               a value of a transaction that was refused
    G1b               a list as it was between two appends of one transaction
    torn              of a transaction nobody knows the outcome of, half is there
    incompatible      two reads of one list of which neither begins with the other
    internal          a transaction does not see what it has itself read and appended before
    position          the length told with an append is not the place where it is
    lost-update       two transactions read the same state of a list, and both appended to it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from tests.chaos.graph import KINDS, Graph, components, shortest_path
from tests.chaos.history import Append, Outcome, Read, Transaction

WW, WR, RW, RT = range(KINDS)
NAMES: Final = ("ww", "wr", "rw", "rt")
# Of one component, so many edges are tried as the one that a class of cycles is named for.
TRIES: Final = 2000
# A history that is wrong throughout is not told of in full.
TOLD_MOST: Final = 100
FOREVER: Final = float("inf")


class Anomaly(NamedTuple):
    kind: str
    text: str


def check(history: Sequence[Transaction]) -> list[Anomaly]:
    """Everything that cannot be. Raises ValueError when a value is appended to a list twice: nobody can judge that."""
    return list(_Judgement(history).anomalies())


class _Judgement:
    def __init__(self, history: Sequence[Transaction]) -> None:
        self.history = history
        self.writer: dict[tuple[str, int], int] = {}
        self.reads: list[list[Read]] = []  # of each transaction the first read of each list, without its own appends
        self.order: dict[str, tuple[int, ...]] = {}
        self.place: dict[tuple[str, int], int] = {}
        self.read_last: dict[str, float] = {}  # when the last read of a list began
        self.found: list[Anomaly] = []
        for number, each in enumerate(history):
            for operation in each.operations:
                if isinstance(operation, Append):
                    if (operation.key, operation.value) in self.writer:
                        raise ValueError(f"{operation} is made by two transactions")
                    self.writer[operation.key, operation.value] = number
        for number, each in enumerate(history):
            self.reads.append(self._look_inside(number) if each.outcome is Outcome.OK else [])
        self._find_orders()

    def anomalies(self) -> Iterator[Anomaly]:
        yield from self.found
        yield from self._of_orders()
        yield from self._of_reads()
        yield from self._of_appends()
        yield from self._torn()
        yield from self._lost_updates()
        yield from self._cycles()

    def _tell(self, number: int) -> str:
        each = self.history[number]
        operations = ", ".join(
            f"{operation.key}+{operation.value}" if isinstance(operation, Append)
            else f"{operation.key}={_short(operation.values)}"
            for operation in each.operations
        )  # fmt: skip
        return f"#{number}[{each.process} {each.outcome} {each.began:.4f}-{each.ended:.4f} {operations}]"

    # Before there is a graph.

    def _look_inside(self, number: int) -> list[Read]:
        """What it read of others, having looked whether it saw its own."""
        known: dict[str, tuple[int, ...]] = {}  # lists it has read, as they have to be now
        own: dict[str, tuple[int, ...]] = {}  # what it appended to lists that it has not read yet
        external = []
        for operation in self.history[number].operations:
            key = operation.key
            if isinstance(operation, Append):
                where = known if key in known else own
                where[key] = (*where.get(key, ()), operation.value)
                if where is known and operation.length not in (None, len(known[key])):
                    self.found.append(Anomaly("internal", self._tell(number)))
                continue
            values = operation.values
            mine = own.pop(key, ())
            if key in known:
                if values != known[key]:
                    self.found.append(Anomaly("internal", self._tell(number)))
                continue
            if mine and values[-len(mine) :] != mine:
                self.found.append(Anomaly("internal", self._tell(number)))
                mine = ()
            known[key] = values
            external.append(Read(key, values[: len(values) - len(mine)]))
        return external

    def _all_reads(self) -> Iterator[tuple[int, Read]]:
        for number, each in enumerate(self.history):
            if each.outcome is Outcome.OK:
                for operation in each.operations:
                    if isinstance(operation, Read):
                        yield number, operation

    def _find_orders(self) -> None:
        for number, read in self._all_reads():
            if len(read.values) > len(self.order.get(read.key, ())) or read.key not in self.order:
                self.order[read.key] = read.values
            began = self.history[number].began
            if began > self.read_last.get(read.key, -FOREVER):
                self.read_last[read.key] = began
        for key, values in self.order.items():
            for index, value in enumerate(values):
                self.place.setdefault((key, value), index)

    def _of_orders(self) -> Iterator[Anomaly]:
        for key, values in self.order.items():
            for index, value in enumerate(values):
                number = self.writer.get((key, value))
                if self.place[key, value] != index:
                    yield Anomaly("duplicate", f"{value} is in {key} at {self.place[key, value]} and {index}")
                elif number is None:
                    yield Anomaly("phantom", f"{value} is in {key}: {_short(values)}")
                elif self.history[number].outcome is Outcome.FAIL:
                    yield Anomaly("G1a", f"{value} is in {key}, of {self._tell(number)}")

    def _of_reads(self) -> Iterator[Anomaly]:
        last_of_writer: dict[tuple[str, int], int] = {}
        for (key, value), number in self.writer.items():
            last_of_writer[key, number] = value
        for number, read in self._all_reads():
            order = self.order[read.key]
            if read.values != order and read.values != order[: len(read.values)]:
                yield Anomaly("incompatible", f"{self._tell(number)}, but {read.key} is {_short(order)}")
        for number, reads in enumerate(self.reads):
            for read in reads:
                if read.values:
                    writer = self.writer.get((read.key, read.values[-1]))
                    if writer not in (None, number) and last_of_writer[read.key, writer] != read.values[-1]:
                        yield Anomaly("G1b", f"{self._tell(number)} read amid {self._tell(writer)}")

    def _of_appends(self) -> Iterator[Anomaly]:
        for (key, value), number in self.writer.items():
            each = self.history[number]
            place = self.place.get((key, value))
            if each.outcome is not Outcome.OK:
                continue
            if place is None:
                if self.read_last.get(key, -FOREVER) > each.ended:
                    yield Anomaly("lost", f"{value} is not in {key}: {self._tell(number)}")
                continue
            appends = [operation for operation in each.operations if isinstance(operation, Append)]
            length = next(append.length for append in appends if append[:2] == (key, value))
            if length not in (None, place + 1):
                yield Anomaly("position", f"{value} is at {place} of {key}: {self._tell(number)}")

    def _seen_first(self) -> dict[str, list[float]]:
        """Of each list, by length: when the first read of at least that many values had ended."""
        seen = {key: [FOREVER] * (len(order) + 1) for key, order in self.order.items()}
        for number, read in self._all_reads():
            ends, ended = seen[read.key], self.history[number].ended
            if ended < ends[len(read.values)]:
                ends[len(read.values)] = ended
        for ends in seen.values():
            for length in range(len(ends) - 2, -1, -1):
                ends[length] = min(ends[length], ends[length + 1])
        return seen

    def _torn(self) -> Iterator[Anomaly]:
        seen = self._seen_first()
        for number, each in enumerate(self.history):
            if each.outcome is not Outcome.UNKNOWN:
                continue
            appends = [operation for operation in each.operations if isinstance(operation, Append)]
            there = [seen[key][self.place[key, value] + 1] for key, value, _ in appends if (key, value) in self.place]
            if there and len(there) < len(appends):
                since = min(there)
                for key, value, _ in appends:
                    if (key, value) not in self.place and self.read_last.get(key, -FOREVER) > since:
                        yield Anomaly("torn", f"{value} is not in {key}: {self._tell(number)}")
                        break

    def _lost_updates(self) -> Iterator[Anomaly]:
        updated: dict[tuple[str, tuple[int, ...]], int] = {}
        for number, reads in enumerate(self.reads):
            appended = {each.key for each in self.history[number].operations if isinstance(each, Append)}
            for read in reads:
                if read.key in appended:
                    other = updated.setdefault((read.key, read.values), number)
                    if other != number:
                        yield Anomaly("lost-update", f"{self._tell(other)} and {self._tell(number)}")

    # The graph.

    def _graph(self) -> Graph:
        graph: Graph = [[] for _ in self.history]
        for key, order in self.order.items():
            writers = [self.writer.get((key, value), -1) for value in order]
            for before, after in pairwise(writers):
                if before != after and before >= 0 <= after:
                    graph[before].append(after * KINDS + WW)
        for number, reads in enumerate(self.reads):
            for read in reads:
                self._join(graph, number, read)
        self._add_instants(graph)
        return graph

    def _join(self, graph: Graph, number: int, read: Read) -> None:
        order, length = self.order[read.key], len(read.values)
        if length:
            writer = self.writer.get((read.key, read.values[-1]), number)
            if writer != number:
                graph[writer].append(number * KINDS + WR)
        if length < len(order):
            writer = self.writer.get((read.key, order[length]), number)
            if writer != number:
                graph[number].append(writer * KINDS + RW)

    def _add_instants(self, graph: Graph) -> None:
        """Who had ended before whom. Not an edge for each two, but a chain of nodes of its own, one for each end: who
        ends leads into it, who begins is led to by the last."""
        events = [(each.began, 0, number) for number, each in enumerate(self.history)]
        events += [(each.ended, 1, number) for number, each in enumerate(self.history) if each.outcome is Outcome.OK]
        last = -1
        for _at, is_end, number in sorted(events):
            if is_end:
                graph.append([])
                graph[number].append((len(graph) - 1) * KINDS + RT)
                if last >= 0:
                    graph[last].append((len(graph) - 1) * KINDS + RT)
                last = len(graph) - 1
            elif last >= 0:
                graph[last].append(number * KINDS + RT)

    def _cycles(self) -> Iterator[Anomaly]:
        graph = self._graph()
        every = frozenset(range(KINDS))
        for component in components(graph, range(len(graph)), every)[:TOLD_MOST]:
            found = False
            for helped, suffix in ((frozenset[int](), ""), (frozenset({RT}), "-realtime")):
                if not found:
                    for part in components(graph, component, helped | {WW, WR, RW}):
                        found = True
                        yield self._name_cycle(graph, set(part), helped, suffix)

    def _name_cycle(self, graph: Graph, nodes: set[int], helped: frozenset[int], suffix: str) -> Anomaly:
        """The worst class of which there is a cycle among these nodes."""
        for name, closing, others in (
            ("G0", WW, {WW}), ("G1c", WR, {WW, WR}), ("G-single", RW, {WW, WR}), ("G2", RW, {WW, WR, RW}),
        ):  # fmt: skip
            edges = ((node, edge // KINDS) for node in sorted(nodes) for edge in graph[node] if edge % KINDS == closing)
            for _try, (node, target) in zip(range(TRIES), edges, strict=False):
                if target in nodes:
                    steps = shortest_path(graph, target, node, nodes, helped | others)
                    if steps is not None:
                        return Anomaly(name + suffix, self._tell_cycle(target, [*steps, (closing, target)]))
        return Anomaly("cycle" + suffix, f"of {len(nodes)}: {self._tell(min(nodes))}")

    def _tell_cycle(self, start: int, steps: Iterable[tuple[int, int]]) -> str:
        words = [self._tell(start)]
        for kind, node in steps:
            if node < len(self.history):  # not one of those that stand for instants
                words += [NAMES[kind], self._tell(node)]
        return " ".join(words)


def _short(values: tuple[int, ...]) -> str:
    if len(values) <= 8:
        return str(list(values))
    return f"[{values[0]}, {values[1]} … {', '.join(map(str, values[-4:]))}] ({len(values)})"
