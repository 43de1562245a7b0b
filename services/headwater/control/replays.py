"""Replays: deliveries done again from their original bytes, one or by filter, counted before, slowed, cancelled."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_moment, listing, token_of
from headwater.control.problems import conflict, invalid, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.searching import Searched
from headwater.model.ids import derive_id
from headwater.store import catalogue, deliveries, idempotency, replays
from headwater.store.replays import Selection

SETTLED_STATES = ("done", "filtered", "dead")
_KEY_OPERATION = "replays"


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _in_utc(moment: datetime) -> datetime:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of the range of time") from None


Moment = Annotated[datetime, AfterValidator(_in_utc)]
Settled = Literal["done", "filtered", "dead"]


class ReplayFilter(Searched):
    """Which deliveries, and how. Without any restriction say `all`; `dry_run` only counts them.

    `state`: one or several of done, filtered, dead. `rate` is how many are done in a second; without it all at once.
    """

    ids: Annotated[tuple[UUID, ...], Field(max_length=1000)] = ()
    endpoint: Annotated[str | None, Field(max_length=63)] = None
    state: Annotated[tuple[Settled, ...], BeforeValidator(_one_or_more), Field(max_length=3)] = ()
    type: Annotated[str | None, Field(max_length=512)] = None
    since: Moment | None = None
    until: Moment | None = None
    all: bool = False
    dry_run: bool = False
    rate: Annotated[float | None, Field(gt=0, le=10_000, allow_inf_nan=False)] = None
    limit: Annotated[int, Field(ge=1, le=replays.MOST, description="How many at most.")] = replays.MOST

    @model_validator(mode="after")
    def _it_is_meant(self) -> Self:
        if not (self.dry_run or self.all or self.selection.told()):
            raise ValueError(
                "names no deliveries: give ids, endpoint, state, type, since, until, q, header or payload, or `all`"
            )
        return self

    @property
    def selection(self) -> Selection:
        said = {name: getattr(self, name) for name in Searched.model_fields}
        return Selection(
            self.ids, self.endpoint, self.state, self.type, self.since, self.until, self.search(), said
        )


class Asked(Answer):
    """What was asked for. `count` deliveries are taken, `by_state` tells what they are now; `id` names the request.

    `id` is null for a dry run. `estimated_s` is how long the rate spreads them.
    """

    id: UUID | None
    dry_run: bool
    count: int
    by_state: dict[str, int]
    estimated_s: float | None


class Replay(Answer):
    """A request for replays and how far it is. `counts` are its deliveries by what became of them.

    `superseded`: a later replay of the same delivery stands for it.
    """

    id: UUID
    state: Literal["running", "finished", "cancelled"]
    filter: dict[str, Any]
    rate: float | None
    count: int
    settled: int
    counts: dict[str, int]
    requested_by: str | None
    requested_at: datetime
    finished_at: datetime | None
    cancelled_at: datetime | None


class DeliveryReplay(Answer):
    """One replay of one delivery; `number` counts from 1."""

    number: int
    state: Literal["waiting", "done", "filtered", "dead", "superseded", "cancelled"]
    reason: str | None
    requested_by: str | None
    requested_at: datetime
    settled_at: datetime | None
    request: UUID | None


def replay_view(row: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: int(number) for name, number in row["states"].items()}
    waiting = counts.get("waiting", 0)
    state = "running" if waiting else "finished"
    if row["cancelled_at"] is not None:
        state = "cancelled"
    return {
        "id": row["id"],
        "state": state,
        "filter": row["selection"],
        "rate": row["rate_per_s"],
        "count": row["delivery_count"],
        "settled": sum(counts.values()) - waiting,
        "counts": counts,
        "requested_by": row["requested_by"],
        "requested_at": row["requested_at"],
        "finished_at": None if waiting else row["last_at"] or row["requested_at"],
        "cancelled_at": row["cancelled_at"],
    }


async def replay_deliveries(desk: Desk, call: Call[NoQuery, ReplayFilter]) -> Reply:
    """By filter; a dry run counts and changes nothing."""
    name = call.body.endpoint
    if name is not None:
        async with desk.acting(call) as connection:
            if await catalogue.get_endpoint(connection, call.tenant, name) is None:
                raise invalid_at(
                    "/endpoint", f"there is no endpoint {name!r} to do its deliveries again; correct the name"
                )
    return await _asked(desk, call, call.body.selection, call.body)


async def replay_delivery(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """One delivery, once more."""
    identifier = call.id("delivery")
    async with desk.acting(call) as connection:
        row = await deliveries.get(connection, identifier)
    if row is None:
        raise not_found("delivery")
    if row["state"] not in SETTLED_STATES:
        raise conflict("The delivery is not settled yet: there is nothing to do again")
    return await _asked(desk, call, Selection(ids=(identifier,)), None)


async def _asked(
    desk: Desk, call: Call[Any, Any], selection: Selection, wanted: ReplayFilter | None
) -> Reply:
    async with desk.acting(call) as connection:
        by_state = await replays.count(connection, call.tenant, selection)
        if wanted is not None and wanted.dry_run:
            return Reply(_told(None, min(sum(by_state.values()), wanted.limit), by_state, wanted), status=200)
        first = await _first_use(connection, call)
        if first is not None and not first.is_now and first.result is not None:
            known = await replays.requests(connection, call.tenant, request_id=first.result)
            count = known[0]["delivery_count"] if known else 0
            return _reply(_told(first.result, count, by_state, wanted))
        now = desk.clock.now() if first is None else first.at
        request_id = derive_id(now, "replays", call.tenant, call.key or os.urandom(16).hex())
        taken = await replays.request(
            connection,
            call.tenant,
            selection,
            requested_by=call.started_by,
            rate_per_s=None if wanted is None else wanted.rate,
            most=replays.MOST if wanted is None else wanted.limit,
            request_id=request_id,
        )
        if call.key is not None:
            await idempotency.keep_result(connection, call.tenant, _KEY_OPERATION, call.key, request_id)
    desk.bell.ring()
    return _reply(_told(request_id, taken, by_state, wanted))


async def _first_use(connection: Any, call: Call[Any, Any]) -> idempotency.FirstUse | None:
    if call.key is None:
        return None
    digest = call.digest + call.path.get("delivery", "").encode()
    first = await idempotency.claim(connection, call.tenant, _KEY_OPERATION, call.key, digest)
    if not first.is_now and first.digest != digest:
        detail = "was used for other deliveries: take another key"
        raise invalid("The Idempotency-Key is not valid", [{"header": "Idempotency-Key", "detail": detail}])
    return first


def _told(
    identifier: UUID | None, count: int, by_state: Mapping[str, int], wanted: ReplayFilter | None
) -> dict[str, Any]:
    rate = None if wanted is None else wanted.rate
    return {
        "id": identifier,
        "dry_run": identifier is None,
        "count": count,
        "by_state": dict(by_state),
        "estimated_s": None if rate is None else round(max(count - 1, 0) / rate, 3),
    }


def _reply(told: Mapping[str, Any]) -> Reply:
    return Reply(told, status=202, headers={"Location": f"{API}/replays/{told['id']}"})


async def list_replays(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        rows = await replays.requests(
            connection, call.tenant, limit=call.query.limit + 1, after=after_moment(call.query, "replays")
        )
    return Reply(
        listing(
            rows,
            call.query.limit,
            replay_view,
            lambda row: token_of("replays", row["requested_at"], row["id"]),
        )
    )


async def _found(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    rows = await replays.requests(connection, call.tenant, request_id=call.id("replay"))
    if not rows:
        raise not_found("replay")
    return rows[0]


async def show_replay(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        return Reply(replay_view(await _found(connection, call)))


async def cancel_replay(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """What waits is not done any more; what was done stays. A cancelled one stays so."""
    async with desk.acting(call) as connection:
        row = await _found(connection, call)
        if row["cancelled_at"] is None and not row["states"].get("waiting"):
            raise conflict("It is finished already: there is nothing left to cancel")
        await replays.cancel(connection, call.tenant, row["id"])
        row = await _found(connection, call)
    return Reply(replay_view(row))


async def list_delivery_replays(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """The newest hundred."""
    async with desk.acting(call) as connection:
        if await deliveries.get(connection, call.id("delivery")) is None:
            raise not_found("delivery")
        rows = await replays.of_delivery(connection, call.tenant, call.id("delivery"))
    names = [name for name in DeliveryReplay.model_fields if name != "request"]
    items = [{**{name: row[name] for name in names}, "request": row["request_id"]} for row in rows]
    return Reply({"items": items, "next": None})
