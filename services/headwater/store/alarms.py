"""Alarms of endpoints: quiet for longer than their habit, or refusing too much.

An alarm is on while its row is there. Each change is an event on `headwater.events`, owed by its transaction:
`<tenant>.endpoint.<name>.silence|refusals`, with `state` on or off in its body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.contracts.codec import dumps
from headwater.model.ids import derive_id
from headwater.model.topics import EXCHANGE, event_headers, routing_key
from headwater.store import outbox
from headwater.store.outbox import OutboxRow
from headwater.store.queries import queries

_Q = queries("alarms")
SILENCE = "silence"
REFUSALS = "refusals"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is on. `detail`: what was counted, and the limit."""

    tenant: str
    endpoint: str
    kind: str
    detail: Mapping[str, Any]


async def look(connection: Any) -> int:
    """Raise and clear alarms in the caller's transaction; gives how many changed.

    Nothing when another one looks at this moment.
    """
    if not await connection.fetchval(_Q["lock"]):
        return 0
    due = {(each.tenant, each.endpoint, each.kind): each for each in await _due(connection)}
    on = {(row["tenant"], row["endpoint"], row["kind"]): row for row in await connection.fetch(_Q["current"])}
    for key, alarm in due.items():
        if key not in on:
            since = await connection.fetchval(_Q["raise"], *key, dict(alarm.detail))
            if since is not None:
                await _tell(connection, key, "on", since, since, alarm.detail)
    for key in on.keys() - due.keys():
        cleared = await connection.fetchrow(_Q["clear"], *key)
        if cleared is not None:
            await _tell(connection, key, "off", cleared["since"], cleared["cleared_at"], on[key]["detail"])
    return len(due.keys() ^ on.keys())


async def _due(connection: Any) -> list[Alarm]:
    silent = [
        Alarm(
            row["tenant"],
            row["name"],
            SILENCE,
            {"quiet_since": row["quiet_since"].isoformat(), "limit_s": row["limit_s"]},
        )
        for row in await connection.fetch(_Q["silences"])
    ]
    refusing = [
        Alarm(
            row["tenant"],
            row["name"],
            REFUSALS,
            {
                "requests": row["request_count"],
                "refused": row["refused_count"],
                "limit_rate": row["limit_rate"],
            },
        )
        for row in await connection.fetch(_Q["refusal_rates"])
    ]
    return [*silent, *refusing]


async def _tell(
    connection: Any,
    key: tuple[str, str, str],
    state: str,
    since: datetime,
    at: datetime,
    detail: Mapping[str, Any],
) -> None:
    tenant, endpoint, kind = key
    identifier = derive_id(since, "alarm", tenant, endpoint, kind, state)
    body = {"tenant": tenant, "endpoint": endpoint, "alarm": kind, "state": state, "since": since.isoformat()}
    headers = event_headers(
        tenant,
        identifier=str(identifier),
        kind=f"endpoint.{kind}",
        subject=f"endpoints/{endpoint}",
        at=at,
        source=f"endpoints/{endpoint}",
    )
    topic = routing_key(tenant, "endpoint", endpoint, kind)
    row = OutboxRow(
        identifier, tenant, topic, dumps({**body, "detail": dict(detail)}), headers, exchange=EXCHANGE
    )
    await outbox.add(connection, row)


async def current(connection: Any) -> Sequence[Mapping[str, Any]]:
    """Every alarm that is on."""
    return await connection.fetch(_Q["current"])  # type: ignore[no-any-return]


async def of_tenant(connection: Any, tenant: str) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["of_tenant"], tenant)  # type: ignore[no-any-return]
