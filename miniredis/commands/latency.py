"""LATENCY: what took long, and how long commands take."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Final

from miniredis.engine.call import Call
from miniredis.engine.latency import Series
from miniredis.engine.observe import Command
from miniredis.engine.registry import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from protocol.resp.values import Failure, Reply, Verbatim

GRAPH_COLUMNS: Final = 80
GRAPH_ROWS: Final = 4
_ANY_TIME: Final = ADMIN | NOSCRIPT | LOADING | STALE
_TIPS: Final = ("nondeterministic_output", "request_policy:all_nodes", "response_policy:special")
_FILLS: Final = "_o#"

container("LATENCY", since="2.8.13", group="server", summary="Commands about what took long.", help_since="2.8.13")


@command("LATENCY|LATEST", _ANY_TIME, since="2.8.13", tips=_TIPS)
def latency_latest(call: Call) -> Reply:
    """Return the latest spike of each event: when, how long, and the longest ever (in ms)."""
    events = call.state.latency.events
    return [[name, *series.samples[-1], series.worst_ms] for name, series in events.items()]


@command("LATENCY|HISTORY event", _ANY_TIME, since="2.8.13", tips=_TIPS)
def latency_history(call: Call) -> Reply:
    """Return the spikes of an event: when, and how long (in ms)."""
    series = call.state.latency.events.get(call.argv[2])
    return [] if series is None else [[*sample] for sample in series.samples]


@command("LATENCY|RESET [event [event ...]]", _ANY_TIME, since="2.8.13",
         tips=("request_policy:all_nodes", "response_policy:agg_sum"))  # fmt: skip
def latency_reset(call: Call) -> Reply:
    """Forget the spikes of events, or of all; return how many events that were."""
    return call.state.latency.forget([name.lower() for name in call.argv[2:]])


@command("LATENCY|GRAPH event", _ANY_TIME, since="2.8.13", tips=_TIPS)
def latency_graph(call: Call) -> Reply:
    """Draw the spikes of an event, and how long ago they were."""
    name = call.argv[2]
    series = call.state.latency.events.get(name)
    if series is None:
        raise Failure(b"ERR No samples available for event '%b'" % name)
    return Verbatim(_graph(name.decode("utf-8", "replace"), series, call.now // 1000).encode())


def _graph(name: str, series: Series, now_s: int) -> str:
    durations = [sample.duration_ms for sample in series.samples]
    high, low = max(durations), min(durations)
    lines = [f"{name} - high {high} ms, low {low} ms (all time high {series.worst_ms} ms)", "-" * GRAPH_COLUMNS]
    labels = [_ago(now_s - sample.at_s) for sample in series.samples]
    # As many fit beside each other; the graph goes on below.
    for start in range(0, len(durations), GRAPH_COLUMNS):
        part = durations[start : start + GRAPH_COLUMNS]
        lines += _bars(part, low, high)
        lines.append("")
        shown = labels[start : start + GRAPH_COLUMNS]
        for row in range(max(map(len, shown))):
            lines.append("".join([label[row] if row < len(label) else " " for label in shown]).rstrip())
    return "\n".join(lines) + "\n"


def _bars(durations: list[int], low: int, high: int) -> Iterator[str]:
    """Columns of up to GRAPH_ROWS lines, each line in as many steps as there are fills."""
    steps = GRAPH_ROWS * len(_FILLS)
    heights = [1 + (value - low) * (steps - 1) // max(high - low, 1) for value in durations]
    for row in range(GRAPH_ROWS - 1, -1, -1):
        below = row * len(_FILLS)
        cells = [" " if height <= below else _FILLS[min(height - below, len(_FILLS)) - 1] for height in heights]
        yield "".join(cells).rstrip()


def _ago(seconds: int) -> str:
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


@command("LATENCY|DOCTOR", _ANY_TIME, since="2.8.13", tips=_TIPS)
def latency_doctor(call: Call) -> Reply:
    """Tell in words what took long."""
    latency = call.state.latency
    if not latency.events and not latency.threshold_ms:
        text = "Nobody watches: CONFIG SET latency-monitor-threshold <milliseconds> begins to."
    elif not latency.events:
        text = "Nothing has taken longer than the threshold."
    else:
        text = "\n".join([_diagnosis(name, series, call) for name, series in latency.events.items()])
    return Verbatim(text.encode() + b"\n")


def _diagnosis(name: bytes, series: Series, call: Call) -> str:
    durations = [sample.duration_ms for sample in series.samples]
    period_s = max(call.now // 1000 - series.samples[0].at_s, 1)
    text = (
        f"{name.decode('utf-8', 'replace')}: {len(durations)} latency spikes (average {fmean(durations):.0f}ms, "
        f"one every {period_s / len(durations):.2f} s). Worst of all time: {series.worst_ms}ms."
    )
    if name == b"command":
        text += " SLOWLOG GET names the commands."
    return text


@command("LATENCY|HISTOGRAM [command [command ...]]", _ANY_TIME, since="7.0.0", tips=_TIPS,
         complexity="O(N) with N commands")  # fmt: skip
def latency_histogram(call: Call) -> Reply:
    """Return how many calls of commands took at most how many microseconds."""
    found: dict[Reply, Reply] = {}
    for each in _commands(call):
        if any(each.histogram):
            found[each.spec.name] = {b"calls": sum(each.histogram), b"histogram_usec": _cumulative(each.histogram)}
    return found


def _commands(call: Call) -> Iterator[Command]:
    """Those named, with their subcommands, or all."""
    if len(call.argv) == 2:
        yield from call.state.observer.commands
    for name in call.argv[2:]:
        spec = call.state.table.find(name)
        for each in call.state.observer.commands:
            if spec is not None and (each.spec is spec or each.spec.name.startswith(spec.name + b"|")):
                yield each


def _cumulative(histogram: list[int]) -> Reply:
    """Slot n holds the calls of less than 2**n microseconds. Redis counts nanoseconds, its bounds are 1024 times 2**n
    of them, and it tells the largest value that its histogram (128 steps between two powers) holds equal to a bound."""
    found: dict[Reply, Reply] = {}
    total = 0
    for slot, count in enumerate(histogram):
        if count:
            total += count
            bound_ns = 1 << 10 + slot
            found[(bound_ns + bound_ns // 128 - 1) // 1000] = total
    return found
