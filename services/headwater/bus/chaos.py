"""What may happen to a message between publish and acknowledgement, decided from a seed.

The memory bus asks these hooks; the simulation runs the rooms over them. A bus without chaos is a quiet day.
"""

import enum
import random
from dataclasses import dataclass
from typing import Protocol

from headwater.bus.port import Message


class Fate(enum.Enum):
    """How a publish ends."""

    CONFIRMED = "confirmed"
    LOST = "lost"  # BusUnavailable, and nothing was taken
    UNKNOWN = "unknown"  # BusUnavailable, although it was taken


class Chaos(Protocol):
    """Hooks of the memory bus. Each is asked once per event, in the order of events."""

    def fate(self, message: Message) -> Fate:
        """How this publish ends."""
        ...

    def copies(self, message: Message) -> int:
        """How many times the message is put into its queue (1 on a quiet day)."""
        ...

    def delay_s(self, message: Message) -> float:
        """How long a copy stays away before it can be handed out."""
        ...

    def position(self, ready: int) -> int:
        """Which of `ready` messages is handed out next, 0 being the oldest."""
        ...

    def keeps_acknowledgement(self, message: Message) -> bool:
        """Whether the acknowledgement arrives; when not, the message is handed out again."""
        ...


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing happens."""

    def fate(self, message: Message) -> Fate:  # noqa: ARG002  the protocol's shape
        return Fate.CONFIRMED

    def copies(self, message: Message) -> int:  # noqa: ARG002  the protocol's shape
        return 1

    def delay_s(self, message: Message) -> float:  # noqa: ARG002  the protocol's shape
        return 0.0

    def position(self, ready: int) -> int:  # noqa: ARG002  the protocol's shape
        return 0

    def keeps_acknowledgement(self, message: Message) -> bool:  # noqa: ARG002  the protocol's shape
        return True


@dataclass(frozen=True, slots=True)
class SeededChaos:
    """Trouble drawn from `random`; each rate is a share of events from 0 to 1."""

    random: random.Random
    lost: float = 0.02
    unknown: float = 0.02
    twice: float = 0.1
    late: float = 0.1
    longest_delay_s: float = 30.0
    reorder: float = 0.5
    drop_acknowledgement: float = 0.1

    def fate(self, message: Message) -> Fate:  # noqa: ARG002  the protocol's shape
        drawn = self.random.random()
        if drawn < self.lost:
            return Fate.LOST
        return Fate.UNKNOWN if drawn < self.lost + self.unknown else Fate.CONFIRMED

    def copies(self, message: Message) -> int:  # noqa: ARG002  the protocol's shape
        return 2 if self.random.random() < self.twice else 1

    def delay_s(self, message: Message) -> float:  # noqa: ARG002  the protocol's shape
        late = self.random.random() < self.late
        return self.random.uniform(0.0, self.longest_delay_s) if late else 0.0

    def position(self, ready: int) -> int:
        return self.random.randrange(ready) if self.random.random() < self.reorder else 0

    def keeps_acknowledgement(self, message: Message) -> bool:  # noqa: ARG002  the protocol's shape
        return self.random.random() >= self.drop_acknowledgement
