"""LOLWUT: a picture, and the version of the server.

Versions 5 and 6 drew one, each server another; what we draw is a row of cells that live by rule 30, with `columns` and
`rows` as the arguments of those versions. Others, and this one, tell their version only.
"""

from __future__ import annotations

from typing import Final

from miniredis.engine.call import Call
from miniredis.engine.registry import FAST, READONLY, command
from miniredis.engine.version import VERSION
from protocol.resp.values import Reply, Verbatim

_DRAWING: Final = (5, 6)
_COLUMNS: Final = (66, 1000)  # as a rule, and at most
_ROWS: Final = (8, 200)
_RULE: Final = 30


@command("LOLWUT [VERSION version:integer]", READONLY | FAST, since="5.0.0", group="server", arity=-1, complexity="")
def lolwut(call: Call) -> Reply:
    """Draw something, and tell the version."""
    argv, told = call.argv, f"Redis ver. {VERSION}\n"
    if len(argv) < 3 or call.option(1) != b"VERSION" or call.integer(2) not in _DRAWING:
        return Verbatim(told.encode())
    columns, rows = _COLUMNS[0], _ROWS[0]
    if len(argv) > 3:
        columns = min(max(call.integer(3), 1), _COLUMNS[1])
    if len(argv) > 4:
        rows = min(max(call.integer(4), 1), _ROWS[1])
    cells = [call.random.random() < 0.5 for _ in range(columns)]
    lines: list[str] = []
    for _ in range(rows):
        lines.append("".join(["█" if cell else " " for cell in cells]))
        around = zip(cells[-1:] + cells[:-1], cells, cells[1:] + cells[:1], strict=True)
        cells = [bool(_RULE >> (4 * left + 2 * middle + right) & 1) for left, middle, right in around]
    return Verbatim("\n".join([*lines, "", told]).encode())
