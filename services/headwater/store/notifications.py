"""Notifications: rules, what happened, one row for each event and target, and each attempt to send it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.model.ids import derive_id, derive_key_id, time_of, to_millisecond
from headwater.model.topics import routing_key
from headwater.store import outbox
from headwater.store.outbox import OutboxRow
from headwater.store.queries import queries

_Q = queries("notifications")
Row = Mapping[str, Any]
EVENTS_EXCHANGE = "headwater.events"
HAPPENING_DAYS = 30


@dataclass(frozen=True, slots=True)
class Planned:
    """A notification to be. `event_key` names the event; with the target it makes the id."""

    event_key: str
    at: datetime
    tenant: str
    rule: str | None
    event: str
    kind: str
    target: str
    address: str
    definition: Mapping[str, Any]
    content: Mapping[str, Any]
    schedule: str | None = None
    stream: str | None = None
    endpoint: str | None = None
    run_id: UUID | None = None

    @property
    def id(self) -> UUID:
        """Unique on (event, target); it carries the moment of the event."""
        return derive_id(self.at, "notification", self.tenant, self.event_key, self.target)


async def insert(connection: Any, planned: Sequence[Planned]) -> int:
    """Insert those that are not there yet; gives how many."""
    if not planned:
        return 0
    unique = list({each.id: each for each in planned}.values())
    columns = [
        [each.id for each in unique], [to_millisecond(each.at) for each in unique], [each.tenant for each in unique],
        [each.rule for each in unique], [each.event for each in unique], [each.schedule for each in unique],
        [each.stream for each in unique], [each.endpoint for each in unique], [each.run_id for each in unique],
        [each.kind for each in unique], [each.target for each in unique], [each.address for each in unique],
        [dumps(dict(each.definition)).decode() for each in unique],
        [dumps(dict(each.content)).decode() for each in unique],
    ]  # fmt: skip
    return int(await connection.fetchval(_Q["insert"], *columns))


async def rules_of(connection: Any, tenants: Sequence[str]) -> Sequence[Row]:
    """The rules in force of these tenants."""
    return await connection.fetch(_Q["rules"], list(tenants))  # type: ignore[no-any-return]


async def stops_of(connection: Any, tenants: Sequence[str]) -> frozenset[tuple[str, str]]:
    """(tenant, target) of what said that it is gone."""
    return frozenset(
        (row["tenant"], row["target"]) for row in await connection.fetch(_Q["stops"], list(tenants))
    )


async def schedules_of(connection: Any, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    """What these schedules (tenant, name) say about notifications."""
    rows = await connection.fetch(_Q["schedules"], [each[0] for each in names], [each[1] for each in names])
    return {(row["tenant"], row["name"]): row for row in rows}


async def named_of(connection: Any, tenants: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Rules (tenant, name) that some schedule names."""
    return frozenset(
        (row["tenant"], row["name"]) for row in await connection.fetch(_Q["named"], list(tenants))
    )


async def tenants_with_secret(connection: Any, tenants: Sequence[str], name: str) -> frozenset[str]:
    """Which of the tenants have a secret of that name."""
    return frozenset(row["tenant"] for row in await connection.fetch(_Q["with_secret"], list(tenants), name))


async def failures_before(
    connection: Any, tenant: str, stream: str, schedule: str | None, run_id: UUID, due_at: datetime, ended_at: datetime
) -> int:  # fmt: skip
    """How many runs of the stream (and schedule) failed in a row before this one; at most 100 are looked at."""
    source, _, name = stream.partition(".")
    rows = await connection.fetch(_Q["earlier_ends"], tenant, source, name, due_at, run_id, schedule)
    earlier = sorted(
        (row for row in rows if row["finished_at"] is not None and row["finished_at"] <= ended_at),
        key=lambda row: row["finished_at"],
        reverse=True,
    )
    count = 0
    for row in earlier:
        if row["state"] == "succeeded":
            break
        count += row["state"] == "failed"
    return count


