"""Configs: what is set where, what holds in the end, and how it is told to those who describe it.

A config has a type, a default and a rule its values must keep; a topic's config has, besides, the broker's configs it
falls back on. Where a value may be set, strongest first (Kafka's ConfigSource codes):

    1 DYNAMIC_TOPIC_CONFIG             on the topic
    2 DYNAMIC_BROKER_CONFIG            on this broker, in the metadata log
    3 DYNAMIC_DEFAULT_BROKER_CONFIG    on all brokers, in the metadata log
    4 STATIC_BROKER_CONFIG             in server.properties
    5 DEFAULT_CONFIG                   in the table
    8 GROUP_CONFIG                     on a group

Laws
1. The tables are given at construction (`minikafka/config.py` declares them); nothing is known here by name but the few
   rules that tie two configs together.
2. A refusal says what Kafka's own says, word for word: admin tools show it to people.
3. Values rest as the text somebody wrote; they are parsed where they are used, and a topic's are parsed once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from minikafka.metadata.image import Image
from minikafka.metadata.records import BROKER_CONFIG, GROUP_CONFIG, TOPIC_CONFIG
from protocol.kafka.errors import InvalidConfig


class Kind(IntEnum):
    """Kafka's config types, by the codes DescribeConfigs tells."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class Source(IntEnum):
    """Where a value comes from, by the codes of the protocol."""

    DYNAMIC_TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    GROUP = 8


BOUNDS = {Kind.INT: 31, Kind.SHORT: 15, Kind.LONG: 63}
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?", re.ASCII)
THROTTLED = re.compile(r"[0-9]+:[0-9]+", re.ASCII)


# Lists whose entries have a form: what an entry must match, and what is said when one does not.
ENTRIES = {
    "id@host:port": (
        re.compile(r"[0-9]+@.+:[0-9]+", re.ASCII),
        "Invalid configuration value for {name}. Each entry should be in the form `{{id}}@{{host}}:{{port}}`.",
    ),
    "host:port": (
        re.compile(r".+:[0-9]+", re.ASCII),
        "Failed to parse host name from {value} for the configuration {name}. "
        'Each entry should be in the form "{{host}}:{{port}}"',
    ),
}


