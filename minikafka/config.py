"""Configuration of one broker: server.properties, overrides on the command line, and what follows from them.

    key=value      key: value      # comment      a line ending in \\ goes on in the next

Unknown keys are ignored with a warning, as Kafka does; a value its config may not have is refused in Kafka's words.
What Kafka knows and nothing here reads (`options.py`, last column `-`) is taken, with a warning. The rest of the broker
sees plain numbers and texts: this module and `broker.py` are the only ones that know names of configs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minikafka import options
from minikafka.controller.topics import TopicDefaults
from minikafka.coordinator.members import GroupSettings
from minikafka.metadata.configs import BadValue, Kind, Option, Tables, read_table
from minikafka.raft.terms import Timeouts
from minikafka.replica.manager import ReplicaSettings
from protocol.net.address import Endpoint, parse_endpoint, parse_host_port

PLAINTEXT = "PLAINTEXT"
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
LOOPBACK = "localhost"
META_ADDRESSES = ("0.0.0.0", "::")


class ConfigError(ValueError):
    """The broker cannot run with this configuration; the text says why in one line."""


def read_properties(text: str) -> dict[str, str]:
    """A Java properties file as pairs. A key given twice has its last value."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        key, value = _split(line)
        found[_unescaped(key)] = _unescaped(value)
    return found


def _logical_lines(text: str) -> Iterable[str]:
    held = ""
    for raw in text.splitlines():
        line = held + raw.lstrip(" \t\f")
        if not held and (not line or line[0] in "#!"):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2:
            held = line[:-1]
            continue
        held = ""
        yield line
    if held:
        yield held


def _split(line: str) -> tuple[str, str]:
    at = 0
    while at < len(line) and line[at] not in "=: \t\f":
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return key, rest


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    out, at = [], 0
    while at < len(text):
        one = text[at]
        if one != "\\" or at + 1 == len(text):
            out.append(one)
            at += 1
        elif text[at + 1] == "u":
            digits = text[at + 2 : at + 6]
            if len(digits) < 4:
                raise ConfigError("Malformed \\uxxxx encoding.")
            try:
                out.append(chr(int(digits, 16)))
            except ValueError:
                raise ConfigError("Malformed \\uxxxx encoding.") from None
            at += 6
        else:
            out.append(ESCAPES.get(text[at + 1], text[at + 1]))
            at += 2
    return "".join(out)


