"""LCS: what two strings have in common, in order."""

from __future__ import annotations

from typing import cast

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import READONLY, KeySpec, command
from miniredis.keyspace.value import String, is_string, string_bytes
from miniredis.structures import lcs as longest
from protocol.resp.values import Failure, Reply


@command(
    "LCS key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:integer] [WITHMATCHLEN]", READONLY, since="7.0.0",
    key_specs=(KeySpec(1, 1),), complexity="O(N*M)",
)  # fmt: skip
def lcs(call: Call) -> Reply:
    """Find the longest subsequence two strings have in common: itself, its length, or where it lies."""
    argv = call.argv
    values = [call.db.find(argv[1]), call.db.find(argv[2])]
    if any(value is not None and not is_string(value) for value in values):
        raise Failure("ERR The specified keys must contain string values")
    first, second = (b"" if value is None else string_bytes(cast("String", value)) for value in values)
    wants_length = wants_places = with_lengths = False
    least = 0
    at = 3
    while at < len(argv):
        option = argv[at].upper()
        if option == b"IDX":
            wants_places = True
        elif option == b"LEN":
            wants_length = True
        elif option == b"WITHMATCHLEN":
            with_lengths = True
        elif option == b"MINMATCHLEN" and at + 1 < len(argv):
            least = max(0, call.integer(at + 1))
            at += 1
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    if wants_length and wants_places:
        raise Failure("ERR If you want both the length and indexes, please just use IDX.")
    if 4 * (len(first) + 1) * (len(second) + 1) > call.settings.proto_max_bulk_len:
        raise Failure("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if wants_length:
        return longest.length(first, second)
    common, runs = longest.trace(first, second)
    if not wants_places:
        return common
    matches: list[Reply] = []
    for start, other, size in runs:
        if size >= least:
            places: list[Reply] = [[start, start + size - 1], [other, other + size - 1]]
            matches.append([*places, size] if with_lengths else places)
    return {b"matches": matches, b"len": len(common)}
