"""Following an endpoint's deliveries as they are stored: what `headwater listen` asks, again and again."""

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.control.endpoints import endpoint_of
from headwater.control.problems import Refusal, invalid
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.model.errors import ConfigError
from headwater.store import deliveries
from headwater.store.deliveries import Position

MAX_WAIT_S = 25.0
LOOK_S = 0.25
MAX_WAITING = 64  # callers that wait at the same time, in this process
_BEHIND_EVERYTHING = "now"


class FollowQuery(Closed):
    """What came after a position. Without one: nothing yet, only the position of this moment."""

    after: Annotated[
        str | None,
        Field(max_length=128, description="`position` of an answer before; `beginning`: all that is kept."),
    ] = None
    wait_s: Annotated[
        float,
        Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False, description="How long to wait for the first one."),
    ] = 0.0
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class FollowedDelivery(Answer):
    """A delivery as it came. `position` is where to go on after it; headers in wire order, latin-1."""

    position: str
    id: UUID
    received_at: datetime
    state: str
    type: str | None
    provider_id: str | None
    method: str
    url: str
    headers: list[tuple[str, str]]
    body_base64: str


class Followed(Answer):
    """Deliveries in the order in which they were stored, each once; `position` is where to go on."""

    items: list[FollowedDelivery]
    position: str


class Listening:
    """The handler, and how many wait in it."""

    def __init__(self) -> None:
        self._waiting = 0

    async def follow(self, desk: Desk, call: Call[FollowQuery, None]) -> Reply:
        """Answers as soon as there is something, or when the time is over."""
        if self._waiting >= MAX_WAITING:
            raise Refusal(503, "Too many listen at the same time", headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            return await self._followed(desk, call)
        finally:
            self._waiting -= 1

    async def _followed(self, desk: Desk, call: Call[FollowQuery, None]) -> Reply:
        position = await _begin(desk, call)
        deadline = desk.clock.monotonic() + call.query.wait_s
        while True:
            async with desk.acting(call) as connection:
                rows = await deliveries.follow(
                    connection, call.tenant, call.path["endpoint"], position, call.query.limit
                )
            rest_s = deadline - desk.clock.monotonic()
            if rows or rest_s <= 0 or desk.ending.is_set():
                break
            await _pause(min(LOOK_S, rest_s), desk.ending)
        items = [_view(at, row) for at, row in rows]
        return Reply({"items": items, "position": str(rows[-1][0] if rows else position)})


async def _pause(seconds: float, ending: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ending.wait()


async def _begin(desk: Desk, call: Call[FollowQuery, None]) -> Position:
    async with desk.acting(call) as connection:
        await endpoint_of(connection, call)
        if call.query.after is None or call.query.after == _BEHIND_EVERYTHING:
            return await deliveries.newest_position(connection)
    if call.query.after == "beginning":
        return deliveries.BEGINNING
    try:
        return Position.of(call.query.after)
    except ConfigError as error:
        raise invalid("A parameter is not valid", [{"parameter": "after", "detail": str(error)}]) from error


def _view(at: Position, row: Mapping[str, Any]) -> dict[str, Any]:
    same = ("id", "received_at", "state", "type", "provider_id", "method", "url", "headers")
    return {
        **{name: row[name] for name in same},
        "position": str(at),
        "body_base64": base64.b64encode(bytes(row["body"])).decode(),
    }


def make_follow() -> Any:
    """The handler of `endpoints/{endpoint}/follow`."""
    listening = Listening()

    async def follow_endpoint(desk: Desk, call: Call[FollowQuery, None]) -> Reply:
        return await listening.follow(desk, call)

    return follow_endpoint
