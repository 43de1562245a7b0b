"""Counters, gauges and histograms of one process, and their text for Prometheus (exposition format 0.0.4).

Written out here, since the library for it brings an HTTP server along that every process would hold. They belong to one
thread, the event loop's.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

Label = tuple[str, str]  # name, value
Sample = tuple[str, tuple[Label, ...], float]  # what is added to the name, labels of its own, value


class _Metric(Protocol):
    def samples(self) -> Iterator[Sample]: ...


M = TypeVar("M", bound=_Metric)


class Counter:
    """Only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def samples(self) -> Iterator[Sample]:
        yield "", (), self.value


class Gauge:
    """As it is now."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = float(value)

    def samples(self) -> Iterator[Sample]:
        yield "", (), self.value


class Histogram:
    """How values spread over `bounds`, which ascend; a value counts where it is at most the bound."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> Iterator[Sample]:
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            yield "_bucket", (("le", _number(bound)),), total
        yield "_count", (), total
        yield "_sum", (), self._sum


class Family(Generic[M]):
    """Metrics of one name, told apart by the values of `names`."""

    def __init__(self, names: Sequence[str], make: Callable[[], M]) -> None:
        self._names = tuple(names)
        self._make = make
        self._metrics: dict[tuple[str, ...], M] = {}

    def labels(self, *values: str) -> M:
        """The metric of these values, made at the first time."""
        found = self._metrics.get(values)
        if found is None:
            if len(values) != len(self._names):
                raise ValueError(f"labels {self._names}: {len(values)} values")
            found = self._metrics[values] = self._make()
        return found

    def clear(self) -> None:
        """Forget all."""
        self._metrics.clear()

    def samples(self) -> Iterator[Sample]:
        for values, metric in self._metrics.items():
            own = tuple(zip(self._names, values, strict=True))
            for suffix, more, value in metric.samples():
                yield suffix, (*own, *more), value


class Registry:
    """All metrics of a process, in the order in which they were declared."""

    def __init__(self) -> None:
        self._all: list[tuple[str, str, str, _Metric]] = []

    def counter(self, name: str, text: str) -> Counter:
        return self._add(name, text, "counter", Counter())

    def counters(self, name: str, text: str, *labels: str) -> Family[Counter]:
        return self._add(name, text, "counter", Family(labels, Counter))

    def gauge(self, name: str, text: str) -> Gauge:
        return self._add(name, text, "gauge", Gauge())

    def gauges(self, name: str, text: str, *labels: str) -> Family[Gauge]:
        return self._add(name, text, "gauge", Family(labels, Gauge))

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> Histogram:
        return self._add(name, text, "histogram", Histogram(bounds))

    def _add(self, name: str, text: str, kind: str, metric: M) -> M:
        self._all.append((name, text, kind, metric))
        return metric

    def render(self) -> bytes:
        """The text that a scrape gets."""
        lines = []
        for name, text, kind, metric in self._all:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [
                f"{name}{suffix}{_labels(labels)} {_number(value)}"
                for suffix, labels, value in metric.samples()
            ]
        return "\n".join((*lines, "")).encode()


def _labels(labels: Sequence[Label]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(float(value))
