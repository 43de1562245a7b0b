"""How long a tenant's history is kept, and what is beyond it."""

from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.store import catalogue, retention
from headwater.store.retention import Keep

Days = Annotated[int | None, Field(ge=1, le=36_500)]


class Retention(Closed):
    """Days that runs, notifications and dead letters that are done with, and the audit, are kept; null: as
    headwater's settings say.

    Deliveries have a retention of their own in their endpoints.
    """

    runs_days: Days = None
    notifications_days: Days = None
    dead_letters_days: Days = None
    audit_days: Days = None


class RetentionSeen(Answer):
    """The days in force. `own` are those that the tenant said itself."""

    runs_days: int
    notifications_days: int
    dead_letters_days: int
    audit_days: int
    own: list[str]


def _seen(own: dict[str, Any], keep: Keep) -> dict[str, Any]:
    names = ("runs_days", "notifications_days", "dead_letters_days", "audit_days")
    return {**{name: own.get(name) or getattr(keep, name) for name in names}, "own": sorted(own)}


async def show_retention(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        row = await catalogue.get_tenant(connection, call.path["tenant"])
    if row is None:
        raise not_found("tenant")
    return Reply(_seen(row["settings"].get("retention", {}), desk.keep))


async def set_retention(desk: Desk, call: Call[NoQuery, Retention]) -> Reply:
    """From the next look on; what is beyond it goes then."""
    own = call.body.model_dump(exclude_none=True)
    async with desk.acting(call, admin=True) as connection:
        if not await retention.set_own(connection, call.path["tenant"], own):
            raise not_found("tenant")
    return Reply(_seen(own, desk.keep))
