"""The libraries Redis gives its scripts beside Lua's own: cjson, cmsgpack, struct, bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from miniredis.scripting import bits, json, msgpack, structs

if TYPE_CHECKING:
    from miniredis.scripting.sandbox import Sandbox


def libraries(sandbox: Sandbox) -> dict[str, Callable[..., Any]]:
    """`library.function` → what does it."""
    found: dict[str, Callable[..., Any]] = {}
    for name, functions in (
        ("bit", bits.FUNCTIONS),
        ("struct", structs.FUNCTIONS),
        ("cjson", json.Json(sandbox).functions()),
        ("cmsgpack", msgpack.Msgpack(sandbox).functions()),
    ):
        found.update({f"{name}.{member}": function for member, function in functions.items()})
    return found