class BadValue(ValueError):
    """A value its config may not have; the text is Kafka's."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"Invalid value {value} for configuration {name}: {reason}")


@dataclass(slots=True)
class Option:
    """One config. `default` None means none; `required` that there is none and one must be given."""

    name: str
    kind: Kind
    default: str | None
    rule: str
    update_mode: str = "-"  # cluster, broker, or - for read-only (broker configs only)
    fallbacks: tuple[tuple[str, int], ...] = ()  # broker configs a topic's or group's falls back on, with their factor
    reader: str = "-"  # the module that acts on it; - when nothing does
    is_required: bool = False
    is_internal: bool = False  # not listed to clients unless set

    @property
    def is_sensitive(self) -> bool:
        return self.kind is Kind.PASSWORD

    def parse(self, text: str) -> Any:
        """The typed value of a text: bool, int, float, str or list[str]. Raises BadValue."""
        value = self.typed(text)
        if self.kind is Kind.LIST and "" in value:
            raise ValueError(f"Configuration '{self.name}' values must not be empty.")
        if self.rule != "-":
            self._check(value)
        return value

    def typed(self, text: str) -> Any:
        """The same without the rule: for texts that were checked when they were set, and for defaults."""
        kind, text = self.kind, text if self.kind is Kind.PASSWORD else text.strip()
        if kind in BOUNDS:
            if not WHOLE_NUMBER.fullmatch(text) or not -1 << BOUNDS[kind] <= int(text) < 1 << BOUNDS[kind]:
                raise BadValue(self.name, text, f"Not a number of type {kind.name}")
            return int(text)
        if kind is Kind.BOOLEAN:
            if text.lower() not in ("true", "false"):
                raise BadValue(self.name, text, "Expected value to be either true or false")
            return text.lower() == "true"
        if kind is Kind.DOUBLE:
            if not NUMBER.fullmatch(text):
                raise BadValue(self.name, text, "Not a number of type DOUBLE")
            return float(text.rstrip("fFdD"))
        if kind is Kind.LIST:
            # Said twice is said once, in the order of the first time.
            return list(dict.fromkeys(piece.strip() for piece in text.split(","))) if text else []
        return text

    def _check(self, value: Any) -> None:
        rule, name = self.rule, self.name
        if rule == "[1..9] or -1":
            if value != -1 and not 1 <= value <= 9:
                raise BadValue(name, value, "Value must be between 1 and 9 or equal to -1")
        elif ".." in rule and not rule.startswith("[partition"):
            low, _, high = rule.strip("[]").partition("..")
            if value < float(low):
                raise BadValue(name, value, f"Value must be at least {low}")
            if high and value > float(high):
                raise BadValue(name, value, f"Value must be no more than {high}")
        elif rule.startswith("[partition"):
            if value and value != ["*"] and not all(THROTTLED.fullmatch(item) for item in value):
                listed = ", ".join(value)
                raise BadValue(
                    name,
                    f"[{listed}]",
                    f"{name} must be the literal '*' or a list of replicas in the "
                    "following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                )
        elif rule == "non-empty string":
            if not value:
                raise BadValue(name, value, "String must be non-empty")
        elif rule in ENTRIES:
            pattern, text = ENTRIES[rule]
            if not all(pattern.fullmatch(item) for item in value):
                raise ValueError(text.format(name=name, value=next(i for i in value if not pattern.fullmatch(i))))
        elif rule.startswith("non-empty"):
            if not value:
                listed = rule[10:] if "[" in rule else "any non-empty value"
                raise ValueError(f"Configuration '{name}' must not be empty. Valid values include: {listed}")
            self._check_member(rule, value)
        elif rule.startswith(("[", "(")):
            self._check_member(rule, value)

    def _check_member(self, rule: str, value: Any) -> None:
        if "[" not in rule:
            return
        listed = rule[rule.index("[") + 1 : -1].split(", ")
        ignores_case = rule.startswith("(case insensitive)")
        for item in value if isinstance(value, list) else [value]:
            if (item.upper() if ignores_case else item) not in listed and not item.startswith("by_duration:"):
                how = " (case insensitive)" if ignores_case else ""
                raise BadValue(self.name, item, f"String must be one of{how}: {', '.join(listed)}")


class Synonym(NamedTuple):
    """One place a config gets, or would get, its value from."""

    name: str
    value: str | None
    source: Source


@dataclass(slots=True)
class Entry:
    """One config as it is described to a client."""

    option: Option
    value: str | None
    source: Source
    is_read_only: bool
    synonyms: list[Synonym]


Table = Mapping[str, Option]


@dataclass(slots=True)
class Tables:
    """All configs there are, by scope."""

    broker: Table
    topic: Table
    group: Table


# Broker configs that stand for one another, the first being the one that is described (DynamicBrokerConfig).
SAME_BROKER_CONFIG: dict[str, tuple[str, ...]] = {
    "log.roll.ms": ("log.roll.ms", "log.roll.hours"),
    "log.roll.hours": ("log.roll.ms", "log.roll.hours"),
    "log.roll.jitter.ms": ("log.roll.jitter.ms", "log.roll.jitter.hours"),
    "log.roll.jitter.hours": ("log.roll.jitter.ms", "log.roll.jitter.hours"),
    "log.flush.interval.ms": ("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
    "log.retention.ms": ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    "log.retention.minutes": ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    "log.retention.hours": ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
}


class Configs:
    """What holds on one broker: the tables, what server.properties set, and what the metadata log says."""

    def __init__(self, tables: Tables, static: Mapping[str, str], image: Image, node_id: int) -> None:
        self.tables = tables
        self.static = static
        self.image = image
        self.node_id = node_id
        self._parsed_topics: dict[str, dict[str, Any]] = {}

    def forget(self, kind: int, name: str) -> None:
        """A config of this resource changed: what was parsed of it no longer holds."""
        if kind == BROKER_CONFIG:
            self._parsed_topics.clear()
        elif kind == TOPIC_CONFIG:
            self._parsed_topics.pop(name, None)

    def forget_topic(self, name: str) -> None:
        """The topic is gone."""
        self._parsed_topics.pop(name, None)

    # ---- values

    def broker(self, name: str) -> Any:
        """The typed value of a broker config on this broker; None when it has neither value nor default."""
        text = self._broker_text(name)
        return None if text is None else self.tables.broker[name].typed(text)

    def _broker_text(self, name: str) -> str | None:
        own = self.image.config(BROKER_CONFIG, str(self.node_id))
        if name in own:
            return own[name]
        cluster = self.image.config(BROKER_CONFIG, "")
        if name in cluster:
            return cluster[name]
        if name in self.static:
            return self.static[name]
        return self.tables.broker[name].default

    def topic(self, name: str) -> dict[str, Any]:
        """The typed values of all configs of a topic, existing or to come."""
        found = self._parsed_topics.get(name)
        if found is None:
            texts = self._topic_texts(self.image.config(TOPIC_CONFIG, name))
            found = {key: self.tables.topic[key].typed(text) for key, text in texts.items() if text is not None}
            if name in self.image.topics:
                self._parsed_topics[name] = found
        return found

    def _topic_texts(self, own: Mapping[str, str]) -> dict[str, str | None]:
        return {
            name: own[name] if name in own else self._fallback_text(option)
            for name, option in self.tables.topic.items()
        }

    def _fallback_text(self, option: Option) -> str | None:
        """What a topic or group config is when nobody set it: the first of its broker configs that has a value."""
        return self._fallback(option)[0]

    def _fallback(self, option: Option) -> tuple[str | None, Source]:
        places = self._broker_places()
        for source, place in places:
            for name, factor in option.fallbacks:
                if name in place:
                    return _times(place[name], factor), source
        for name, factor in option.fallbacks:
            broker_option = self.tables.broker.get(name)
            if broker_option is not None and broker_option.default is not None:
                return _times(broker_option.default, factor), Source.DEFAULT
        return option.default, Source.DEFAULT

    def _broker_places(self) -> list[tuple[Source, Mapping[str, str]]]:
        """Where a broker config may be set, strongest first."""
        return [
            (Source.DYNAMIC_BROKER, self.image.config(BROKER_CONFIG, str(self.node_id))),
            (Source.DYNAMIC_DEFAULT_BROKER, self.image.config(BROKER_CONFIG, "")),
            (Source.STATIC_BROKER, self.static),
        ]

    # ---- checks

    def check_topic(self, configs: Mapping[str, str]) -> None:
        """Raise InvalidConfig unless a topic may have these configs."""
        table = self.tables.topic
        for name in configs:
            if name not in table:
                raise InvalidConfig(f"Unknown topic config name: {name}")
        try:
            for name, text in configs.items():
                table[name].parse(text)
            values = {
                name: table[name].parse(text) for name, text in self._topic_texts(configs).items() if text is not None
            }
        except ValueError as refused:
            raise InvalidConfig(str(refused)) from None
        low, high = values["min.compaction.lag.ms"], values["max.compaction.lag.ms"]
        if low > high:
            raise InvalidConfig(
                f"conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms ({high})"
            )
        if values["remote.storage.enable"] and not self.broker("remote.log.storage.system.enable"):
            raise InvalidConfig(
                "Tiered Storage functionality is disabled in the broker. "
                "Topic cannot be configured with remote log storage."
            )

    # ---- descriptions

    def describe_broker(self) -> list[Entry]:
        """Every broker config there is, as this broker has it, by name."""
        return [
            self._broker_entry(option)
            for name, option in sorted(self.tables.broker.items())
            if not option.is_internal or name in self.static
        ]

    def _broker_entry(self, option: Option) -> Entry:
        synonyms = self._synonyms(option.name, SAME_BROKER_CONFIG.get(option.name, (option.name,)))
        source = synonyms[0].source if synonyms else Source.DEFAULT
        value = None if option.is_sensitive else self._broker_text(option.name)
        return Entry(option, value, source, option.update_mode == "-", synonyms)

    def _synonyms(self, name: str, names: tuple[str, ...]) -> list[Synonym]:
        found: list[Synonym] = []
        for source, place in self._broker_places():
            found += [Synonym(one, place[one], source) for one in names if one in place]
        for one in names:
            option = self.tables.broker.get(one)
            if option is not None and option.default is not None:
                found.append(Synonym(one, option.default, Source.DEFAULT))
        # Kafka drops what stands before the config's own name: a topic that got its retention from
        # log.retention.hours is told no synonym at all.
        first = next((at for at, one in enumerate(found) if one.name == name), len(found))
        secret = {one for one in names if one in self.tables.broker and self.tables.broker[one].is_sensitive}
        return [Synonym(one.name, None, one.source) if one.name in secret else one for one in found[first:]]

    def describe_topic(self, name: str) -> list[Entry]:
        """Every config of a topic, by name."""
        return self._described(self.tables.topic, self.image.config(TOPIC_CONFIG, name), Source.DYNAMIC_TOPIC)

    def describe_new_topic(self, own: Mapping[str, str]) -> list[Entry]:
        """Every config a topic created with `own` will have: the controller tells the source that really counts."""
        entries = []
        for name, option in sorted(self.tables.topic.items()):
            if name in own:
                entries.append(Entry(option, own[name], Source.DYNAMIC_TOPIC, False, []))
            elif not option.is_internal:
                value, source = self._fallback(option)
                entries.append(Entry(option, value, source, False, []))
        return entries

    def describe_group(self, name: str) -> list[Entry]:
        """Every config of a group, by name."""
        return self._described(self.tables.group, self.image.config(GROUP_CONFIG, name), Source.GROUP)

    def _described(self, table: Table, own: Mapping[str, str], own_source: Source) -> list[Entry]:
        entries = []
        for name, option in sorted(table.items()):
            if option.is_internal and name not in own:
                continue
            synonyms: list[Synonym] = []
            if option.fallbacks:
                first = option.fallbacks[0][0]
                synonyms = self._synonyms(first, SAME_BROKER_CONFIG.get(first, (first,)))
                if first not in self.tables.broker and option.default is not None:
                    # Kafka names a broker config here that does not exist.
                    synonyms = [Synonym(first, option.default, Source.DEFAULT)]
            if name in own:
                synonyms.insert(0, Synonym(name, own[name], own_source))
            value = own[name] if name in own else self._fallback_text(option)
            source = synonyms[0].source if synonyms else Source.DEFAULT
            entries.append(Entry(option, value, source, False, synonyms))
        return entries


def _times(text: str, factor: int) -> str:
    return text if factor == 1 else str(int(text) * factor)


def read_table(text: str) -> dict[str, Option]:
    """Rows of `name | TYPE | default | rule | how it is changed or what it falls back on | what reads it`.

    `~` is no default, `!` a value that must be given, `-` nothing; a `+` behind the name marks an internal config.
    """
    table: dict[str, Option] = {}
    for line in text.strip().splitlines():
        name, kind, default, rule, extra, reader = (cell.strip() for cell in line.split(" |"))
        option = Option(name.rstrip("+"), Kind[kind], None if default in ("~", "!") else default, rule, reader=reader)
        option.is_required = default == "!"
        option.is_internal = name.endswith("+")
        if extra in ("cluster", "broker"):
            option.update_mode = extra
        elif extra != "-":
            option.fallbacks = tuple(_fallback(word) for word in extra.split())
        table[option.name] = option
    return table


def _fallback(word: str) -> tuple[str, int]:
    name, _, factor = word.partition("*")
    return name, int(factor or 1)
