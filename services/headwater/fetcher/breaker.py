"""A circuit breaker for each host, in each process: a host that does not answer is not asked by every page.

What it spares is requests and waiting handlers, not attempts: a page that it stops is tried again like one that the
host did not answer, and fails like it. So no state has to be shared: each process finds out for itself.
"""

from collections import OrderedDict
from dataclasses import dataclass

from headwater.model.clock import Clock
from headwater.model.errors import SourceError

FAILURES = 10  # in a row, without any answer between them
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
_DOWN = frozenset({"network", "timeout", "bad_http", "http_502", "http_503", "http_504"})
_MAX_KEPT = 1000


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    open_until: float = 0.0
    pause_s: float = FIRST_PAUSE_S


class Breakers:
    """The circuits of the hosts that failed last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: OrderedDict[str, _Circuit] = OrderedDict()

    def check(self, origin: str) -> None:
        """Raises: SourceError `circuit_open` while the host is left alone. After that one request tries it."""
        circuit = self._circuits.get(origin)
        if circuit is None or circuit.failures < FAILURES:
            return
        now = self._clock.monotonic()
        if now < circuit.open_until:
            raise SourceError(
                "circuit_open",
                f"{origin} did not answer {circuit.failures} times in a row and is left alone for a while",
                retryable=True,
            )
        circuit.open_until = now + circuit.pause_s  # the others wait for what this one finds
        circuit.pause_s = min(2 * circuit.pause_s, LONGEST_PAUSE_S)

    def answered(self, origin: str) -> None:
        """The host is there."""
        self._circuits.pop(origin, None)

    def failed(self, origin: str, error: SourceError) -> None:
        """What the request came to; only what a host that is down does counts."""
        if error.kind not in _DOWN or error.delay_s is not None:
            self.answered(origin)
            return
        circuit = self._circuits.setdefault(origin, _Circuit())
        self._circuits.move_to_end(origin)
        circuit.failures += 1
        if circuit.failures == FAILURES:
            circuit.open_until = self._clock.monotonic() + circuit.pause_s
        if len(self._circuits) > _MAX_KEPT:
            self._circuits.popitem(last=False)
