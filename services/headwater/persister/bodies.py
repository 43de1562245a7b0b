"""The records of pages: what their messages carry, and what these only name, in parts that may be in memory at once."""

from collections.abc import Iterable, Sequence
from typing import Any

from headwater.contracts.codec import loads
from headwater.contracts.messages import BatchReady
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import ContractError, Reject
from headwater.persister.items import HAND_BYTES
from headwater.plugins.mapping import keeps_scale
from headwater.store import payloads
from headwater.store.database import Database
from headwater.store.ledger import PageKey

Work = tuple[PageKey, BatchReady, StreamDefinition]


async def in_parts(database: Database, work: Sequence[Work]) -> list[Sequence[Work]]:
    """The pages in parts of HAND_BYTES, in their order. What messages carry themselves the consumer bounds."""
    named = [batch.payload_id for _, batch, _ in work if batch.payload_id is not None]
    if len(named) <= 1:
        return [work]
    async with database.connection() as connection:
        sizes = await payloads.sizes(connection, named)
    parts: list[list[Work]] = [[]]
    held = 0
    for item in work:
        size = 0 if item[1].payload_id is None else sizes.get(item[1].payload_id, 0)
        if parts[-1] and held + size > HAND_BYTES:
            parts.append([])
            held = 0
        parts[-1].append(item)
        held += size
    return list(parts)


async def records_of(database: Database, work: Iterable[Work]) -> dict[PageKey, list[Any]]:
    """The records of each page. A reference that leads nowhere is a page that settled, or a lost body."""
    found: dict[PageKey, list[Any]] = {}
    for key, batch, definition in work:
        if batch.payload_id is None:
            found[key] = batch.records or []
            continue
        async with database.connection() as connection:
            body = await payloads.get(connection, batch.payload_id)
        if body is not None:
            found[key] = _list_in(body, keeps_scale(definition.stream.fields))
    return found


def _list_in(body: bytes, is_scaled: bool) -> list[Any]:
    try:
        found = loads(body, keeps_scale=is_scaled)
    except ContractError as error:
        raise Reject(f"the body of a page is no JSON: {error}") from error
    if not isinstance(found, list):
        raise Reject("the body of a page is no list")
    return found


def rounds(items: Sequence[Work]) -> list[list[Work]]:
    """The batches in rounds of one batch a page: a page that was fetched twice may have brought two."""
    rounds: list[dict[PageKey, Work]] = []
    for item in items:
        free = next((one for one in rounds if item[0] not in one), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[item[0]] = item
    return [list(one.values()) for one in rounds]
