"""Reads what planning needs from the database, a few queries for many events."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from headwater.contracts.notifications import Notification
from headwater.notifier.planning import CALLBACK_SECRET, Book, Wishes
from headwater.store import notifications


async def read_book(
    connection: Any, schedules: Iterable[tuple[str, str | None]], reach: Sequence[str] = ()
) -> Book:
    """The book for events of these (tenant, schedule). `reach`: private ranges that every callback may reach."""
    wanted = set(schedules)
    tenants = sorted({tenant for tenant, _ in wanted})
    names = sorted((tenant, name) for tenant, name in wanted if name is not None)
    rules: dict[str, list[Notification]] = {}
    for row in await notifications.rules_of(connection, tenants):
        try:
            rules.setdefault(row["tenant"], []).append(Notification.model_validate(row["definition"]))
        except ValidationError:
            continue  # of a later release: it is not ours to read
    wishes = {
        key: Wishes(
            _notified(row["notify"] or ()),
            row["callback_url"],
            tuple(row["streams"] or ()),
            (*reach, *(row["ranges"] or ())),
        )
        for key, row in (await notifications.schedules_of(connection, names) if names else {}).items()
    }
    if not rules and not any(each.callback_url for each in wishes.values()):
        return Book(wishes=wishes)
    return Book(
        rules,
        wishes,
        await notifications.named_of(connection, tenants),
        await notifications.stops_of(connection, tenants),
        await notifications.tenants_with_secret(connection, tenants, CALLBACK_SECRET),
    )


def _notified(items: Sequence[Any]) -> dict[str, frozenset[str] | None]:
    """A schedule's `notify`: names, or {events, to}."""
    found: dict[str, frozenset[str] | None] = {}
    for item in items:
        if isinstance(item, str):
            found[item] = None
            continue
        for name in item["to"]:
            known = found.get(name, frozenset())
            found[name] = None if known is None else known | frozenset(item["events"])
    return found
