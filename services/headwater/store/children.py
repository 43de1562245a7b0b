"""Walks for the records of a parent stream: made, let go one after the other, and how far each was read.

All of it happens with the run's row locked, last in the transaction that settles a page: so that the walks of a run
are numbered without gaps, none is made twice, and never are more under way than the stream wants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.contracts.messages import PageDue
from headwater.model.ids import derive_id, time_of
from headwater.model.run import StopReason
from headwater.store import outbox
from headwater.store.outbox import OutboxRow
from headwater.store.queries import queries

_Q = queries("children")
_CUT = [reason.value for reason in StopReason if not reason.is_complete]
Stream = tuple[str, str, str]  # tenant, source, stream


@dataclass(frozen=True, slots=True)
class NewWalk:
    """A walk that is to be. `parent`: what people see of the record that it is for; `key` tells it from others."""

    key: bytes
    parent: Mapping[str, Any]
    first_token: Mapping[str, Any]
    highest: Any = None


async def known(connection: Any, run_id: UUID, attempt: int, keys: Sequence[bytes]) -> tuple[int, set[bytes]]:
    """The highest number of the attempt's walks, and which of `keys` have a walk already."""
    row = await connection.fetchrow(_Q["known"], time_of(run_id), run_id, attempt, list(keys))
    return row["top"] or 0, {bytes(key) for key in row["keys"]}


async def keys_of(connection: Any, run_id: UUID, attempt: int, numbers: Sequence[int]) -> dict[int, bytes]:
    """The keys of these walks; those that are for no parent are missing."""
    rows = await connection.fetch(_Q["keys_of"], time_of(run_id), run_id, attempt, list(numbers))
    return {row["number"]: bytes(row["parent_key"]) for row in rows}


async def insert(
    connection: Any,
    run_id: UUID,
    attempt: int,
    tenant: str,
    level: int,
    first_number: int,
    walks: Sequence[NewWalk],
) -> None:
    """Make the walks; they wait until `open_waiting` lets them go."""
    await connection.execute(
        _Q["insert"],
        time_of(run_id),
        run_id,
        attempt,
        tenant,
        level,
        [first_number + index for index in range(len(walks))],
        [walk.key for walk in walks],
        [_text(walk.parent) for walk in walks],
        [_text(walk.first_token) for walk in walks],
        [None if walk.highest is None else _text(walk.highest) for walk in walks],
    )


def _text(value: Any) -> str:
    return dumps(value).decode()


async def open_waiting(connection: Any, run_id: UUID, attempt: int, tenant: str) -> int:
    """Let as many walks go as may be under way at once: owe the first page of each. Gives how many."""
    opened = await connection.fetch(_Q["open_waiting"], time_of(run_id), run_id, attempt)
    if not opened:
        return 0
    rows = []
    for walk in sorted(opened, key=lambda row: int(row["number"])):
        page = PageDue(
            run_id=run_id,
            attempt=attempt,
            tenant=tenant,
            stream_version=walk["stream_version"],
            walk=walk["number"],
            number=1,
            token=walk["first_token"],
        )
        identifier = derive_id(time_of(run_id), "page.due", run_id, attempt, walk["number"], 1)
        rows.append(OutboxRow(identifier, tenant, PageDue.type, dumps(page.model_dump(mode="json"))))
    await outbox.add_many(connection, rows)
    return len(rows)


async def last_settled(connection: Any, run_id: UUID, attempt: int, walk: int) -> int:
    """The number of the last page of a walk that is settled, 0 when none is."""
    number = await connection.fetchval(_Q["last_settled"], time_of(run_id), run_id, attempt, walk)
    return int(number or 0)


async def count(connection: Any, run_id: UUID, *, made: int, skipped: int, warnings: Sequence[str]) -> None:
    """Add to the run's counts of parents; its row is locked by this transaction."""
    await connection.execute(_Q["count"], time_of(run_id), run_id, made, skipped, list(warnings))


async def cursors(
    connection: Any, of: Stream, keys: Sequence[bytes]
) -> dict[bytes, tuple[Any, str | None, Mapping[str, Any]]]:
    """How far the walks of these parents were read, by key: value, the last record's id, where to go on or what was
    seen.
    """
    rows = await connection.fetch(_Q["cursors"], *of, list(keys))
    return {bytes(row["parent_key"]): (row["value"], row["record_id"], row["resume"] or {}) for row in rows}


@dataclass(frozen=True, slots=True)
class Summary:
    """The walks of an attempt: the reason of the first one that was cut, that of the first one of all, and how many
    are the stream's own. `found_count`: those of them whose parent is still there. `has_resumed`: one went on where an
    earlier run was cut.
    """

    own_count: int
    found_count: int
    cut: StopReason | None
    first: StopReason
    has_resumed: bool


async def summary(connection: Any, run_id: UUID, attempt: int, level: int) -> Summary:
    """The walks of an attempt whose stream is at `level`."""
    row = await connection.fetchrow(_Q["summary"], time_of(run_id), run_id, attempt, level, _CUT)
    return Summary(
        row["own_count"],
        row["found_count"],
        None if row["cut"] is None else StopReason(row["cut"]),
        StopReason(row["first"]),
        row["has_resumed"],
    )


async def move_cursors(
    connection: Any, run_id: UUID, attempt: int, of: Stream, level: int, version: str | None, *, ascends: bool
) -> None:
    """Move the cursor of each parent whose walk saw everything.

    `ascends`: below its second highest value a walk that a limit cut saw everything; else, with `version`, it keeps
    where the next run of that version goes on.
    """
    walks = (time_of(run_id), run_id, attempt, *of, level, _CUT)
    await connection.execute(_Q["move"], *walks, version, ascends)
    await connection.execute(_Q["forget_places"], *walks)


async def list_cursors(connection: Any, of: Stream, after: bytes, limit: int) -> Sequence[Mapping[str, Any]]:
    """How far the parents of a stream were read, in order of their keys."""
    return await connection.fetch(_Q["list"], *of, after, limit)  # type: ignore[no-any-return]


async def count_cursors(connection: Any, of: Stream) -> int:
    return int(await connection.fetchval(_Q["count_cursors"], *of))


async def forget_cursors(connection: Any, of: Stream) -> None:
    """Every parent of the stream is read anew."""
    await connection.execute(_Q["forget"], *of)
