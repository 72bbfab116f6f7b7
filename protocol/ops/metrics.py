"""Metrics of one server: plain numbers that hot code adds to, read and rendered when somebody asks.

A counter costs `counter.value += 1`; a gauge is a function called at the scrape. Rendering is prometheus-client's
(extra `metrics`), imported at the first scrape.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Counter", "Histogram", "Registry"]

LATENCY_BOUNDS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


@dataclass(slots=True)
class Counter:
    """Only grows. Add to `value`."""

    name: str
    help: str
    value: int = 0

    def families(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily

        yield CounterMetricFamily(self.name, self.help, value=self.value)


@dataclass(slots=True)
class Gauge:
    """Read when scraped. `read` gives one number, or (label values, number) pairs when `labels` are named."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[], float | Iterable[tuple[tuple[str, ...], float]]]

    def families(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        got = self.read()
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for values, number in [((), got)] if isinstance(got, int | float) else got:
            family.add_metric(values, number)
        yield family


@dataclass(slots=True)
class Histogram:
    """Counts of observations (seconds) by upper bound."""

    name: str
    help: str
    bounds: tuple[float, ...] = LATENCY_BOUNDS_S
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count a duration in the first bucket that holds it."""
        self.total += seconds
        for position, bound in enumerate(self.bounds):
            if seconds <= bound:
                self.counts[position] += 1
                return
        self.counts[-1] += 1

    def families(self) -> "Iterator[Metric]":
        from prometheus_client.core import HistogramMetricFamily

        running, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            buckets.append((bound, running))
        yield HistogramMetricFamily(self.name, self.help, buckets=buckets, sum_value=self.total)


class Family(Protocol):
    """What is scraped under one name."""

    name: str

    def families(self) -> "Iterator[Metric]": ...


class Registry:
    """All metrics of one server instance, by name."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def _add(self, family: Family) -> None:
        assert family.name not in self._families, family.name
        self._families[family.name] = family

    def counter(self, name: str, help: str) -> Counter:
        self._add(made := Counter(name, help))
        return made

    def histogram(self, name: str, help: str, bounds: tuple[float, ...] = LATENCY_BOUNDS_S) -> Histogram:
        self._add(made := Histogram(name, help, bounds))
        return made

    def gauge(
        self,
        name: str,
        help: str,
        read: Callable[[], float | Iterable[tuple[tuple[str, ...], float]]],
        labels: tuple[str, ...] = (),
    ) -> None:
        self._add(Gauge(name, help, labels, read))

    def collect(self) -> "Iterator[Metric]":
        """What prometheus-client asks of a collector."""
        for family in self._families.values():
            yield from family.families()

    def text(self) -> tuple[str, bytes]:
        """Content type and body of a scrape, in Prometheus's text format."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return CONTENT_TYPE_LATEST, generate_latest(registry)
