"""Loads into the tables of another database, each page once.

Whoever loads commits there first and directly after it here that the page is settled. In between anything may end, and
the page comes again; so the other database notes, in the load's own transaction, which pages it has and what became of
their records. Notes are kept for a week: much longer than a page may take to settle.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from headwater.contracts.codec import dumps, loads
from headwater.model.errors import DestinationError
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.evolve import create_schema, take_turn
from headwater.plugins.destinations.planning import Plan
from headwater.plugins.destinations.postgres import PostgresDestination
from headwater.plugins.destinations.table import Batch, Closed, Counts, Loaded, Rejected, StalePlan, Table

NOTES = "_headwater_pages"
_FIRST = (0, 1)  # the walk and number of a run's first page, with which notes of no use any more go
_CLOSING = (-1, -1)  # the walk and number of the note that a run was closed

_CREATE = """
CREATE TABLE IF NOT EXISTS {notes} (
    run_id uuid, attempt int, walk int, number int,
    noted_at timestamptz NOT NULL DEFAULT now(),
    counts text,
    rejected text,
    PRIMARY KEY (run_id, attempt, walk, number)
)
"""
_IS_THERE = "SELECT pg_catalog.to_regclass($1) IS NOT NULL"
_CLAIM = """
INSERT INTO {notes} (run_id, attempt, walk, number)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) ORDER BY 1, 2, 3, 4
ON CONFLICT DO NOTHING
RETURNING run_id, attempt, walk, number
"""
_KNOWN = """
SELECT n.run_id, n.attempt, n.walk, n.number, n.counts, n.rejected
  FROM {notes} n
  JOIN unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS u(run_id, attempt, walk, number)
 USING (run_id, attempt, walk, number)
"""
_NOTE = """
UPDATE {notes} SET counts = $5, rejected = $6
 WHERE (run_id, attempt, walk, number) = ($1, $2, $3, $4)
"""
_HAS_LOADED = "SELECT EXISTS (SELECT FROM {notes} WHERE run_id = $1 AND attempt = $2)"
_OLD = """
DELETE FROM {notes} n WHERE noted_at < now() - interval '7 days' AND NOT EXISTS (
    SELECT FROM {notes} o WHERE o.run_id = n.run_id AND o.noted_at >= now() - interval '7 days')
"""
_TAKEN = """
SELECT coalesce(sum((c->>'inserted')::bigint + (c->>'updated')::bigint + (c->>'unchanged')::bigint
                    + (c->>'deduplicated')::bigint), 0)::bigint
  FROM (SELECT counts::jsonb AS c FROM {notes} WHERE run_id = $1 AND attempt = $2 AND walk >= 0) AS n
"""


_Fault = tuple[int, str, bool]  # a record's index, why it was rejected, and whether an element of it was


class Page(NamedTuple):
    """A page of a run, as the other database knows it."""

    run_id: UUID
    attempt: int
    walk: int
    number: int


async def make_notes(connection: Any, schema: str) -> None:
    """Make the table of notes where it is not there; before anything else is loaded into the schema."""
    if not await connection.fetchval(_IS_THERE, _notes(schema)):
        await create_schema(connection, schema)
        await take_turn(connection, "headwater.notes", schema)  # two at once would stand in each other's way
        await connection.execute(_sql(_CREATE, schema))


@contextmanager
def noted(destination: PostgresDestination, table: Table) -> Iterator[None]:
    """The body uses the notes. Raises: StalePlan when they are gone, with the schema maybe: prepare it again."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        destination.forget(table)
        raise StalePlan(table.name) from error


async def is_first(connection: Any, schema: str, run_id: UUID, attempt: int) -> bool:
    """Whether no page of this attempt is there yet. The caller's transaction then has the run for itself; else it is
    one of those that `wait_for_loads` waits for.
    """
    if not await connection.fetchval(_sql(_HAS_LOADED, schema), run_id, attempt):
        await wait_for_loads(connection, [run_id])
        if not await connection.fetchval(_sql(_HAS_LOADED, schema), run_id, attempt):
            return True
    await connection.execute("SELECT pg_catalog.pg_advisory_xact_lock_shared($1)", _lock_of(run_id))
    return False


async def wait_for_loads(connection: Any, runs: Iterable[UUID]) -> None:
    """Wait until no transaction loads pages of these runs any more, and let none begin: one whose loader has lost its
    connection to headwater's database may still be about to commit.
    """
    for key in sorted(map(_lock_of, runs)):
        await connection.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", key)


def _lock_of(run_id: UUID) -> int:
    return int.from_bytes(run_id.bytes[8:], signed=True)


