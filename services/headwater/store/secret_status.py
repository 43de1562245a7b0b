"""Which of an endpoint's secrets are at work, and which may go: what a rotation is steered by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.endpoints import SecretWindow
from headwater.store import endpoints

QUIET = timedelta(hours=24)  # a secret is watched for so long before it may go: some senders come once a day
_BEGINNING = "${secret:"
State = Literal["pending", "active", "expired", "missing"]


@dataclass(frozen=True, slots=True)
class SecretState:
    """One secret by its place and name, never its value.

    `watched_since`: since when this value stands under the name. `why` explains `is_safe_to_retire`.
    """

    index: int
    name: str
    state: State
    not_before: datetime | None
    not_after: datetime | None
    watched_since: datetime | None
    last_used_at: datetime | None
    use_count: int
    is_safe_to_retire: bool
    why: str


async def status_of(
    connection: Any,
    tenant: str,
    endpoint: str,
    definition: Mapping[str, Any],
    *,
    now: datetime | None = None,
    quiet: timedelta = QUIET,
) -> list[SecretState]:
    """The endpoint's secrets in their order. `definition` is the stored one."""
    moment = now or datetime.now(UTC)
    windows = [
        each if isinstance(each, SecretWindow) else SecretWindow(value=each)
        for each in Endpoint.model_validate(definition).secrets
    ]
    learnt = await endpoints.handshake(connection, tenant, endpoint)
    if learnt is not None:
        windows.append(SecretWindow(value=f"{_BEGINNING}{learnt['secret']}}}"))
    names = [each.value.removeprefix(_BEGINNING).removesuffix("}") for each in windows]
    rows = await endpoints.secret_uses(connection, tenant, endpoint, names)
    return [_judged(index, windows, names, rows, moment, quiet) for index in range(len(windows))]


def _judged(
    index: int,
    windows: Sequence[SecretWindow],
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, Any]],
    now: datetime,
    quiet: timedelta,
) -> SecretState:
    window, row = windows[index], rows.get(names[index])
    state = _state(window, row, now)
    last = _last_use(row)
    others = [
        used
        for place, name in enumerate(names)
        if place != index and _state(windows[place], rows.get(name), now) == "active"
        for used in (_last_use(rows.get(name)),)
        if used is not None
    ]
    is_safe, why = _may_go(state, row, last, max(others, default=None), now, quiet)
    return SecretState(
        index=index,
        name=names[index],
        state=state,
        not_before=window.not_before,
        not_after=window.not_after,
        watched_since=None if row is None else row["updated_at"],
        last_used_at=last,
        use_count=0 if row is None or last is None else row["use_count"],
        is_safe_to_retire=is_safe,
        why=why,
    )


def _state(window: SecretWindow, row: Mapping[str, Any] | None, now: datetime) -> State:
    if row is None:
        return "missing"
    if window.not_before is not None and now < window.not_before:
        return "pending"
    return "expired" if window.not_after is not None and now >= window.not_after else "active"


def _last_use(row: Mapping[str, Any] | None) -> datetime | None:
    """The last use of this value; one before it was set was another value's."""
    if row is None or row["last_used_at"] is None or row["last_used_at"] < row["updated_at"]:
        return None
    return row["last_used_at"]  # type: ignore[no-any-return]


def _may_go(
    state: State,
    row: Mapping[str, Any] | None,
    last: datetime | None,
    others: datetime | None,
    now: datetime,
    quiet: timedelta,
) -> tuple[bool, str]:
    hours = f"{quiet.total_seconds() / 3600:g} h"
    if state in ("expired", "missing") or row is None:
        return True, "it does not count any more"
    if state == "pending":
        return False, "its time has not come"
    if last is not None and now - last < quiet:
        return False, f"it verified something within the last {hours}"
    if now - row["updated_at"] < quiet:
        return False, f"it is watched for less than {hours}"
    if others is None or now - others > quiet:
        return False, f"no other secret verified anything within the last {hours}"
    return True, f"it verified nothing for {hours}, and another secret did"
