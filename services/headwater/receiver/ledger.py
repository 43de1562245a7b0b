"""What came, counted in memory and written down every few seconds: no answer waits for it.

While the database is away counts add up and samples are kept within bounds.
"""

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headwater.model.errors import Unavailable
from headwater.store import endpoints, refusals
from headwater.store.database import Database
from headwater.store.endpoints import Count
from headwater.store.refusals import Refusal

logger = logging.getLogger("headwater.receiver")
SLOT_S = 300
SAMPLES_PER_MINUTE = 10  # of one reason and endpoint, in one process
MAX_SAMPLES = 2000  # waiting to be written
MAX_SLOTS = 50  # of one endpoint, waiting to be written
ACCEPTED = "accepted"
HANDSHAKE = "handshake"
SPOOLED = "spooled"  # of those accepted, the ones that went through PostgreSQL


@dataclass(slots=True)
class Tally:
    """What came to one endpoint since it was last written down. Lives as long as the process."""

    tenant: str
    endpoint: str
    accepted: int = 0
    last_at_s: float = 0.0
    uses: dict[str, list[float]] = field(default_factory=dict)  # name of the secret → [last use, how often]
    slots: dict[tuple[int, str], list[float]] = field(default_factory=dict)  # (slot, outcome) → [count, last]
    minute: int = 0
    sampled: dict[str, int] = field(default_factory=dict)  # reason → how many of this minute

    def accept(self, at_s: float, secret: str | None) -> None:
        """One more delivery, verified by the secret of that name."""
        self.accepted += 1
        self.last_at_s = at_s
        if secret is not None:
            use = self.uses.get(secret)
            if use is None:
                self.uses[secret] = [at_s, 1]
            else:
                use[0] = at_s
                use[1] += 1

    def note(self, outcome: str, at_s: float, count: int = 1) -> None:
        """Something else than a delivery."""
        key = (int(at_s // SLOT_S), outcome)
        entry = self.slots.setdefault(key, [0, at_s])
        entry[0] += count
        entry[1] = max(entry[1], at_s)
        while len(self.slots) > MAX_SLOTS:
            self.slots.pop(next(iter(self.slots)))

    def may_sample(self, reason: str, at_s: float) -> bool:
        """Whether one more refusal of this minute is kept; a flood of one reason leaves room for the others."""
        minute = int(at_s // 60)
        if minute != self.minute:
            self.minute, self.sampled = minute, {}
        count = self.sampled[reason] = self.sampled.get(reason, 0) + 1
        return count <= SAMPLES_PER_MINUTE

    def take(self) -> tuple[list[Count], list[tuple[str, str, str, datetime, int]]]:
        """Everything since the last time."""
        if self.accepted:
            count, self.accepted = self.accepted, 0
            self.note(ACCEPTED, self.last_at_s, count)
        slots, self.slots = self.slots, {}
        uses, self.uses = self.uses, {}
        counts = [
            Count(self.tenant, self.endpoint, _moment(slot * SLOT_S), outcome, int(count), _moment(last))
            for (slot, outcome), (count, last) in slots.items()
        ]
        used = [(self.tenant, self.endpoint, name, _moment(last), int(n)) for name, (last, n) in uses.items()]
        return counts, used


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


class Ledger:
    """The tallies of all endpoints and the samples of refusals."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._samples: deque[Refusal] = deque(maxlen=MAX_SAMPLES)

    def tally(self, tenant: str, endpoint: str) -> Tally:
        return self._tallies.setdefault((tenant, endpoint), Tally(tenant, endpoint))

    def keep_only(self, known: Mapping[tuple[str, str], object]) -> None:
        """Forget endpoints that are gone and have nothing to be written."""
        for name in [each for each in self._tallies if each not in known]:
            tally = self._tallies[name]
            if not (tally.accepted or tally.slots or tally.uses):
                del self._tallies[name]

    def sample(self, refusal: Refusal) -> None:
        self._samples.append(refusal)

    @property
    def has_samples(self) -> bool:
        return bool(self._samples)

    async def write(self, database: Database) -> None:
        """Write everything down; what the database does not take is kept for the next time."""
        taken = [tally.take() for tally in self._tallies.values()]
        counts = [count for each, _ in taken for count in each]
        uses = [use for _, each in taken for use in each]
        samples = list(self._samples)
        self._samples.clear()
        if not (counts or uses or samples):
            return
        try:
            async with database.transaction() as connection:
                if counts:
                    await endpoints.count(connection, counts)
                if uses:
                    await endpoints.note_uses(connection, uses)
                if samples:
                    await refusals.insert(connection, samples)
        except Unavailable as error:
            logger.debug("counts and refusals are kept in memory: %s", error)
            self._put_back(counts, uses, samples)

    def _put_back(
        self,
        counts: list[Count],
        uses: list[tuple[str, str, str, datetime, int]],
        samples: list[Refusal],
    ) -> None:
        for count in counts:
            self.tally(count.tenant, count.endpoint).note(
                count.outcome, count.last_at.timestamp(), count.request_count
            )
        for tenant, endpoint, name, last, times in uses:
            use = self.tally(tenant, endpoint).uses.setdefault(name, [last.timestamp(), 0])
            use[0] = max(use[0], last.timestamp())
            use[1] += times
        self._samples.extendleft(reversed(samples[: MAX_SAMPLES - len(self._samples)]))
