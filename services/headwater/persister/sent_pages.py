"""Pages on their way to an exchange: sent and confirmed before they settle.

At least once: a page whose settling fails is sent again, under the same message ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from headwater.contracts.messages import BatchReady
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import DestinationError, Later
from headwater.model.ids import time_of
from headwater.persister.outlets import Outlets, Target
from headwater.plugins.destinations import Counts, Loaded, Rejected
from headwater.plugins.destinations.messages import Origin, Outgoing, render
from headwater.store import runs, schedules
from headwater.store.database import Database
from headwater.store.ledger import PageKey

Work = tuple[PageKey, BatchReady, StreamDefinition]


class Exchange(NamedTuple):
    """The name of a destination that is an exchange."""

    tenant: str
    name: str


@dataclass(frozen=True, slots=True)
class SentPage:
    """What became of a page's records: so many were confirmed, these (index, reason) could not be messages."""

    records: Sequence[Any]
    rejected: Sequence[tuple[int, str]]


def exchange_of(definition: StreamDefinition) -> Exchange | None:
    """The exchange that the stream's records go to; None where they go to a table, or nowhere."""
    destination = definition.stream.destination
    if destination is None or destination.table is not None:
        return None
    return Exchange(definition.tenant, destination.to)


async def send_pages(
    outlets: Outlets, exchange: Exchange, work: Sequence[Work], records: Mapping[PageKey, Sequence[Any]]
) -> dict[PageKey, SentPage]:
    """Send the records of these pages. Raises: DestinationError (somebody must mend something), Later."""
    target = await outlets.target(*exchange)
    sent: dict[PageKey, SentPage] = {}
    messages: list[Outgoing] = []
    for key, _, definition in work:
        rendered = render(target.definition, _origin(target, key, definition), records[key])
        messages += rendered.messages
        sent[key] = SentPage(records[key], rendered.rejected)
    faults = await outlets.send(target, messages) if messages else []
    for kind in (DestinationError, Later):
        first = next((fault for fault in faults if isinstance(fault, kind)), None)
        if isinstance(first, Later):
            raise Later(first.delay_s, f"destination {target.name}: {first}")
        if first is not None:
            raise DestinationError(f"destination {target.name}: {first}")
    return sent


def _origin(target: Target, key: PageKey, definition: StreamDefinition) -> Origin:
    stream, destination = definition.stream, definition.stream.destination
    return Origin(
        words={"tenant": target.tenant, "source": definition.source, "stream": stream.name},
        source=f"/tenants/{target.tenant}/sources/{definition.source}/streams/{stream.name}",
        subject=f"runs/{key.run_id}/pages/{key.number}",
        at=time_of(key.run_id),
        identity=(key.run_id, key.walk, key.number),
        key=() if destination is None else destination.key,
    )


def loaded_of(work: Sequence[Work], sent: Mapping[PageKey, SentPage]) -> Loaded:
    """The pages that were sent, as a load tells of them; `work` in its order."""
    by_run: dict[UUID | None, Counts] = {}
    rejected: list[Rejected] = []
    for number, (key, _, _) in enumerate(work):
        page = sent.get(key)
        if page is None:
            continue
        bad = len(page.rejected)
        counts = Counts(inserted=len(page.records) - bad, rejected=bad)
        by_run[key.run_id] = by_run.get(key.run_id, Counts()) + counts
        rejected += [Rejected(number, index, reason, page.records[index]) for index, reason in page.rejected]
    return Loaded(by_run, tuple(rejected))


async def wait(database: Database, work: Sequence[Work], error: Later) -> None:
    """Let people see what the runs wait for. Raises: DestinationError for a run that has waited as long as it may."""
    async with database.transaction() as connection:
        now = await schedules.now(connection)
        for run_id in sorted({key.run_id for key, _, _ in work}):
            await runs.park(connection, run_id, error.delay_s, str(error)[:500])
    for _, batch, definition in work:
        most_s = definition.stream.limits.max_seconds
        if (now - batch.started_at).total_seconds() > most_s:
            raise DestinationError(f"{error} (and limits.max_seconds, {most_s}, is over)") from error
