"""What happened besides the ends of runs: planned once, and told to subscribers where nobody else does."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.contracts.codec import dumps
from headwater.model.ids import derive_id
from headwater.model.topics import routing_key
from headwater.notifier.book import read_book
from headwater.notifier.planning import plan
from headwater.plugins.notifiers.wording import Event, of_happening
from headwater.store import notifications, outbox
from headwater.store.notifications import EVENTS_EXCHANGE, cloud_headers
from headwater.store.outbox import OutboxRow

BATCH = 200
# the others have their event on `headwater.events` from the transaction in which they happened
OURS = frozenset({"late", "auto_disabled", "expired", "error", "dead_letter"})


async def plan_happenings(connection: Any, public_url: str, reach: Sequence[str]) -> int:
    """Plan what was not looked at yet, in the caller's transaction; gives how many happenings that were."""
    rows = await notifications.unplanned(connection, BATCH)
    if not rows:
        return 0
    book = await read_book(connection, ((row["tenant"], _schedule_of(row)) for row in rows), reach)
    planned = []
    for row in rows:
        event = _event_of(row, book.wishes_of(row["tenant"], _schedule_of(row)).streams, public_url)
        is_ours = row["event"] in OURS or (row["event"], row["subject_kind"]) == ("silence", "schedule")
        if is_ours and event.late_after_s is None:
            await _owe(connection, event, row["subject_kind"])
        planned += plan(event, book)
    await notifications.insert(connection, planned)
    await notifications.mark_planned(connection, [row["id"] for row in rows])
    return len(rows)


def _schedule_of(row: Mapping[str, Any]) -> str | None:
    if row["subject_kind"] == "schedule":
        return str(row["subject"])
    return row["detail"].get("schedule") if row["subject_kind"] == "run" else None


def _event_of(row: Mapping[str, Any], streams: tuple[str, ...], public_url: str) -> Event:
    of_run = row["subject_kind"] == "run"
    return of_happening(
        row["tenant"],
        row["event"],
        row["subject_kind"],
        row["subject"],
        row["at"],
        row["detail"],
        f"happening/{row['id']}",
        (row["detail"]["stream"],) if of_run else streams,
        public_url,
    )


async def _owe(connection: Any, event: Event, kind: str) -> None:
    """The event for subscribers of the topic `<tenant>.<kind>.<name>.<event>`."""
    name = str(event.facts["subject"])
    identifier = derive_id(event.at, "happening", event.key)
    headers = cloud_headers(identifier, event.tenant, f"{kind}.{event.event}", f"{kind}s/{name}")
    topic = routing_key(event.tenant, kind, name, event.event)
    row = OutboxRow(identifier, event.tenant, topic, dumps(event.facts), headers, EVENTS_EXCHANGE)
    await outbox.add(connection, row)
