"""Two servers in turn, A B A B …, and what to quote of it: medians, and the ratio pair by pair.

A shared machine drifts by tens of percent within minutes. Neighbouring runs see the same machine, so the ratio of a
pair holds where absolute figures do not.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one workload: ours and the real server's medians, and the median of the pairs' ratios."""

    name: str
    unit: str
    ours: float
    real: float
    ratio: float
    bar: float | None = None
    more_is_better: bool = True

    @property
    def holds(self) -> bool:
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.more_is_better else self.ratio <= self.bar


def alternate(ours: Callable[[], dict[str, float]], real: Callable[[], dict[str, float]], rounds: int = ROUNDS) -> (
    dict[str, tuple[float, float, float]]
):  # fmt: skip
    """Each figure's (median of ours, median of the real one, median ratio); one uncounted run of each to warm up."""
    ours(), real()
    pairs = [(ours(), real()) for _ in range(rounds)]
    table = {}
    for name in pairs[0][0]:
        mine, theirs = [a[name] for a, _ in pairs], [b[name] for _, b in pairs]
        ratios = [a / b if b else float("inf") for a, b in zip(mine, theirs, strict=True)]
        table[name] = (statistics.median(mine), statistics.median(theirs), statistics.median(ratios))
    return table


def show(title: str, rows: list[Row]) -> str:
    """A Markdown table."""
    lines = [f"### {title}", "", "| workload | unit | ours | real | ratio | bar |", "|---|---|--:|--:|--:|---|"]
    for row in rows:
        sign = "≥" if row.more_is_better else "≤"
        bar = "" if row.bar is None else f"{sign} {row.bar:g}{'' if row.holds else '  **missed**'}"
        lines.append(f"| {row.name} | {row.unit} | {row.ours:,.6g} | {row.real:,.6g} | {row.ratio:.2f} | {bar} |")
    return "\n".join(lines) + "\n"
