"""How runs bear with one another and with failure: overlap and retries, as plain rules. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from uuid import UUID

OverlapKind = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow"]
BUFFERED_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Overlap:
    """What becomes of a run that is due while runs of its schedule and stream have not ended.

    `skip`: it is skipped. `buffer_one`: one waits, more are skipped. `buffer_all`: up to `most` wait.
    `cancel_other`: the others are cancelled. `allow`: up to `most` at once.
    """

    kind: OverlapKind = "skip"
    most: int = 1

    @property
    def others(self) -> int | None:
        """With so many others that have not ended it is skipped; None: never."""
        match self.kind:
            case "skip":
                return 1
            case "buffer_one":
                return 2  # one runs, one waits
            case "buffer_all":
                return 1 + self.most
            case "cancel_other":
                return None
            case "allow":
                return self.most

    @property
    def at_once(self) -> int | None:
        """How many run beside one another; None: one at a time, whatever started it."""
        return self.most if self.kind == "allow" else None


@dataclass(frozen=True, slots=True)
class Retry:
    """The waits between attempts: `delay_s`, or `delay_s` × `factor`^(attempt - 1), at most `longest_s`.

    `jitter` is the share of the wait (0 to 1) by which it may be shorter.
    """

    kind: Literal["fixed", "exponential"] = "fixed"
    delay_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 3600.0
    jitter: float = 0.0

    def to_plain(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "delay_s": self.delay_s,
            "factor": self.factor,
            "longest_s": self.longest_s,
            "jitter": self.jitter,
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """From `to_plain`."""
        numbers = {name: float(plain[name]) for name in ("delay_s", "factor", "longest_s", "jitter")}
        return cls(kind=plain["kind"], **numbers)

    def wait_s(self, run_id: UUID, attempt: int) -> float:
        """Seconds after attempt `attempt` failed (from 1). The jitter is drawn from run and attempt: the same again."""
        growth = self.factor ** min(attempt - 1, 64) if self.kind == "exponential" else 1.0
        wait_s = min(self.delay_s * growth, self.longest_s)
        drawn = hashlib.sha256(run_id.bytes + attempt.to_bytes(4, "big")).digest()
        return wait_s * (1.0 - self.jitter * (int.from_bytes(drawn[:4], "big") / 2**32))
