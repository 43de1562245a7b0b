"""Endpoints at work: the receivers' snapshot, what came to them, their secrets' use, their handshakes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.model.secret import Secret
from headwater.store import config
from headwater.store.keyring import Keyring
from headwater.store.queries import queries

_Q = queries("endpoints")
COUNT_DAYS = 15
DEFAULT_RETENTION_DAYS = 30
_FORGET_AT_ONCE = 5000
Row = Mapping[str, Any]


def handshake_secret_name(endpoint: str) -> str:
    """The name under which the secret stands that the endpoint's provider handed over."""
    return f"endpoint/{endpoint}/handshake"


async def snapshot(connection: Any, known: Sequence[tuple[str, str, datetime]]) -> Sequence[Row]:
    """Every enabled endpoint; `definition` is None for those of `known` that did not change."""
    columns = ([each[at] for each in known] for at in range(3))
    return await connection.fetch(_Q["snapshot"], *columns)  # type: ignore[no-any-return]


async def sealed(connection: Any, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """The secrets (tenant, name) that exist, as they are kept."""
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    rows = await connection.fetch(_Q["sealed"], [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return {(row["tenant"], row["name"]): bytes(row["sealed"]) for row in rows}


async def one_enabled(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["one"], tenant, name)  # type: ignore[no-any-return]


async def changed(connection: Any, known: Sequence[tuple[str, str, datetime | None]]) -> Sequence[Row]:
    """Of (tenant, name, time of the change that is known) those that exist; `definition` only where it changed."""
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["changed"], [each[0] for each in known], [each[1] for each in known], [each[2] for each in known]
    )


@dataclass(frozen=True, slots=True)
class Count:
    """Requests of one outcome (`accepted`, `handshake`, `refused:<reason>`) in one slot of five minutes."""

    tenant: str
    endpoint: str
    slot: datetime
    outcome: str
    request_count: int
    last_at: datetime


async def count(connection: Any, counts: Sequence[Count]) -> None:
    """Add to the counts."""
    await connection.execute(
        _Q["count"],
        [c.tenant for c in counts], [c.endpoint for c in counts], [c.slot for c in counts],
        [c.outcome for c in counts], [c.request_count for c in counts], [c.last_at for c in counts],
    )  # fmt: skip


async def counts_since(connection: Any, tenant: str, endpoint: str, since: datetime) -> Sequence[Row]:
    return await connection.fetch(_Q["counts"], tenant, endpoint, since)  # type: ignore[no-any-return]


async def last_delivery_at(connection: Any, tenant: str, endpoint: str) -> datetime | None:
    """When something was last accepted, within the days that counts are kept."""
    return await connection.fetchval(_Q["last_delivery"], tenant, endpoint)  # type: ignore[no-any-return]


async def oldest_delivery_at(connection: Any, tenant: str, endpoint: str) -> datetime | None:
    """When the oldest delivery came that is still kept."""
    return await connection.fetchval(_Q["oldest_delivery"], tenant, endpoint)  # type: ignore[no-any-return]


async def deliveries_since(connection: Any, tenant: str, endpoint: str, since: datetime) -> dict[str, int]:
    """Deliveries by state."""
    rows = await connection.fetch(_Q["deliveries_since"], tenant, endpoint, since)
    return {row["state"]: row["delivery_count"] for row in rows}


async def duplicates_since(connection: Any, tenant: str, endpoint: str, since: datetime) -> int:
    return int(await connection.fetchval(_Q["duplicates_since"], tenant, endpoint, since))


async def remove(connection: Any, tenant: str, endpoint: str) -> None:
    """Remove the endpoint; see `forget` for what is kept beside it."""
    await connection.execute(_Q["remove"], tenant, endpoint)


async def switch(connection: Any, tenant: str, endpoint: str, *, is_on: bool) -> None:
    await connection.execute(_Q["switch"], tenant, endpoint, is_on)


async def sweep_counts(connection: Any) -> None:
    await connection.execute(_Q["sweep_counts"], COUNT_DAYS)


async def note_uses(connection: Any, uses: Iterable[tuple[str, str, str, datetime, int]]) -> None:
    """Note (tenant, endpoint, name of the secret, last use, how often)."""
    rows = list(uses)
    await connection.execute(_Q["note_uses"], *([row[at] for row in rows] for at in range(5)))


async def secret_uses(connection: Any, tenant: str, endpoint: str, names: Sequence[str]) -> dict[str, Row]:
    """Of each secret that exists: `updated_at`, `last_used_at`, `use_count` by this endpoint."""
    rows = await connection.fetch(_Q["secret_uses"], tenant, endpoint, list(names))
    return {row["name"]: row for row in rows}


async def keep_handshake_secret(
    connection: Any, keyring: Keyring, tenant: str, endpoint: str, secret: Secret
) -> bool:
    """Seal and keep the secret that the provider handed over; False when the endpoint has one, or is gone."""
    name = handshake_secret_name(endpoint)
    sealed = keyring.seal(tenant, name, secret)
    return bool(
        await connection.fetchval(
            _Q["keep_handshake_secret"], tenant, endpoint, name, sealed, keyring.active_id
        )
    )


async def handshake(connection: Any, tenant: str, endpoint: str) -> Row | None:
    """Since when the endpoint has the provider's secret, and whether an operator saw it; None: it awaits it."""
    return await connection.fetchrow(_Q["handshake"], tenant, endpoint)  # type: ignore[no-any-return]


async def show_handshake_secret(
    connection: Any, keyring: Keyring, tenant: str, endpoint: str
) -> Secret | None:
    """The secret that the provider handed over, once; None when there is none, or it was shown."""
    name = await connection.fetchval(_Q["show_handshake"], tenant, endpoint)
    if name is None:
        return None
    return (await config.get_secrets(connection, keyring, [(tenant, name)])).get((tenant, name))


async def forget_handshake(connection: Any, tenant: str, endpoint: str) -> bool:
    """Let the endpoint await its handshake again; announce the change in the same transaction."""
    gone = await connection.fetchval(_Q["forget_handshake"], tenant, endpoint)
    await config.announce_change(connection, tenant)
    return gone is not None


async def forget(connection: Any, tenant: str, endpoint: str) -> None:
    """Remove what is kept beside an endpoint that goes; its deliveries stay for as long as they are kept."""
    await connection.execute(_Q["forget"], tenant, endpoint)


async def longest_retention_days(connection: Any) -> int:
    """The days after which no endpoint keeps a delivery."""
    rows = await connection.fetch(_Q["retentions"], DEFAULT_RETENTION_DAYS)
    return max([DEFAULT_RETENTION_DAYS, *(int(row["days"]) for row in rows)])


async def forget_old_deliveries(connection: Any) -> int:
    """Remove deliveries of endpoints that keep them for less than the partitions stand; gives how many.

    At most some thousands of each endpoint at a time: call it again while it removes something.
    """
    rows = await connection.fetch(_Q["retentions"], DEFAULT_RETENTION_DAYS)
    longest = max([DEFAULT_RETENTION_DAYS, *(row["days"] for row in rows)])
    gone = 0
    for row in rows:
        if row["days"] < longest:
            gone += int(
                await connection.fetchval(
                    _Q["forget_deliveries"], row["tenant"], row["name"], row["days"], _FORGET_AT_ONCE
                )
            )
    return gone


async def streams_there(
    connection: Any, wanted: Sequence[tuple[str, str, str]]
) -> frozenset[tuple[str, str, str]]:
    """Which of `wanted` (tenant, source, stream) there are."""
    columns = ([each[at] for each in wanted] for at in range(3))
    rows = await connection.fetch(_Q["streams_there"], *columns)
    return frozenset((row["tenant"], row["source"], row["name"]) for row in rows)
