"""What a run's end is to those who want to be told: its state, and whether it is well again."""

from collections.abc import Sequence
from typing import Any

from headwater.contracts.messages import RunFinished
from headwater.notifier.book import read_book
from headwater.notifier.planning import Book, plan
from headwater.plugins.notifiers.wording import Event, of_run
from headwater.store import notifications

_LOOKS_BACK = {"failed": ("failed",), "succeeded": ("recovered", "failed")}


async def plan_ends(
    connection: Any, ends: Sequence[RunFinished], public_url: str, reach: Sequence[str]
) -> int:
    """Insert the notifications of these ends in the caller's transaction; gives how many are new."""
    book = await read_book(connection, ((each.tenant, each.schedule) for each in ends), reach)
    if not book.rules and not any(wishes.callback_url for wishes in book.wishes.values()):
        return 0
    planned = []
    for finished in ends:
        for event in await _events_of(connection, finished, book, public_url):
            planned += plan(event, book)
    return await notifications.insert(connection, planned)


async def _events_of(connection: Any, finished: RunFinished, book: Book, public_url: str) -> list[Event]:
    failures = 0
    if book.wants(finished.tenant, _LOOKS_BACK.get(finished.state, ())):
        failures = await notifications.failures_before(
            connection,
            finished.tenant,
            finished.stream,
            finished.schedule,
            finished.run_id,
            finished.due_at,
            finished.finished_at,
        )
    is_failed = finished.state == "failed"
    events = [of_run(finished, finished.state, failures + is_failed, public_url)]
    if finished.state == "succeeded" and failures:
        events.append(of_run(finished, "recovered", failures, public_url))
    return events
