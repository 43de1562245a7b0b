"""Rate limits shared by all workers: one row per key, reserved ahead (GCRA)."""

from collections.abc import Mapping
from typing import Any

from headwater.store.queries import queries

_Q = queries("limits")
LONGEST_RESERVED_S = 1.0  # what is waited in process; a longer wait frees the worker and reserves nothing


async def take(connection: Any, tenant: str, key: str, gap_s: float, burst: int) -> float:
    """Seconds to wait before the request; more than LONGEST_RESERVED_S: nothing was reserved, ask again then."""
    reserved = await connection.fetchval(_Q["take"], tenant, key, gap_s, burst, LONGEST_RESERVED_S)
    if reserved is not None:
        return max(0.0, float(reserved))
    wait = await connection.fetchval(_Q["wait_s"], tenant, key, gap_s, burst)
    return max(float(wait or 0.0), LONGEST_RESERVED_S + 0.001)


async def pause(connection: Any, tenant: str, key: str, wait_s: float) -> None:
    """Nothing under this key for `wait_s` seconds: the API asked for it."""
    await connection.execute(_Q["pause"], tenant, key, wait_s)


async def of_source(connection: Any, tenant: str, source: str) -> Mapping[str, Any] | None:
    """The source's rate limit as it is now; None without one."""
    return await connection.fetchval(_Q["of_source"], tenant, source)  # type: ignore[no-any-return]


async def paused_s(connection: Any, tenant: str, key: str) -> float:
    """Seconds of quiet that the API asked for and that are left; for sources without a limit of their own."""
    return max(0.0, float(await connection.fetchval(_Q["paused_s"], tenant, key) or 0.0))
