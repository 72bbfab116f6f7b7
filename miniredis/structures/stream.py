"""Streams: entries that are only ever added behind the last one, packed into nodes (structures/stream_node.py).

    masters   [id,   id,   id,   …]     the ids the nodes count from, in order: where to look for an id
    nodes     [Node, Node, Node, …]     the last one grows, the others are only marked

Laws:
1. Trimming that may be approximate takes whole nodes; a deleted entry stays in its node as a mark (a tombstone), and
   a node goes when its last living entry does, or when it is trimmed away. All counts are Redis's, so are the bytes.
2. `first_id` and `top_id` are the ids of the first and last living entry, 0 without any. `last_id` is the highest id
   there ever was, or what XSETID made of it.
3. Where to find entries in a node is remembered for the few nodes used last, and forgotten for all others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Final

from miniredis.structures.stream_groups import UNKNOWN, Group
from miniredis.structures.stream_node import MAX_ID, Entry, Node, Shape, node_of

# Redis refuses to let a listpack grow beyond this, whatever stream-node-max-bytes says.
MAX_NODE_BYTES: Final = 1 << 30

# What CPython takes, about: see size_bytes.
_STREAM_BYTES: Final = 300
_NODE_BYTES: Final = 160  # what a node takes beside its entries
_GROUP_BYTES: Final = 400
_PENDING_BYTES: Final = 230  # one pending entry in the lists of its group and its consumer
# Of so many nodes the places of entries are remembered: where it is trimmed, where it grows, where readers are.
_REMEMBERED: Final = 4
_SAMPLE: Final = 8


class Stream:
    """Entries by id, and the groups that read them."""

    __slots__ = (
        "_length", "_masters", "_nodes", "_remembered", "_tree_nodes", "entries_added", "first_id", "groups",
        "last_id", "max_deleted_id", "top_id",
    )  # fmt: skip

    type_name: ClassVar[bytes] = b"stream"

    def __init__(self) -> None:
        self._masters: list[int] = []
        self._nodes: list[Node] = []
        self._length = 0
        self._remembered: list[Node] = []
        self._tree_nodes = 1
        self.first_id = 0
        self.top_id = 0
        self.last_id = 0
        self.max_deleted_id = 0
        self.entries_added = 0
        self.groups: dict[bytes, Group] = {}

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True  # an empty stream is a stream: groups may wait at it

    @property
    def encoding(self) -> bytes:
        return b"stream"

    @property
    def size_bytes(self) -> int:
        """Memory this stream takes, in bytes: an estimate from a few of its nodes."""
        nodes = self._nodes
        sample = nodes if len(nodes) <= _SAMPLE else nodes[: _SAMPLE // 2] + nodes[-_SAMPLE // 2 :]
        entries = sum([len(node.body) for node in sample]) * len(nodes) // len(sample) if sample else 0
        groups = sum([_GROUP_BYTES + _PENDING_BYTES * len(group.pending) for group in self.groups.values()])
        return _STREAM_BYTES + entries + _NODE_BYTES * len(nodes) + groups

    @property
    def counted_bytes(self) -> int:
        """For `used_memory`."""
        return self.size_bytes

    def copy(self) -> Stream:
        twin = Stream()
        twin._masters = self._masters.copy()
        twin._nodes = [node.copy() for node in self._nodes]
        twin._length, twin._tree_nodes = self._length, self._tree_nodes
        twin.first_id, twin.top_id, twin.last_id = self.first_id, self.top_id, self.last_id
        twin.max_deleted_id, twin.entries_added = self.max_deleted_id, self.entries_added
        twin.groups = {name: group.copy() for name, group in self.groups.items()}
        return twin

    def dissolve(self, most: int) -> bool:
        """Let go of so many nodes or pending entries of a stream that nobody needs any more; whether more are left."""
        del self._nodes[-most:]
        self._remembered.clear()
        for group in self.groups.values():
            if group.pending.dissolve(most):
                return True
        return bool(self._nodes)

    # Adding.

    def next_id(self, now: int) -> int:
        """The id that an entry added at this instant (ms) gets by itself."""
        id = now << 64
        return id if id > self.last_id else self.last_id + 1

    def append(self, id: int, pairs: list[bytes], max_bytes: int, max_entries: int) -> None:
        """Add an entry: fields and values in turn, the id above `last_id`.

        The bounds of a node are stream-node-max-bytes and stream-node-max-entries, 0 for none.
        ValueError: the entry is larger than a node can be."""
        nodes = self._nodes
        size = len(pairs[0]) + len(pairs[1]) if len(pairs) == 2 else sum(map(len, pairs))
        if size > MAX_NODE_BYTES:
            raise ValueError("an entry larger than a node")
        if nodes:
            node = nodes[-1]
            # As Redis counts: the new entry by its fields and values alone, and the node before it is added.
            count = node.live + node.deleted
            if not 0 < max_bytes < MAX_NODE_BYTES:
                max_bytes = MAX_NODE_BYTES
            # What `size_bytes` says, without asking: the counts take more than a byte each where there are many.
            used = node.size_bytes if count > 127 else node.shape.size_bytes + len(node.body)
            if used + size >= max_bytes or (max_entries and count >= max_entries):
                node.seal()
                names = pairs[::2]
                node = self._new_node(id, node.shape if node.shape.names == names else Shape(names))
            elif type(node.body) is bytes:
                node.body = bytearray(node.body)
        else:
            node = self._new_node(id, Shape(pairs[::2]))
        node.append(id, pairs)
        self._length += 1
        self.entries_added += 1
        self.last_id = self.top_id = id
        if self._length == 1:
            self.first_id = id

    def _new_node(self, id: int, shape: Shape) -> Node:
        node = Node(id, shape)
        self._nodes.append(node)
        self._masters.append(id)
        self._tree_nodes = 0
        return node

    # Reading.

    def range(self, start: int, end: int, count: int = 0) -> list[Entry]:
        """Entries with start <= id <= end in their order; the first `count` of them, 0 for all."""
        found: list[Entry] = []
        masters, nodes = self._masters, self._nodes
        for at in range(max(bisect_right(masters, start) - 1, 0), len(nodes)):
            if masters[at] > end:
                break
            node = nodes[at]
            found += node.read(start, end, count - len(found) if count else 0)
            if node.places is not None:
                self._remember(node)
            if count and len(found) == count:
                break
        return found

    def range_back(self, start: int, end: int, count: int = 0) -> list[Entry]:
        """Entries with start <= id <= end, the last one first; `count` of them at most, 0 for all."""
        found: list[Entry] = []
        masters, nodes = self._masters, self._nodes
        for at in range(bisect_right(masters, end) - 1, max(bisect_right(masters, start) - 1, 0) - 1, -1):
            node = nodes[at]
            found += node.read_back(start, end, count - len(found) if count else 0)
            self._remember(node)
            if count and len(found) == count:
                break
        return found

    def _node_with(self, id: int) -> tuple[int, int]:
        """Where the living entry with this id is: its node's index and its number there; (-1, -1) without."""
        at = bisect_right(self._masters, id) - 1
        if at < 0:
            return -1, -1
        node = self._nodes[at]
        number = node.find(id)
        self._remember(node)
        return (at, number) if number >= 0 else (-1, -1)

    def __contains__(self, id: int) -> bool:
        return self._node_with(id)[0] >= 0

    def _remember(self, node: Node) -> None:
        """The places of this node's entries are known now: forget those of a node used longer ago."""
        remembered = self._remembered
        if remembered and remembered[-1] is node:
            return
        if node in remembered:
            remembered.remove(node)
        elif len(remembered) >= _REMEMBERED:
            remembered.pop(0).places = None
        remembered.append(node)

    def _forget(self, first: int, after: int) -> None:
        """Nodes go."""
        gone = self._nodes[first:after]
        self._remembered = [node for node in self._remembered if node not in gone]
        del self._nodes[first:after]
        del self._masters[first:after]
        self._tree_nodes = 0

    # Removing.

    def delete(self, ids: list[int]) -> int:
        """Delete the entries with these ids; how many there were."""
        count = 0
        first_gone = top_gone = False
        for id in ids:
            at, number = self._node_with(id)
            if at < 0:
                continue
            node = self._nodes[at]
            if node.live == 1:
                self._forget(at, at + 1)
            else:
                node.delete(number)
            self._length -= 1
            count += 1
            first_gone = first_gone or id == self.first_id
            top_gone = top_gone or id == self.top_id
            self.max_deleted_id = max(self.max_deleted_id, id)
        if first_gone:
            self._find_first()
        if top_gone:
            self._find_top()
        return count

    def trim_to_length(self, most: int, *, whole_nodes: bool = False, limit: int = 0) -> int:
        """Remove the oldest entries until `most` are left, at most `limit` of them (0: any number); how many went.

        `whole_nodes`: only where a node goes as a whole, so that more may be left."""
        removed = gone = 0
        for node in self._nodes:
            if self._length <= most or (limit and removed + node.live > limit):
                break
            if self._length - node.live < most:
                if not whole_nodes:
                    removed += self._trim_node(node, node.delete_first(self._length - most))
                break
            gone += 1
            self._length -= node.live
            removed += node.live
        return self._trimmed(removed, gone)

    def trim_before(self, id: int, *, whole_nodes: bool = False, limit: int = 0) -> int:
        """Remove the entries below `id`, as `trim_to_length` does."""
        removed = gone = 0
        masters = self._masters
        for at, node in enumerate(self._nodes):
            if limit and removed + node.live > limit:
                break
            if masters[at] >= id:
                break
            is_below = at + 1 < len(masters) and masters[at + 1] <= id
            if not is_below and node.last >= id:
                if not whole_nodes:
                    removed += self._trim_node(node, node.delete_below(id))
                self._remember(node)
                break
            gone += 1
            self._length -= node.live
            removed += node.live
        return self._trimmed(removed, gone)

    def _trim_node(self, node: Node, count: int) -> int:
        self._remember(node)
        self._length -= count
        return count

    def _trimmed(self, removed: int, gone: int) -> int:
        if gone:
            self._forget(0, gone)
        if removed:
            self._find_first()
            if not self._length:
                self.top_id = 0
        return removed

    def _find_first(self) -> None:
        self.first_id = 0
        if self._length:
            node = next(node for node in self._nodes if node.live)
            number = node.first_live()
            self.first_id = node.id_at(node.offsets(number + 1)[number])
            self._remember(node)

    def _find_top(self) -> None:
        found = self.range_back(0, MAX_ID, 1)
        self.top_id = found[0][0] if found else 0

    @property
    def edge_id(self) -> int:
        """The id of the first entry, alive or not; the highest id there is without any entry."""
        return self._nodes[0].first if self._nodes else MAX_ID

    # What groups are told about their progress.

    def has_deleted_after(self, start: int) -> bool:
        """Whether an entry from `start` on may have been deleted out of the middle."""
        if not self._length or not self.max_deleted_id or self.first_id > self.max_deleted_id:
            return False
        return start <= self.max_deleted_id

    def entries_until(self, id: int) -> int:
        """How many entries were ever added up to this id, itself included; UNKNOWN where that cannot be said."""
        added = self.entries_added
        if not added:
            return 0
        if (not self._length and id <= self.last_id) or id == self.last_id:
            return added
        if id > self.last_id:
            return UNKNOWN
        if not self.max_deleted_id or self.max_deleted_id < self.first_id:
            if id < self.first_id:
                return added - self._length
            if id == self.first_id:
                return added - self._length + 1
        return UNKNOWN

    def lag(self, group: Group) -> int | None:
        """How many entries a group has yet to be given; None where nobody can say."""
        if not self.entries_added:
            return 0
        read = group.entries_read
        if read == UNKNOWN or self.has_deleted_after(group.last_id):
            read = self.entries_until(group.last_id)
        return None if read == UNKNOWN else self.entries_added - read

    # As it is saved, and as XINFO tells it.

    @property
    def node_count(self) -> int:
        return len(self._nodes)

    @property
    def tree_nodes(self) -> int:
        """How many nodes the radix tree of a real server has over the same ids."""
        if not self._tree_nodes:
            self._tree_nodes = _tree_nodes(self._masters)
        return self._tree_nodes

    def nodes(self) -> Iterator[tuple[int, bytes]]:
        """(master id, listpack) of every node in order."""
        for node in self._nodes:
            yield node.master, node.listpack()

    def add_node(self, master: int, listpack: bytes, *, deep: bool) -> None:
        """Add a saved node behind the others. ValueError: it is none, or not behind them.

        `deep`: every entry is looked at; else only what has to be known is taken from it."""
        before = self._nodes[-1] if self._nodes else None
        if before is not None and master <= before.master:
            raise ValueError("nodes of a stream do not rise")
        node = node_of(master, listpack, before.shape if before is not None else None, deep=deep)
        if deep and before is not None:
            overlaps = before.last >= master
            before.places = None
            if overlaps:
                raise ValueError("nodes of a stream overlap")
        self._nodes.append(node)
        self._masters.append(master)
        self._length += node.live

    def settle(self) -> None:
        """All nodes are added and the attributes set: find the ends. ValueError: the last id is below an entry."""
        self._tree_nodes = 0
        self._find_first()
        self._find_top()
        if self.top_id > self.last_id:
            raise ValueError("a stream's last id is below its last entry")


def _tree_nodes(keys: list[int]) -> int:
    """Nodes of a radix tree over these rising keys of 16 bytes: one for each place where keys part, one for each run
    of bytes in which they do not, one for each end."""
    if not keys:
        return 1
    shared = [16 - ((a ^ b).bit_length() + 7) // 8 for a, b in pairwise(keys)]
    # Depths of the partings on the way to the last key, from the root; each begins a node when it is first met.
    count = 0
    depths: list[int] = []
    for depth in [*shared, -1]:
        closed = -1
        while depths and depths[-1] > depth:
            closed = depths.pop()
            above = max(depths[-1] if depths else -1, depth)
            count += 1 + (closed > above + 1)
        if depth >= 0 and (not depths or depths[-1] < depth):
            depths.append(depth)
    for left, right in zip([-1, *shared], [*shared, -1], strict=True):
        count += 1 + (max(left, right) < 15)
    return count