@dataclass(slots=True)
class Settings:
    """What one broker was told, checked."""

    tables: Tables
    static: dict[str, str]  # what was set, by names Kafka knows
    own: dict[str, Any]  # what this broker has beyond Kafka's, typed
    warnings: list[str]

    def get(self, name: str) -> Any:
        """The typed value of a broker config as it was set, or its default; None without either."""
        option = self.tables.broker[name]
        text = self.static.get(name, option.default)
        return None if text is None else option.typed(text)

    # ---- listeners

    @property
    def controller_listener_names(self) -> list[str]:
        names: list[str] = self.get("controller.listener.names")
        return [name.upper() for name in names or ["CONTROLLER"]]

    @property
    def is_broker(self) -> bool:
        return "broker" in self.get("process.roles")

    def quorum_voters(self) -> list[tuple[int, str, int]]:
        """Static voters: id, host and port of each. Raises ConfigError."""
        found = []
        for text in filter(None, self.get("controller.quorum.voters") or ()):
            number, _, address = text.partition("@")
            try:
                found.append((int(number), *parse_host_port(address)))
            except ValueError:
                raise ConfigError(
                    f"Invalid value {text} for configuration controller.quorum.voters: Each entry should be in the "
                    "form `{id}@{host}:{port}`."
                ) from None
        return found

    def bootstrap_servers(self) -> list[tuple[str, int]]:
        """Controllers to ask first, where the voters are not configured."""
        try:
            return [parse_host_port(one) for one in filter(None, self.get("controller.quorum.bootstrap.servers") or ())]
        except ValueError as error:
            raise ConfigError(f"Invalid url in controller.quorum.bootstrap.servers: {error}") from None

    def quorum_timeouts(self) -> Timeouts:
        get = self.get
        return Timeouts(
            election_s=get("controller.quorum.election.timeout.ms") / 1000,
            fetch_s=get("controller.quorum.fetch.timeout.ms") / 1000,
            election_backoff_max_s=get("controller.quorum.election.backoff.max.ms") / 1000,
            request_s=get("controller.quorum.request.timeout.ms") / 1000,
            retry_backoff_s=get("controller.quorum.retry.backoff.ms") / 1000,
        )

    @property
    def protected_listener(self) -> str:
        """The listener of other brokers, if clients have one of their own; else none."""
        name: str = self.get("inter.broker.listener.name") or self.get("security.inter.broker.protocol")
        theirs = [end.name for end in self.listeners() if end.name not in self.controller_listener_names]
        return name.upper() if len(theirs) > 1 else ""

    def listeners(self) -> list[Endpoint]:
        """Where to listen. Raises ConfigError for what cannot be served."""
        found = [_endpoint("listeners", text) for text in self.get("listeners")]
        names = [end.name for end in found]
        if len(set(names)) != len(names):
            raise ConfigError("Each listener must have a different name, listeners: " + ",".join(map(str, found)))
        protocols = self.security_protocols()
        for end in found:
            protocol = protocols.get(end.name)
            if protocol is None and end.name not in self.controller_listener_names:
                raise ConfigError(
                    f"Error creating broker listeners from '{self.get('listeners')}': No security protocol defined for "
                    f"listener {end.name}"
                )
            if protocol not in (None, PLAINTEXT):
                raise ConfigError(f"listener {end.name} asks for {protocol}: only {PLAINTEXT} is served so far")
        theirs = [end for end in found if end.name not in self.controller_listener_names]
        if not self.is_broker and (theirs or not found):
            raise ConfigError(
                "requirement failed: The listeners config must only contain KRaft controller listeners from "
                "controller.listener.names when process.roles=controller"
            )
        if self.is_broker and not theirs:
            raise ConfigError("requirement failed: there must be at least one broker listener in listeners")
        return found

    def advertised(self) -> dict[str, Endpoint]:
        """What brokers and clients are told, by listener; nothing for listeners whose clients are told what they
        dialled."""
        told = [_endpoint("advertised.listeners", text) for text in self.get("advertised.listeners") or ()]
        for end in told:
            if end.host in META_ADDRESSES:
                raise ConfigError(
                    f"requirement failed: advertised.listeners cannot use the nonroutable meta-address {end.host}. "
                    "Use a routable IP address."
                )
        return {end.name: end for end in told}

    def security_protocols(self) -> dict[str, str]:
        """Listener name to protocol."""
        text = self.get("listener.security.protocol.map")
        pairs = (item.partition(":") for item in text.split(",") if item.strip())
        return {name.strip().upper(): protocol.strip() for name, _, protocol in pairs}

    # ---- what the floors are given

    def topic_defaults(self) -> TopicDefaults:
        return TopicDefaults(self.get("num.partitions"), self.get("default.replication.factor"))

    def group_settings(self) -> GroupSettings:
        return GroupSettings(
            partitions=self.get("offsets.topic.num.partitions"),
            replication_factor=self.get("offsets.topic.replication.factor"),
            segment_bytes=self.get("offsets.topic.segment.bytes"),
            commit_timeout_ms=self.get("offsets.commit.timeout.ms"),
            offset_metadata_max_size=self.get("offset.metadata.max.bytes"),
            offsets_retention_ms=self.get("offsets.retention.minutes") * 60_000,
            retention_check_interval_ms=self.get("offsets.retention.check.interval.ms"),
            load_buffer_bytes=self.get("offsets.load.buffer.size"),
            min_session_timeout_ms=self.get("group.min.session.timeout.ms"),
            max_session_timeout_ms=self.get("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms=self.get("group.initial.rebalance.delay.ms"),
            max_size=self.get("group.max.size"),
        )

    def replica_settings(self) -> ReplicaSettings:
        return ReplicaSettings(
            **{name: self.get(name.replace("_", ".")) for name in ReplicaSettings.__dataclass_fields__}
        )

    def internal_topics(self) -> dict[str, tuple[int, int, dict[str, str]]]:
        """Topics made by the broker when first needed: partitions, replication factor, configs."""
        return {
            "__consumer_offsets": (
                self.get("offsets.topic.num.partitions"),
                self.get("offsets.topic.replication.factor"),
                {
                    "cleanup.policy": "compact",
                    "compression.type": "producer",
                    "segment.bytes": str(self.get("offsets.topic.segment.bytes")),
                },
            ),
        }

    def data_directory(self) -> str:
        """The one directory for everything."""
        found: list[str] = self.get("log.dirs") or self.get("log.dir")
        if len(found) != 1:
            raise ConfigError(f"log.dirs names {len(found)} directories: this broker keeps its data in one")
        elsewhere = self.get("metadata.log.dir")
        if elsewhere is not None and elsewhere != found[0]:
            raise ConfigError("metadata.log.dir must be the directory log.dirs names")
        return found[0]


def _endpoint(name: str, text: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except ValueError:
        raise ConfigError(
            f"Error creating broker listeners from '{name}': Unable to parse {text} to a broker endpoint"
        ) from None


def settings_of(given: Mapping[str, str]) -> Settings:
    """Check what was given. Raises ConfigError with Kafka's text for the first thing that is wrong."""
    tables = Tables(read_table(options.BROKER), read_table(options.TOPIC), read_table(options.GROUP))
    own_table = read_table(options.OWN)
    settings = Settings(tables, {}, {name: _default(option) for name, option in own_table.items()}, [])
    for name, text in given.items():
        known = tables.broker.get(name) or own_table.get(name)
        if known is None:
            if not name.startswith("listener.name."):
                settings.warnings.append(f"ignoring unknown configuration {name}")
            else:
                settings.warnings.append(f"ignoring {name}: no listener has settings of its own so far")
            continue
        value = _checked(known, text)
        if name in own_table:
            settings.own[name] = value
            continue
        settings.static[name] = text.strip() if known.kind is not Kind.PASSWORD else text
        if known.reader == "-" and text.strip() != (known.default or ""):
            settings.warnings.append(f"{name} is set but has no effect here")
    _tie(settings)
    return settings


def _default(option: Option) -> Any:
    return None if option.default is None else option.typed(option.default)


def _checked(option: Option, text: str) -> Any:
    try:
        return option.parse(text)
    except BadValue as refused:
        raise ConfigError(str(refused)) from None
    except ValueError as refused:
        raise ConfigError(str(refused)) from None


def _tie(settings: Settings) -> None:
    """What holds between several configs."""
    static, get = settings.static, settings.get
    if "node.id" not in static:
        static["node.id"] = static.get("broker.id", "1")
    elif "broker.id" in static and get("broker.id") != get("node.id"):
        raise ConfigError("You must set `node.id` to the same value as `broker.id`.")
    static["broker.id"] = static["node.id"]
    roles = get("process.roles")
    if roles and "controller" not in roles:
        raise ConfigError("process.roles must have controller: a broker without one of its own cannot run so far")
    # Kafka listens on every interface unless told otherwise. A broker that asks nobody for a password does not.
    static.setdefault("listeners", f"{PLAINTEXT}://{LOOPBACK}:9092")
    static.setdefault("process.roles", "broker,controller")
    static.setdefault("controller.listener.names", "CONTROLLER")
    voters = settings.quorum_voters()
    if settings.is_broker and (len(voters) > 1 or len(settings.bootstrap_servers()) > 1):
        raise ConfigError("a quorum of several controllers has processes of its own so far: process.roles=controller")
    if len(voters) > 1 and get("node.id") not in [number for number, _, _ in voters]:
        raise ConfigError(
            "requirement failed: If process.roles contains the 'controller' role, the node id "
            f"{get('node.id')} must be included in the set of voters controller.quorum.voters="
            f"{sorted(number for number, _, _ in voters)}"
        )
    for name in ("log.retention.ms", "log.retention.minutes", "log.retention.hours"):
        if get(name) == 0:
            raise ConfigError(
                "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
            )
    settings.listeners()
    settings.advertised()
    settings.data_directory()
