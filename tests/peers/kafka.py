"""Kafka brokers beside the tests: the real 4.3.1 from its released Maven artifacts, and ours.

    with real_broker() as real, our_broker() as ours:      both listen on free loopback ports, data in fresh directories
        real.port, ours.tool("topics", "--list")

Jars are fetched once into `KAFKA_CACHE` (default $XDG_CACHE_HOME or ~/.cache, apache-kafka-4.3.1); our own Java
sources are compiled there too. Where java or maven is missing, tests that need them are skipped with the reason; with
CI=true they fail instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VERSION = "4.3.1"
DEADLINE_S = 120.0  # for anything a broker is waited for; a JVM on a busy machine takes its time
FETCHES = 3  # how often a download is tried
CLUSTER_ID = "bWluaWthZmthLXBlZXItMQ"

# Tools of Kafka by the names of their scripts.
TOOLS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "end-to-end": "org.apache.kafka.tools.EndToEndLatency",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "metadata-shell": "org.apache.kafka.shell.MetadataShell",
    "storage": "kafka.tools.StorageTool",
}
WITHOUT_BROKER = {"dump-log", "metadata-shell", "storage"}

# What a single broker for tests has in common, ours and the real one: internal topics fit on it, groups start at once.
FOR_ONE_BROKER = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}


def missing(reason: str) -> NoReturn:
    """Skip the running test, or fail it where everything has to be present."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def jars() -> Path:
    """The folder with Kafka's jars, fetched when they are not there yet."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("KAFKA_CACHE") or caches / f"apache-kafka-{VERSION}")
    if not shutil.which("java"):
        missing("no java: apt-get install default-jre-headless")
    if not (cache / ".complete").exists():
        if not shutil.which("mvn"):
            missing("Kafka's jars are not cached and there is no mvn: apt-get install maven")
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may begin together
            if not (cache / ".complete").exists():
                _fetch(cache)
    return cache / "libs"


def _fetch(cache: Path) -> None:
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={cache / 'libs'}", "-DincludeScope=runtime"]
    goal.append(f"-Duser.home={Path.home()}")  # Java asks the user database instead of HOME
    for _attempt in range(FETCHES):
        done = subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *goal], capture_output=True, text=True)
        if not done.returncode:
            (cache / ".complete").touch()
            return
    missing(f"maven could not fetch Kafka {VERSION}: {done.stdout[-500:]}{done.stderr[-500:]}")


def java(*arguments: str, heap: str = "512m", log: str = "WARN", classes: str = "") -> list[str]:
    """The command line that runs a main class among Kafka's jars, and `classes` where they are our own."""
    logging = [f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}", f"-Dpeer.log={log}"]
    path = os.pathsep.join(filter(None, [f"{jars()}/*", classes]))
    return ["java", f"-Xmx{heap}", "-XX:+UseG1GC", *logging, "-cp", path, *arguments]


