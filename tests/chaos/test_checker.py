"""The judge of the chaos tests, judged: every class of anomaly planted in a history is found by its name, and histories
of a store that does nothing wrong are let pass."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.chaos.checker import check
from tests.chaos.graph import KINDS, components
from tests.chaos.history import Append, Operation, Outcome, Read, Transaction, Window, dump, load, weaken

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def read(key: str, *values: int) -> Read:
    return Read(key, values)


def txn(
    *operations: Operation, outcome: Outcome = OK, at: tuple[float, float] = (0, 100), process: int = 0
) -> Transaction:
    """All at the same time, where nothing else is said: no one before another."""
    return Transaction(0, outcome, *at, operations)


def kinds(*history: Transaction) -> set[str]:
    return {anomaly.kind for anomaly in check(history)}


a, b = Append("x", 1), Append("x", 2)
PLANTED = {
    "lost": [txn(a, at=(0, 1)), txn(read("x"), at=(2, 3))],
    "duplicate": [txn(a), txn(read("x", 1, 1))],
    "phantom": [txn(a), txn(read("x", 1, 7))],
    "G1a": [txn(a, outcome=FAIL), txn(read("x", 1))],
    "G1b": [txn(a, b), txn(read("x", 1)), txn(read("x", 1, 2))],
    "torn": [txn(a, Append("y", 1), outcome=UNKNOWN), txn(read("x", 1), at=(0, 1)), txn(read("y"), at=(2, 3))],
    "incompatible": [txn(a), txn(b), txn(read("x", 1, 2)), txn(read("x", 2))],
    "internal": [txn(a, read("x"))],
    "position": [txn(a), txn(Append("x", 2, 1)), txn(read("x", 1, 2))],
    "lost-update": [txn(read("x"), a), txn(read("x"), b)],
    "G0": [txn(a, Append("y", 1)), txn(b, Append("y", 2)), txn(read("x", 1, 2)), txn(read("y", 2, 1))],
    "G1c": [txn(a, read("y", 1)), txn(Append("y", 1), read("x", 1))],
    "G-single": [txn(a, Append("y", 1)), txn(read("x", 1), read("y")), txn(read("y", 1))],
    "G2": [txn(a, read("y")), txn(Append("y", 1), read("x")), txn(read("x", 1)), txn(read("y", 1))],
    "G0-realtime": [txn(b, at=(0, 1)), txn(a, at=(2, 3)), txn(read("x", 1, 2), at=(0, 9))],
    "G1c-realtime": [txn(read("x", 1), at=(0, 1)), txn(a, at=(2, 3))],
    "G-single-realtime": [txn(a, at=(0, 1)), txn(read("x"), at=(2, 3)), txn(read("x", 1), at=(2, 3))],
    "G2-realtime": [
        txn(read("x"), at=(4, 9)), txn(a, at=(0, 9)), txn(Append("y", 1), at=(0, 3)), txn(read("y"), read("x", 1)),
        txn(read("y", 1)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_anomaly_is_found(kind: str) -> None:
    """A server that does this would pass for correct."""
    assert kind in kinds(*PLANTED[kind])


@pytest.mark.parametrize("kind", sorted({kind for kind in PLANTED if kind[0] == "G"} - {"G1a", "G1b"}))
def test_a_cycle_goes_by_its_worst_class_only(kind: str) -> None:
    """One that needs the clock, or two rw, would be told as one that does not: what a server promises differs."""
    cycles = {found for found in kinds(*PLANTED[kind]) if found[0] == "G"}
    assert cycles == {kind}


def test_what_is_no_anomaly() -> None:
    """Alarms that are false."""
    assert not kinds(txn(a, outcome=UNKNOWN), txn(read("x", 1)))  # it took place
    assert not kinds(txn(a, outcome=UNKNOWN, at=(0, 1)), txn(read("x"), at=(2, 3)))  # it did not
    assert not kinds(txn(a, outcome=FAIL, at=(0, 1)), txn(read("x"), at=(2, 3)))
    assert not kinds(txn(a, at=(0, 5)), txn(read("x"), at=(2, 6)))  # at once: either may be first
    assert not kinds(txn(a, b, read("x", 1, 2), read("x", 1, 2)), txn(read("x", 1, 2)))  # its own
    assert not kinds(txn(a, Append("y", 1), outcome=UNKNOWN), txn(read("y"), at=(0, 1)), txn(read("x", 1), at=(2, 3)))
    assert not kinds(txn(Append("x", 5, 1)), txn(Append("x", 3, 2)), txn(read("x", 5, 3)))


def test_a_value_written_twice_is_refused() -> None:
    """A rig at fault would look like a server without fault."""
    with pytest.raises(ValueError, match="two transactions"):
        check([txn(a), txn(a)])


def played(seed: int, count: int) -> list[Transaction]:
    """What clients of a store without fault see: each transaction happens at an instant between question and answer."""
    chance = Random(seed)
    lists: dict[str, list[int]] = {f"k{number}": [] for number in range(4)}
    history, free, value = [], [-9.0] * 8, 0
    for number in range(count):
        instant = float(number)
        process = min(range(len(free)), key=lambda each: (free[each] > instant, chance.random()))
        began, ended = max(free[process], instant - chance.random() * 6), instant + chance.random() * 6
        free[process] = ended + 0.01
        outcome = chance.choices((OK, UNKNOWN, FAIL), (90, 7, 3))[0]
        operations: list[Operation] = []
        state = {key: list(values) for key, values in lists.items()}
        for _ in range(chance.randint(1, 4)):
            key = chance.choice(list(lists))
            if chance.random() < 0.5:
                value += 1
                state[key].append(value)
                operations.append(Append(key, value, len(state[key]) if outcome is OK else None))
            else:
                operations.append(Read(key, tuple(state[key])))
        if outcome is OK or (outcome is UNKNOWN and chance.random() < 0.5):
            lists = state
        history.append(Transaction(process, outcome, began, ended, tuple(operations)))
    return history


@pytest.mark.parametrize("seed", range(5))
def test_a_store_without_fault(seed: int) -> None:
    """False alarms: nobody would look at a true one any more."""
    assert check(played(seed, 400)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_stale_read_among_many(seed: int) -> None:
    """One wrong answer in hundreds would not be seen."""
    history = played(seed, 400)
    for number in range(250, len(history)):
        each = history[number]
        if each.outcome is OK and len(each.operations) == 1 and isinstance(each.operations[0], Read):
            key, values = each.operations[0]
            history[number] = each._replace(operations=(Read(key, values[:-12]),))
            break
    else:
        raise AssertionError("no read to spoil")
    assert {anomaly.kind for anomaly in check(history)} & {"G-single", "G-single-realtime"}


def test_long_histories_are_judged_in_time() -> None:
    """A minute of clients could not be judged in less than one."""
    lists, history, started = 200, [], time.process_time()
    for number in range(20_000):
        key, turn = f"k{number % lists}", number // lists
        history.append(txn(read(key, *range(turn)), Append(key, turn, turn + 1), at=(number, number + 0.5)))
    assert check(history) == []
    assert time.process_time() - started < 10


def test_components() -> None:
    """Cycles that share a node would be missed, or found where none is."""
    edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (4, 5), (6, 6)]
    graph: list[list[int]] = [[] for _ in range(7)]
    for start, end in edges:
        graph[start].append(end * KINDS)
    assert sorted(map(sorted, components(graph, range(7), frozenset({0})))) == [[0, 1, 2], [3, 4]]
    assert components(graph, range(7), frozenset({1})) == []
    assert sorted(map(sorted, components(graph, [0, 1, 3, 4], frozenset({0})))) == [[3, 4]]


def test_a_window_of_doubt() -> None:
    """What `everysec` may lose would be told as lost."""
    history = [txn(a, at=(0, 1)), txn(Append("y", 1), at=(0, 3)), txn(read("x"), read("y"), at=(4, 5))]
    assert kinds(*history) == {"lost"}
    assert [anomaly.text[:1] for anomaly in check(weaken(history, [Window(0.5, 2)]))] == ["1"]
    assert len(check(weaken(history, [Window(0.5, 2)]))) == 1
    assert check(weaken(history, [Window(0.5, 3)])) == []


def test_a_history_is_kept(tmp_path: Path) -> None:
    """What was judged could not be looked at again."""
    history = played(1, 50)
    dump(history, tmp_path / "history")
    assert list(load(tmp_path / "history")) == history
