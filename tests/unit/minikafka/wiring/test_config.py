"""The command line and server.properties: what is taken, what is warned about, what is refused and how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minikafka.__main__ import UsageError, given, parse
from minikafka.config import ConfigError, read_properties, settings_of
from protocol.disk.files import Disk

ROOT = Path(__file__).resolve().parents[4]


def test_properties_are_read_as_java_reads_them() -> None:
    """A server.properties that Kafka takes would mean something else here."""
    text = """
# comment
! also
plain=1
  indented = 2
colon: 3
space 4
long = a,\\
       b,\\
   c
empty=
equals=a=b
escaped\\ key=\\u00e9\\tx\\\\
twice=1
twice=2
bare
last=end\\"""
    assert read_properties(text) == {
        "plain": "1",
        "indented": "2",
        "colon": "3",
        "space": "4",
        "long": "a,b,c",
        "empty": "",
        "equals": "a=b",
        "escaped key": "é\tx\\",
        "twice": "2",
        "bare": "",
        "last": "end",
    }


def test_broken_escapes_are_refused() -> None:
    """A typo would become another value."""
    for text in ("a=\\u12", "a=\\u12zz"):
        with pytest.raises(ConfigError, match="encoding"):
            read_properties(text)


REFUSED = {
    ("num.partitions", "0"): "Invalid value 0 for configuration num.partitions: Value must be at least 1",
    ("num.partitions", "x"): "Invalid value x for configuration num.partitions: Not a number of type INT",
    ("log.cleanup.policy", "bad"): (
        "Invalid value bad for configuration log.cleanup.policy: String must be one of: compact, delete"
    ),
    ("node.id", "-5"): "Invalid value -5 for configuration node.id: Value must be at least 0",
    ("auto.create.topics.enable", "1"): (
        "Invalid value 1 for configuration auto.create.topics.enable: Expected value to be either true or false"
    ),
    ("log.dirs", ""): "Configuration 'log.dirs' must not be empty. Valid values include: any non-empty value",
    ("listeners", ""): "Configuration 'listeners' must not be empty. Valid values include: any non-empty value",
    ("listeners", "PLAINTEXT://:x"): (
        "Error creating broker listeners from 'listeners': Unable to parse PLAINTEXT://:x to a broker endpoint"
    ),
    ("listeners", "SSL://:9092"): "listener SSL asks for SSL: only PLAINTEXT is served so far",
    ("listeners", "CONTROLLER://:9093"): (
        "requirement failed: there must be at least one broker listener in listeners"
    ),
    ("advertised.listeners", "PLAINTEXT://0.0.0.0:9092"): (
        "requirement failed: advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. "
        "Use a routable IP address."
    ),
    ("log.retention.hours", "0"): (
        "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
    ),
    ("group.consumer.migration.policy", "zz"): (
        "Invalid value zz for configuration group.consumer.migration.policy: "
        "String must be one of (case insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL"
    ),
    ("log.dirs", "/a,/b"): "log.dirs names 2 directories: this broker keeps its data in one",
    (
        "process.roles",
        "broker",
    ): "process.roles must have controller: a broker without one of its own cannot run so far",
    ("log.dirs", "/a,,/b"): "Configuration 'log.dirs' values must not be empty.",
    ("process.roles", ""): (
        "Configuration 'process.roles' must not be empty. Valid values include: [broker, controller]"
    ),
    ("controller.quorum.voters", "x"): (
        "Invalid configuration value for controller.quorum.voters. "
        "Each entry should be in the form `{id}@{host}:{port}`."
    ),
    ("controller.quorum.bootstrap.servers", "x"): (
        "Failed to parse host name from x for the configuration controller.quorum.bootstrap.servers. "
        'Each entry should be in the form "{host}:{port}"'
    ),
    ("controller.quorum.voters", "1@a:1,2@b:2"): (
        "a quorum of several controllers has processes of its own so far: process.roles=controller"
    ),
}


@pytest.mark.parametrize("pair", REFUSED, ids=lambda pair: f"{pair[0]}={pair[1]}")
def test_bad_values_are_refused(pair: tuple[str, str]) -> None:
    """The broker would start with something else than what was asked for."""
    with pytest.raises(ConfigError) as refused:
        settings_of(dict([pair]))
    assert str(refused.value) == REFUSED[pair]


def test_ids_must_agree() -> None:
    """Two ids for one broker."""
    with pytest.raises(ConfigError, match="same value"):
        settings_of({"node.id": "1", "broker.id": "7"})
    assert settings_of({"broker.id": "7"}).get("node.id") == 7


def test_what_has_no_effect_is_warned_about() -> None:
    """Somebody would rely on a setting that does nothing."""
    found = settings_of({"no.such.key": "1", "num.io.threads": "4", "num.partitions": "3", "log.cleaner.threads": "1"})
    assert found.warnings == [
        "ignoring unknown configuration no.such.key",
        "num.io.threads is set but has no effect here",
    ]
    assert found.get("num.partitions") == 3
    assert "no.such.key" not in found.static


def test_kafkas_own_sample_configuration_is_taken(tmp_path: Path) -> None:
    """The file everybody starts from would be refused."""
    sample = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
offsets.topic.replication.factor=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""
    found = settings_of(read_properties(sample))
    assert [end.name for end in found.listeners()] == ["PLAINTEXT", "CONTROLLER"]
    assert found.advertised()["PLAINTEXT"].host == "localhost"
    assert found.warnings == []
    assert found.data_directory() == "/tmp/kraft-combined-logs"


def test_the_command_line(tmp_path: Path) -> None:
    """Options would be ignored or mixed up."""
    file = tmp_path / "server.properties"
    file.write_text("listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093\nnum.partitions=2\nlog.dirs=/x\n")
    words = [str(file), "--port", "0", "--data-dir=/y", "--override", "num.partitions=5", "--ready-file", "r"]
    found = parse([*words, "--exit-with-parent"])
    assert (found.ready_file, found.exit_with_parent) == ("r", True)
    assert given(found, Disk()) == {
        "listeners": "PLAINTEXT://0.0.0.0:0,CONTROLLER://:9093",
        "num.partitions": "5",
        "log.dirs": "/y",
    }
    assert given(parse(["--port", "7"]), Disk()) == {"listeners": "PLAINTEXT://localhost:7"}


@pytest.mark.parametrize(
    "words",
    [
        ["--port"],
        ["--port", "x"],
        ["--port", "70000"],
        ["--override", "novalue"],
        ["--override", "=x"],
        ["--no-such"],
        ["a", "b"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_clear_line(words: list[str]) -> None:
    """A typo would start a broker with defaults, or end in a traceback."""
    with pytest.raises(UsageError):
        parse(words)
    run = subprocess.run([sys.executable, "-m", "minikafka", *words], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 1
    assert run.stderr.startswith("minikafka: ")
    assert run.stderr.count("\n") == 1
