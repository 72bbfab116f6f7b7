"""A command that fails here, of one who sends none that fail: a primary, an append-only file, a replica.

Law: the log hears of each; propagation-error-behavior says whether this server may go on with data that has become
     another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from miniredis.engine.state import State

SHOWN_BYTES: Final = 4096
FAILED: Final = 1  # the exit code


def of_primary(state: State, warn: Callable[[str], None], name: bytes, text: bytes) -> None:
    """A replica whose clients may write has differences of its own making: it goes on."""
    behavior = state.settings.propagation_error_behavior
    panics = behavior in ("panic", "panic-on-replicas") and state.config["replica-read-only"]
    _tell(state, warn, "replica", "master", name, text, panics=panics)


def of_file(state: State, warn: Callable[[str], None], name: bytes, text: bytes) -> None:
    panics = state.settings.propagation_error_behavior == "panic"
    _tell(state, warn, "server", "AOF-loading-client", name, text, panics=panics)


def of_replica(state: State, warn: Callable[[str], None], name: bytes, text: bytes) -> None:
    """It has asked for something that it may not have: its data is what it was."""
    _tell(state, warn, "master", "replica", name, text, panics=False)


def _tell(
    state: State, warn: Callable[[str], None], here: str, there: str, name: bytes, text: bytes, *, panics: bool
) -> None:
    state.unexpected_errors += 1
    shown, command = text[:SHOWN_BYTES].decode("utf-8", "backslashreplace"), name.decode("utf-8", "backslashreplace")
    warn(
        f"== CRITICAL == This {here} is sending an error to its {there}: '{shown}' after processing the command "
        f"'{command}'"
    )
    if panics:
        warn(f"This {here} panicked sending an error to its {there} after processing the command '{command}'")
        state.process.end_at_once(FAILED)