async def claim(
    connection: Any, limit: int, per_target: int, busy: Sequence[str], lease_s: float
) -> Sequence[Row]:
    """Due notifications, taken for `lease_s` seconds. `busy`: targets (tenant/target) that take no more now."""
    return await connection.fetch(_Q["claim"], limit, per_target, list(busy), lease_s)  # type: ignore[no-any-return]


async def next_due_s(connection: Any) -> float | None:
    value = await connection.fetchval(_Q["next_due_s"])
    return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send the notification of `row` (as claimed), and what came of it."""

    begun_at: datetime
    duration_s: float
    outcome: str
    status: int | None
    error: str | None
    answer: str | None


async def settle(connection: Any, row: Row, attempt: Attempt, state: str, delay_s: float = 0.0) -> bool:
    """Record the attempt and the notification's new state (sent, dead, or waiting for another `delay_s` seconds).

    A notification that dies is an event. False when somebody else has taken it meanwhile.
    """
    at, identifier = row["created_at"], row["id"]
    await connection.execute(
        _Q["record_attempt"], identifier, at, row["attempt_count"], row["tenant"], attempt.begun_at,
        attempt.duration_s, attempt.outcome, attempt.status, attempt.error, attempt.answer,
    )  # fmt: skip
    settled = await connection.fetchval(
        _Q["settle"], at, identifier, state, delay_s, attempt.error, row["attempt_count"]
    )
    if settled is not None and state == "dead":
        await _tell_of_death(connection, row, attempt)
    return settled is not None


async def _tell_of_death(connection: Any, row: Row, attempt: Attempt) -> None:
    identifier = derive_id(row["created_at"], "notification.dead", row["id"], row["attempt_count"])
    name = row["rule"] or f"schedule_{row['schedule']}"
    body = {
        "tenant": row["tenant"], "notification": row["rule"], "schedule": row["schedule"], "id": str(row["id"]),
        "event": row["event"], "kind": row["kind"], "address": row["address"], "attempts": row["attempt_count"],
        "status": attempt.status, "error": attempt.error,
    }  # fmt: skip
    headers = cloud_headers(identifier, row["tenant"], "notification.dead", f"notifications/{row['id']}")
    topic = routing_key(row["tenant"], "notification", name, "dead")
    await outbox.add(
        connection, OutboxRow(identifier, row["tenant"], topic, dumps(body), headers, EVENTS_EXCHANGE)
    )


def cloud_headers(identifier: UUID, tenant: str, kind: str, subject: str) -> dict[str, str]:
    """CloudEvents 1.0 attributes as AMQP headers."""
    return {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": str(identifier),
        "cloudEvents:type": f"headwater.{kind}",
        "cloudEvents:source": f"/tenants/{tenant}",
        "cloudEvents:subject": subject,
    }


async def owe_event(connection: Any, topic: str, identifier: UUID, tenant: str, body: bytes) -> None:
    """Leave an event for subscribers of `topic` to the relay."""
    headers = cloud_headers(identifier, tenant, "notification", f"notifications/{identifier}")
    await outbox.add(connection, OutboxRow(identifier, tenant, topic, body, headers, EVENTS_EXCHANGE))


async def give_back(connection: Any, row: Row, delay_s: float) -> None:
    """The attempt was cut short by our own trouble: it does not count."""
    await connection.execute(_Q["give_back"], row["created_at"], row["id"], delay_s, row["attempt_count"])


async def stop_target(connection: Any, tenant: str, target: str, reason: str) -> None:
    """The target is gone: stop telling it, and end what waits for it."""
    await connection.execute(_Q["stop"], tenant, target, reason)
    await connection.execute(_Q["end_waiting"], tenant, target, reason)


async def unplanned(connection: Any, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["unplanned"], limit)  # type: ignore[no-any-return]


async def mark_planned(connection: Any, ids: Sequence[UUID]) -> None:
    await connection.execute(_Q["mark_planned"], list(ids))


async def happened(
    connection: Any, tenant: str, event: str, subject_kind: str, subject: str, detail: Row, *key: object
) -> bool:
    """Something happened, named by `key`: in the caller's transaction, once. False when it is known already."""
    identifier = derive_key_id("happening", tenant, event, subject_kind, subject, *key)
    row = await connection.fetchval(
        _Q["happened"], identifier, tenant, event, subject_kind, subject, dict(detail)
    )
    return row is not None


