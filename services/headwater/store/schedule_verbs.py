"""What people do to a schedule: the state that it is in, and when it is due after that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.contracts.calendars import Calendar
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import timetable_of
from headwater.model.schedule import Timetable, next_after
from headwater.store.queries import queries

_Q = queries("schedule_verbs")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """What becomes of a schedule. `reason`: why it is in `state`, as a person or a timer says it."""

    state: str
    next_at: datetime | None
    is_enabled: bool
    reason: str | None = None
    paused_by: str | None = None
    paused_until: datetime | None = None


async def lock(connection: Any, tenant: str, name: str) -> Row | None:
    """The schedule's row and the database's `now`; nobody else changes it until the transaction ends."""
    return await connection.fetchrow(_Q["lock"], tenant, name)  # type: ignore[no-any-return]


async def read(connection: Any, tenant: str, name: str) -> Row | None:
    """As `lock`, while others may change it."""
    return await connection.fetchrow(_Q["read"], tenant, name)  # type: ignore[no-any-return]


async def set_state(connection: Any, tenant: str, name: str, new: State) -> None:
    await connection.execute(
        _Q["set_state"], tenant, name, new.state, new.reason, new.next_at, new.is_enabled, new.paused_by,
        new.paused_until,
    )  # fmt: skip


async def resumable(connection: Any, limit: int) -> Sequence[Row]:
    """Paused schedules whose time is up, locked."""
    return await connection.fetch(_Q["resumable"], limit)  # type: ignore[no-any-return]


def timetable_of_row(row: Row, tenant: str) -> Timetable | None:
    """The times of the schedule in `row` (definition, calendars); None for a manual one.

    Raises: ConfigError, ValueError when they cannot be computed.
    """
    calendars = {name: Calendar.model_validate(each) for name, each in row["calendars"].items()}
    return timetable_of(Schedule.model_validate(row["definition"]), tenant, calendars=calendars)


def at_work(row: Row, tenant: str, after: datetime) -> State:
    """The state of a schedule that goes on after `after`: active, or expired where nothing is due any more."""
    timetable = timetable_of_row(row, tenant)
    if timetable is None:
        return State("active", None, is_enabled=True)
    next_at = next_after(timetable, after)
    if next_at is None:
        return State("expired", None, is_enabled=True, reason="over")
    return State("active", next_at, is_enabled=True)
