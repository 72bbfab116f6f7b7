"""The values of directives: read from words, checked, shown again. One reader and one writer for each kind.

Texts of errors are those of Redis: people search for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from miniredis.directives import Kind, Option
from miniredis.engine.settings import show_percentile
from miniredis.keyspace import notify
from protocol.resp.numbers import parse_float, parse_int

Limits = tuple[tuple[int, int, int], ...]

_UNITS: Final = {
    "": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip
_CLASSES: Final = {"normal": 0, "slave": 1, "replica": 1, "pubsub": 2}
_MAX_ADDRESSES: Final = 16
_SCORE_BOUND: Final = 2000


class Invalid(ValueError):
    """The words are no value of this directive; the text says why."""


def read_value(option: Option, words: list[str], before: Any) -> Any:
    """The value these words mean; `before` is the current one, of which some kinds keep a part. Raises Invalid."""
    return _READERS[option.kind](option, words, before)


def show_value(option: Option, value: Any) -> str:
    """The value as CONFIG GET writes it."""
    writer = _WRITERS.get(option.kind, _plain)
    return writer(value)


def memory(text: str) -> int | None:
    """Bytes from "100", "1k", "1kb", "2MB", …; None when it is nothing of the kind."""
    match = re.fullmatch(r"([0-9]+)([a-z]*)", text, re.IGNORECASE | re.ASCII)
    unit = _UNITS.get(match[2].lower()) if match else None
    return int(match[1]) * unit if match and unit else None


# ── readers ────────────────────────────────────────────────────────────────────────────────────────────


def _yes_no(option: Option, words: list[str], before: Any) -> bool:
    word = words[0].lower()
    if word not in ("yes", "no"):
        raise Invalid("argument must be 'yes' or 'no'")
    return word == "yes"


def _text(option: Option, words: list[str], before: Any) -> str:
    return words[0]


def _choice(option: Option, words: list[str], before: Any) -> str:
    word = words[0].lower()
    if word not in option.choices:
        raise Invalid("argument(s) must be one of the following: " + ", ".join(option.choices))
    return word


def _flags(option: Option, words: list[str], before: Any) -> tuple[str, ...]:
    chosen = [word.lower() for word in words]
    if not chosen or any(word not in option.choices for word in chosen):
        raise Invalid("argument(s) must be one of the following: " + ", ".join(option.choices))
    if "save" in chosen and "nosave" in chosen:
        raise Invalid("shutdown options SAVE and NOSAVE can't be used simultaneously")
    flags = tuple(word for word in option.choices if word in chosen and word != "default")
    return flags or ("default",)


def _integer(option: Option, words: list[str], before: Any) -> int:
    try:
        value = parse_int(words[0].encode("utf-8", "surrogateescape"))
    except ValueError:
        raise Invalid("argument couldn't be parsed into an integer") from None
    return _bounded(option, value)


def _bounded(option: Option, value: int) -> int:
    if not option.low <= value <= option.high:
        raise Invalid(f"argument must be between {option.low} and {option.high} inclusive")
    return value


def _memory(option: Option, words: list[str], before: Any) -> int:
    value = memory(words[0])
    if value is None:
        raise Invalid("argument must be a memory value")
    return _bounded(option, value)


def _share(option: Option, words: list[str], before: Any) -> int:
    value = memory(words[0])
    if value is None and words[0].endswith("%") and words[0][:-1].isdigit():
        value = -int(words[0][:-1])
        if value < option.low:
            raise Invalid(f"percentage argument must be less or equal to {-option.low}")
    if value is None:
        raise Invalid("argument must be a memory or percent value")
    return _bounded(option, value)


def _octal(option: Option, words: list[str], before: Any) -> int:
    if not re.fullmatch("[0-7]+", words[0]):
        raise Invalid("argument couldn't be parsed as an octal number")
    value = int(words[0], 8)
    if not option.low <= value <= option.high:
        raise Invalid(f"argument must be between {option.low:o} and {option.high:o} inclusive")
    return value


def _save(option: Option, words: list[str], before: Any) -> tuple[tuple[int, int], ...]:
    if words == [""]:
        return ()
    numbers = [_decimal(word) for word in words]
    if len(words) % 2 or any(number is None for number in numbers):
        raise Invalid("Invalid save parameters")
    pairs = tuple((seconds or 0, changes or 0) for seconds, changes in zip(numbers[::2], numbers[1::2], strict=True))
    if any(seconds < 1 or changes < 0 for seconds, changes in pairs):
        raise Invalid("Invalid save parameters")
    return pairs


def _decimal(text: str) -> int | None:
    """What strtoll takes whole: spaces before, a sign, digits; None for anything else."""
    return int(text) if re.fullmatch(r"\s*[+-]?[0-9]+", text, re.ASCII) else None


def _limits(option: Option, words: list[str], before: Limits | None) -> Limits:
    limits = list(before or ((0, 0, 0),) * 3)
    if len(words) % 4:
        raise Invalid("Wrong number of arguments in buffer limit configuration.")
    for at in range(0, len(words), 4):
        place = _CLASSES.get(words[at].lower())
        if place is None:
            raise Invalid("Invalid client class specified in buffer limit configuration.")
        hard, soft, seconds = memory(words[at + 1]), memory(words[at + 2]), _decimal(words[at + 3])
        if hard is None or soft is None or seconds is None or seconds < 0:
            raise Invalid("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
        limits[place] = (hard, soft, seconds)
    return tuple(limits)


def _scores(option: Option, words: list[str], before: Any) -> tuple[int, ...]:
    if len(words) != 3:
        raise Invalid("wrong number of arguments")
    numbers = [_decimal(word) for word in words]
    if any(number is None or abs(number) > _SCORE_BOUND for number in numbers):
        raise Invalid("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
    return tuple(number or 0 for number in numbers)


def _events(option: Option, words: list[str], before: Any) -> int:
    try:
        return notify.parse_classes(words[0])
    except ValueError:
        raise Invalid("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.") from None


def _addresses(option: Option, words: list[str], before: Any) -> tuple[str, ...]:
    if len(words) > _MAX_ADDRESSES:
        raise Invalid("Too many bind addresses specified.")
    return () if words == [""] else tuple(words)


def _primary(option: Option, words: list[str], before: Any) -> tuple[str, int] | None:
    if words == [""] and before is None:
        return None
    if len(words) != 2:
        raise Invalid("wrong number of arguments")
    if [word.lower() for word in words] == ["no", "one"]:
        return None
    port = _decimal(words[1])
    if port is None or not 0 <= port <= 65535:
        raise Invalid("Invalid master port")
    return words[0], port


def _percentiles(option: Option, words: list[str], before: Any) -> tuple[float, ...]:
    if words == [""]:
        return ()
    try:
        found = tuple(parse_float(word.encode("utf-8", "surrogateescape")) for word in words)
    except ValueError:
        raise Invalid("Invalid latency-tracking-info-percentiles parameters") from None
    if any(not 0.0 <= value <= 100.0 for value in found):
        raise Invalid("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
    return found


_READERS: Final[dict[Kind, Callable[[Option, list[str], Any], Any]]] = {
    Kind.YES_NO: _yes_no,
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.FLAGS: _flags,
    Kind.INTEGER: _integer,
    Kind.MEMORY: _memory,
    Kind.SHARE: _share,
    Kind.OCTAL: _octal,
    Kind.SAVE: _save,
    Kind.LIMITS: _limits,
    Kind.SCORES: _scores,
    Kind.EVENTS: _events,
    Kind.ADDRESSES: _addresses,
    Kind.PRIMARY: _primary,
    Kind.PERCENTILES: _percentiles,
    Kind.DIRECTORY: _text,
}


# ── writers ────────────────────────────────────────────────────────────────────────────────────────────


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


def _shown_share(value: int) -> str:
    return f"{-value}%" if value < 0 else str(value)


def _shown_pairs(value: tuple[tuple[int, int], ...]) -> str:
    return " ".join(f"{seconds} {changes}" for seconds, changes in value)


def _shown_limits(value: Limits) -> str:
    names = ("normal", "slave", "pubsub")
    return " ".join(f"{name} {hard} {soft} {seconds}" for name, (hard, soft, seconds) in zip(names, value, strict=True))


def _shown_primary(value: tuple[str, int] | None) -> str:
    return f"{value[0]} {value[1]}" if value else ""


_WRITERS: Final[dict[Kind, Callable[[Any], str]]] = {
    Kind.SHARE: _shown_share,
    Kind.OCTAL: lambda value: f"{value:o}",
    Kind.SAVE: _shown_pairs,
    Kind.LIMITS: _shown_limits,
    Kind.EVENTS: notify.format_classes,
    Kind.PRIMARY: _shown_primary,
    Kind.PERCENTILES: lambda value: " ".join(map(show_percentile, value)),
}