async def sweep(connection: Any) -> None:
    await connection.execute(_Q["sweep_happenings"], HAPPENING_DAYS)


async def may_look(connection: Any, what: Literal["late", "silent"] = "late") -> bool:
    """Whether the caller's transaction is the one that looks for what is late, or silent."""
    return bool(await connection.fetchval(_Q["lock_look"], what))


async def late_limits(connection: Any) -> dict[str, list[int | None]]:
    """For each tenant that wants to hear of late runs: the chosen times in seconds, None for the habit."""
    found: dict[str, list[int | None]] = {}
    for row in await connection.fetch(_Q["late_limits"]):
        found.setdefault(row["tenant"], []).append(row["late_after_s"])
    return found


async def wanting_silence(connection: Any) -> list[str]:
    """The tenants in which somebody wants to hear of silent schedules."""
    return [row["tenant"] for row in await connection.fetch(_Q["wanting_silence"])]


async def open_runs(connection: Any, tenants: Sequence[str], least_age_s: float) -> Sequence[Row]:
    return await connection.fetch(_Q["open_runs"], list(tenants), least_age_s)  # type: ignore[no-any-return]


async def unfired(connection: Any, tenants: Sequence[str], least_age_s: float) -> Sequence[Row]:
    return await connection.fetch(_Q["unfired"], list(tenants), least_age_s)  # type: ignore[no-any-return]


async def put_rule(connection: Any, tenant: str, name: str, definition: Row, *, enabled: bool) -> None:
    await connection.execute(_Q["put_rule"], tenant, name, dict(definition), enabled)


async def delete_rule(connection: Any, tenant: str, name: str) -> bool:
    await connection.execute(_Q["forget_stops"], tenant, name)
    return await connection.fetchval(_Q["delete_rule"], tenant, name) is not None


async def list_rules(connection: Any, tenant: str, *, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["list_rules"], tenant, after, limit)  # type: ignore[no-any-return]


async def rule_names(connection: Any, tenant: str) -> frozenset[str]:
    return frozenset(row["name"] for row in await connection.fetch(_Q["rule_names"], tenant))


async def get_rule(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["get_rule"], tenant, name)  # type: ignore[no-any-return]


async def forget_stops(connection: Any, tenant: str, name: str) -> None:
    """Targets of the rule that were gone are told again."""
    await connection.execute(_Q["forget_stops"], tenant, name)


async def users_of(connection: Any, tenant: str, name: str) -> list[str]:
    """Schedules that name the rule; the first 20."""
    return [row["name"] for row in await connection.fetch(_Q["users"], tenant, name)]


async def list_notifications(
    connection: Any,
    tenant: str,
    *,
    state: str | None = None,
    rule: str | None = None,
    event: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schedule: str | None = None,
    run_id: UUID | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Sequence[Row]:
    """Notifications of a tenant, newest first."""
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["list"], tenant, state, rule, event, since, until, at, identifier, schedule, run_id, limit
    )


async def get(connection: Any, tenant: str, identifier: UUID) -> Row | None:
    return await connection.fetchrow(_Q["get"], tenant, time_of(identifier), identifier)  # type: ignore[no-any-return]


async def attempts_of(connection: Any, identifier: UUID) -> Sequence[Row]:
    return await connection.fetch(_Q["attempts"], time_of(identifier), identifier)  # type: ignore[no-any-return]


async def redeliver(connection: Any, tenant: str, identifier: UUID) -> bool:
    """Let it go again under its own id; False when it is on its way now, or not there."""
    return await connection.fetchval(_Q["redeliver"], tenant, time_of(identifier), identifier) is not None


async def count_waiting(connection: Any) -> tuple[int, int]:
    """How many wait, and how many died in the last day, over all tenants."""
    row = await connection.fetchrow(_Q["count_waiting"])
    return row["waiting"], row["dead"]