async def load_once(
    connection: Any,
    destination: PostgresDestination,
    plan: Plan,
    pages: Sequence[Page],
    batches: Sequence[Batch],
) -> Loaded:
    """Load the batches of those pages that are not there, and tell of all; the caller's transaction commits it.

    `batches` are those of `pages`, in their order. Raises: as `PostgresDestination.load`.
    """
    schema = plan.table.schema
    if any((page.walk, page.number) == _FIRST for page in pages):
        await connection.execute(_sql(_OLD, schema))
    known = await _known(connection, schema, pages)
    fresh = [place for place, page in enumerate(pages) if page not in known]
    loaded = (
        await destination.load(connection, plan, [batches[place] for place in fresh]) if fresh else Loaded()
    )
    rejected = [replace(row, batch=fresh[row.batch]) for row in loaded.rejected]
    await _note(connection, schema, [(place, pages[place]) for place in fresh], loaded, rejected)
    by_run = dict(loaded.by_run)
    for place, page in enumerate(pages):
        if page in known:
            counts, faults = known[page]
            by_run[page.run_id] = by_run.get(page.run_id, Counts()) + counts
            rejected += [
                Rejected(place, index, reason, batches[place].records[index], is_element)
                for index, reason, is_element in faults
            ]
    return Loaded(by_run, tuple(rejected), loaded.warnings)


async def close_once(
    connection: Any,
    destination: PostgresDestination,
    table: Table,
    run_id: UUID,
    attempt: int,
    ordered_at: datetime,
    taken: int,
) -> Closed:
    """Close the run's table, or tell what that did. `taken`: as many of its records were loaded, wherever that was.

    Raises: as `PostgresDestination.close_run`; DestinationError when fewer were loaded here: for a part of the run the
    destination was another database or schema, and what is here does not stand for all rows.
    """
    page = Page(run_id, attempt, *_CLOSING)
    known = await _known(connection, table.schema, [page])
    if page in known:
        counts, warnings = known[page]
        return Closed(counts.deleted, frozenset(code for _, code, _ in warnings))
    here = await connection.fetchval(_sql(_TAKEN, table.schema), run_id, attempt)
    if here < taken:
        raise DestinationError(
            f"table {table.name}: {here} of the run's {taken} rows came here; its destination changed meanwhile: "
            "run it again"
        )
    closed = await destination.close_run(connection, table, run_id, attempt, ordered_at)
    await connection.execute(
        _sql(_NOTE, table.schema),
        *page,
        dumps(asdict(Counts(deleted=closed.deleted))).decode(),
        dumps([(0, code, False) for code in sorted(closed.warnings)]).decode(),
    )
    return closed


async def _known(
    connection: Any, schema: str, pages: Sequence[Page]
) -> dict[Page, tuple[Counts, list[_Fault]]]:
    """Claim the pages; gives those that were there, with what became of their records.

    A transaction that has claimed one of them is waited for.
    """
    columns = [list(column) for column in zip(*pages, strict=True)]
    claimed = {Page(*row) for row in await connection.fetch(_sql(_CLAIM, schema), *columns)}
    if len(claimed) == len(pages):
        return {}
    rows = await connection.fetch(_sql(_KNOWN, schema), *columns)
    return {
        page: (
            Counts(**loads(row["counts"].encode())) if row["counts"] else Counts(),
            [tuple(fault) for fault in loads(row["rejected"].encode())] if row["rejected"] else [],
        )
        for row in rows
        if (page := Page(row["run_id"], row["attempt"], row["walk"], row["number"])) not in claimed
    }


async def _note(
    connection: Any,
    schema: str,
    fresh: Sequence[tuple[int, Page]],
    loaded: Loaded,
    rejected: Sequence[Rejected],
) -> None:
    """Note what became of the records: a run's counts with the first of its pages."""
    told: set[UUID] = set()
    notes = []
    for place, page in fresh:
        counts = None
        if page.run_id not in told:
            told.add(page.run_id)
            counts = dumps(asdict(loaded.by_run.get(page.run_id, Counts()))).decode()
        faults = [(row.index, row.reason, row.is_element) for row in rejected if row.batch == place]
        if counts or faults:
            notes.append((*page, counts, dumps(faults).decode() if faults else None))
    if notes:
        await connection.executemany(_sql(_NOTE, schema), notes)


def _notes(schema: str) -> str:
    return f"{quote_identifier(schema)}.{quote_identifier(NOTES)}"


def _sql(text: str, schema: str) -> str:
    return text.format(notes=_notes(schema))