def compiled(source: Path) -> str:
    """The folder with the classes of a Java source of ours, compiled when it is new."""
    libraries = jars()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    folder = libraries.parent / "classes" / f"{source.stem}-{digest}"
    if not folder.exists():
        if not shutil.which("javac"):
            missing("no javac: apt-get install default-jdk-headless")
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            command = ["javac", "-cp", f"{libraries}/*", "-d", f"{made}/classes", str(source)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{source.name} does not compile:\n{done.stderr[-2000:]}")
            if not folder.exists():  # another run may have been quicker
                os.rename(f"{made}/classes", folder)
    return str(folder)


def run_tool(
    name: str, *arguments: str, stdin: bytes = b"", timeout_s: float = DEADLINE_S, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one of Kafka's tools to its end; its standard output and error as text."""
    command = java(TOOLS[name], *arguments)
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s)
    told = subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
    if check and told.returncode:
        raise RuntimeError(f"kafka {name} ended with {told.returncode}:\n{told.stdout[-2000:]}{told.stderr[-2000:]}")
    return told


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Broker:
    """A broker process and its directory; a context manager that stops it and removes what it wrote.

    A directory that is given is left alone at the end, so that another broker may be started on it.
    """

    kind = ""

    def __init__(self, properties: Mapping[str, str] | None = None, directory: Path | None = None) -> None:
        self.owns_directory = directory is None
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.kind}-kafka-")) if directory is None else directory
        self.properties = {**FOR_ONE_BROKER, **(properties or {})}
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_begin = 0  # where in its log the present start begins

    @property
    def data(self) -> Path:
        """Where the partitions lie."""
        return self.directory / "data"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.kind}.log"

    def log(self) -> str:
        """The end of what it has logged."""
        return self.log_path.read_text(errors="replace")[-6000:] if self.log_path.exists() else ""

    def has_logged(self, text: str) -> bool:
        """Whether that is anywhere in what this start has logged."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_begin)
            return text.encode() in log.read()

    def start(self) -> Broker:
        """Start it and return when clients are served."""
        raise NotImplementedError

    def spawn(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        with open(self.log_path, "ab") as log:
            self.log_begin = log.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def tool(self, name: str, *arguments: str, stdin: bytes = b"", check: bool = True) -> str:
        """Standard output of one of Kafka's tools, pointed at this broker where it needs one."""
        where = [] if name in WITHOUT_BROKER else ["--bootstrap-server", self.address]
        return run_tool(name, *where, *arguments, stdin=stdin, check=check).stdout

    def kill(self) -> None:
        """SIGKILL, as a power failure that spares the page cache."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not mind it."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Broker:
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


class RealBroker(Broker):
    """Apache Kafka as a broker that is its own controller."""

    kind = "real"

    def start(self) -> Broker:
        jars()
        for _attempt in range(3):
            port, controller_port = free_ports(2)
            self.port = self.port or port
            config = self._write_config(controller_port)
            if not (self.data / "meta.properties").exists():
                run_tool("storage", "format", "-t", CLUSTER_ID, "-c", config, "--standalone")
            self.spawn(java("-server", "-Djava.awt.headless=true", "kafka.Kafka", config, heap="1g", log="INFO"))
            if self._wait_ready():
                return self
            self.port = 0
        raise RuntimeError(f"Kafka found no free port:\n{self.log()}")

    def _write_config(self, controller_port: int) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data),
            **self.properties,
        }
        path = self.directory / "real.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return str(path)

    def _wait_ready(self) -> bool:
        """True once it serves; False when somebody else took a port meanwhile."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if self.has_ended():
                if self.has_logged("Address already in use"):
                    return False
                raise RuntimeError(f"Kafka stopped at once:\n{self.log()}")
            if self.has_logged("Kafka Server started"):  # many lines may follow at once, where there is data
                return True
            time.sleep(0.05)
        raise RuntimeError(f"Kafka did not become ready:\n{self.log()}")


class OurBroker(Broker):
    """`python -m minikafka`."""

    kind = "mini"

    def start(self) -> Broker:
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "minikafka", "--port", str(self.port), "--data-dir", str(self.data)]
        command += ["--ready-file", str(ready), "--exit-with-parent"]
        for name, value in self.properties.items():
            command += ["--override", f"{name}={value}"]
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
        self.spawn(command, {**os.environ, "PYTHONPATH": path})
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if self.has_ended():
                raise RuntimeError(f"minikafka stopped at once:\n{self.log()}")
            if ready.exists():
                self.port = _port_of(ready.read_text())
                return self
            time.sleep(0.005)
        raise RuntimeError(f"minikafka did not become ready:\n{self.log()}")


def _port_of(ready: str) -> int:
    """The port in a ready file, whose first line is the address it listens on."""
    return int(ready.split()[0].rpartition(":")[2])


def real_broker(properties: Mapping[str, str] | None = None, directory: Path | None = None) -> Broker:
    return RealBroker(properties, directory)


def our_broker(properties: Mapping[str, str] | None = None, directory: Path | None = None) -> Broker:
    return OurBroker(properties, directory)


def encode_with_java(lines: Iterable[str]) -> list[str]:
    """What Kafka's own codec makes of lines `class <tab> version <tab> JSON`: hex, or `!` and why not."""
    command = java("Codec", classes=compiled(HERE / "java" / "Codec.java"))
    done = subprocess.run(command, input="\n".join(lines).encode() + b"\n", capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Kafka's codec does not run: {done.stderr.decode()[-2000:]}")
    return done.stdout.decode().splitlines()
