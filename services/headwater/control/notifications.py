"""Notifications: who is told of what, what was sent, and each attempt."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.contracts.notifications import Event, Notification
from headwater.control.paging import Instant, ListQuery, after_moment, after_name, in_utc, listing, token_of
from headwater.control.problems import conflict, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.trying import try_out
from headwater.plugins.notifiers.outlets import address_of, digest_of
from headwater.store import notifications

State = Literal["waiting", "sent", "dead"]
Kind = Literal["callback", "email", "slack", "teams", "amqp"]


class Stop(Answer):
    """A target that said that it is gone: nothing is sent there until the notification is enabled or written again."""

    reason: str
    stopped_at: datetime


class TargetSeen(Answer):
    """One target, without secrets."""

    type: Kind
    address: str
    stopped: Stop | None


class NotificationSeen(Answer):
    """Who is told of which events. Secrets in its definition are only named."""

    name: str
    description: str
    enabled: bool
    events: list[str]
    targets: list[TargetSeen]
    definition: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class TriedTarget(Answer):
    """One target and its answer to the test."""

    type: Kind
    address: str
    ok: bool
    status: int | None
    error: str | None
    answer: str | None
    duration_s: float


class NotificationTest(Answer):
    """`ok` when every target took the test."""

    ok: bool
    results: list[TriedTarget]


class SentQuery(ListQuery):
    """What was sent, newest first."""

    state: State | None = None
    notification: Annotated[str | None, Field(max_length=63)] = None
    event: Event | None = None
    schedule: Annotated[str | None, Field(max_length=63)] = None
    run: UUID | None = None
    since: Instant | None = None
    until: Annotated[Instant | None, Field(description="Before this moment.")] = None


class Sent(Answer):
    """One notification to one target. `notification` is null for a schedule's `callback_url`."""

    id: UUID
    notification: str | None
    event: str
    schedule: str | None
    stream: str | None
    endpoint: str | None
    run: UUID | None
    type: Kind
    address: str
    subject: str
    state: State
    attempts: int
    created_at: datetime
    next_at: datetime | None
    settled_at: datetime | None
    last_error: str | None


class SentAttempt(Answer):
    """One attempt. `answer` is the beginning of what the target said."""

    number: int
    at: datetime
    duration_s: float
    outcome: Literal["sent", "failed", "gone"]
    status: int | None
    error: str | None
    answer: str | None


class SentDetail(Sent):
    """With its text, its facts, and every attempt that told."""

    text: str
    facts: dict[str, Any]
    tries: list[SentAttempt]


def rule_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's row as the API tells it."""
    definition = row["definition"]
    rule = Notification.model_validate(definition)
    stops = {stop["target"].partition("/")[2]: stop for stop in row["stops"] or ()}
    return {
        **{name: row[name] for name in ("name", "enabled", "definition", "created_at", "updated_at")},
        "description": rule.description,
        "events": list(rule.events),
        "targets": [
            {
                "type": target.type,
                "address": address_of(target),
                "stopped": _stopped(stops.get(digest_of(target))),
            }
            for target in rule.everyone
        ],
    }


def _stopped(stop: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if stop is None else {"reason": stop["reason"], "stopped_at": stop["stopped_at"]}


def sent_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """A notification's row as the API tells it."""
    same = (
        "id", "event", "schedule", "stream", "endpoint", "address", "subject", "state", "created_at", "next_at",
        "settled_at", "last_error",
    )  # fmt: skip
    return {
        **{name: row[name] for name in same},
        "notification": row["rule"],
        "run": row["run_id"],
        "type": row["kind"],
        "attempts": row["attempt_count"],
    }


async def list_notifications(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    after = after_name(call.query, "notifications")
    async with desk.acting(call) as connection:
        rows = await notifications.list_rules(
            connection, call.tenant, after=after, limit=call.query.limit + 1
        )
    return Reply(
        listing(rows, call.query.limit, rule_view, lambda row: token_of("notifications", row["name"]))
    )


async def rule_of(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    """The row of the rule that the address names. Raises: Refusal 404."""
    row = await notifications.get_rule(connection, call.tenant, call.path["notification"])
    if row is None:
        raise not_found("notification")
    return row


async def test_notification(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Really sent, now; also when it is disabled."""
    async with desk.acting(call) as connection:
        row = await rule_of(connection, call)
    rule = Notification.model_validate(row["definition"])
    tried = await try_out(desk.database, desk.keyring, desk.office, desk.clock, call.tenant, rule)
    desk.bell.ring()
    return Reply({"ok": all(each.ok for each in tried), "results": [asdict(each) for each in tried]})


async def list_sent(desk: Desk, call: Call[SentQuery, None]) -> Reply:
    query = call.query
    async with desk.acting(call) as connection:
        rows = await notifications.list_notifications(
            connection,
            call.tenant,
            state=query.state,
            rule=query.notification,
            event=query.event,
            since=in_utc(query.since),
            until=in_utc(query.until),
            schedule=query.schedule,
            run_id=query.run,
            after=after_moment(query, "sent"),
            limit=query.limit + 1,
        )
    return Reply(
        listing(rows, query.limit, sent_view, lambda row: token_of("sent", row["created_at"], row["id"]))
    )


async def show_sent(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        row = await _sent(connection, call)
        tries = await notifications.attempts_of(connection, row["id"])
    return Reply(detail_view(row, tries))


def detail_view(row: Mapping[str, Any], tries: Any) -> dict[str, Any]:
    """A notification with its text and its attempts."""
    return {
        **sent_view(row),
        "text": row["content"]["text"],
        "facts": row["content"]["facts"],
        "tries": [
            {
                **{name: each[name] for name in SentAttempt.model_fields if name != "at"},
                "at": each["begun_at"],
            }
            for each in tries
        ],
    }


async def _sent(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    row = await notifications.get(connection, call.tenant, call.id("sent"))
    if row is None:
        raise not_found("notification that was sent")
    return row


async def redeliver_sent(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Again, under its own id, with the whole retry table before it."""
    async with desk.acting(call) as connection:
        row = await _sent(connection, call)
        if not await notifications.redeliver(connection, call.tenant, row["id"]):
            raise conflict("It is on its way now, or will be within two minutes")
        row = await _sent(connection, call)
    return Reply(sent_view(row))
