"""Limits shared by all workers: slots reserved ahead (GCRA), the quiet an API asked for, requests under way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.store.queries import queries

_Q = queries("limits")
_WINDOWS_S = {"per_second": 1.0, "per_minute": 60.0, "per_hour": 3600.0, "per_day": 86_400.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a source allows. Bucket i: `gaps_s[i]` seconds between requests, `bursts[i]` of them at once after quiet."""

    gaps_s: tuple[float, ...] = ()
    bursts: tuple[int, ...] = ()
    in_flight: int | None = None

    @classmethod
    def of(cls, wire: Mapping[str, Any] | None) -> "Limit":
        """The limit as a source's definition writes it (`RateLimit`); without one nothing is limited."""
        if not wire:
            return cls()
        burst = int(wire.get("burst") or 1)
        windows = [(wire.get("requests"), float(wire.get("per_s") or 1.0))]
        windows += [(wire.get(name), length_s) for name, length_s in _WINDOWS_S.items()]
        given = [(int(count), length_s) for count, length_s in windows if count]
        return cls(
            tuple(length_s / count for count, length_s in given),
            tuple(min(burst, count) for count, _ in given),
            wire.get("in_flight"),
        )


async def reserve(
    connection: Any, tenant: str, source: str, limit: Limit, weight: int, longest_s: float
) -> tuple[float, bool]:
    """Reserve the next slot: seconds until then, and whether it was reserved (not beyond `longest_s`)."""
    row = await connection.fetchrow(
        _Q["reserve"], tenant, source, list(limit.gaps_s), list(limit.bursts), weight, longest_s
    )
    return max(0.0, float(row["wait_s"])), bool(row["is_reserved"])


async def pause(connection: Any, tenant: str, source: str, wait_s: float) -> None:
    """No request of this source for `wait_s` seconds: its API asked for it."""
    await connection.execute(_Q["pause"], tenant, source, wait_s)


async def lease(
    connection: Any, tenant: str, source: str, most: int, holder: UUID, lease_s: float
) -> int | None:
    """A place among the `most` requests that may be under way; None when all are taken."""
    return await connection.fetchval(  # type: ignore[no-any-return]
        _Q["lease"], tenant, source, most, holder, lease_s
    )


async def release(connection: Any, tenant: str, source: str, slot: int, holder: UUID) -> None:
    """Give a place back."""
    await connection.execute(_Q["release"], tenant, source, slot, holder)


async def renew(connection: Any, tenant: str, source: str, slot: int, holder: UUID, lease_s: float) -> None:
    """The place is held for another request."""
    await connection.execute(_Q["renew"], tenant, source, slot, holder, lease_s)
