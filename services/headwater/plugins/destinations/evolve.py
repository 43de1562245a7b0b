"""Bringing a table into the shape that records need, in a short transaction of its own, before they are
loaded.

One loader at a time changes a table (advisory lock); it decides on what it reads under that lock. Nothing
waits longer than a second for a lock, and no load rewrites more than REWRITE_ROWS rows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from headwater.model.errors import DestinationError
from headwater.model.infer import Kind
from headwater.model.names import quote_identifier
from headwater.plugins.destinations import ddl
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.patience import LONG_S, impatient, patient
from headwater.plugins.destinations.planning import EMPTY, Catalogue, Changes, allowed, changes_for
from headwater.plugins.destinations.table import Mode, Table

REWRITE_ROWS = 100_000

_Widening = tuple[str, Kind, Kind]


@dataclass(frozen=True, slots=True)
class Known:
    """A table and the widenings (column, kind) found to be too dear or impossible for it as it is."""

    catalogue: Catalogue
    blocked: frozenset[tuple[str, Kind]] = frozenset()

    def needed(self, table: Table, evidence: Mapping[str, Kind]) -> Changes:
        """The changes that the contract allows and that are not blocked."""
        changes = allowed(table, self.catalogue, changes_for(table, self.catalogue, evidence))
        wider = tuple(entry for entry in changes.widen if (entry[0], entry[2]) not in self.blocked)
        return replace(changes, widen=wider)


def lock_number(*parts: str) -> int:
    """A number for an advisory lock on what `parts` name."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big", signed=True)


async def evolve(
    connection: Any, table: Table, evidence: Mapping[str, Kind], *, rewrite_rows: int | None = REWRITE_ROWS
) -> Known:
    """Change the table until it fits `evidence`, as far as contract and costs allow; gives its new form."""
    async with connection.transaction(), impatient(connection):
        await take_turn(connection, "headwater.table", table.schema, table.name)
        known = Known(await read_catalogue(connection, table.schema, table.name))
        if not known.catalogue.oid:
            known = Known(await _create(connection, table, evidence))
        changes = known.needed(table, evidence)
        if changes:
            blocked = await _change(connection, table, changes, rewrite_rows)
            known = Known(await read_catalogue(connection, table.schema, table.name), blocked)
        return known


async def take_turn(connection: Any, *parts: str) -> None:
    await connection.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", lock_number(*parts))


async def _create(connection: Any, table: Table, evidence: Mapping[str, Kind]) -> Catalogue:
    """A new table: with the columns of the one that it is to be like, or of what is seen."""
    await create_schema(connection, table.schema)
    model = await read_catalogue(connection, table.schema, table.like) if table.like else EMPTY
    held = [
        (column.name, column.sql_type, column.field) for column in model.columns if column.field is not None
    ]
    if not held:
        seen = changes_for(table, EMPTY, evidence).add
        held = [(name, kind.sql_type, field) for name, kind, field in seen]
    await connection.execute(ddl.create_table(table, [(name, sql_type) for name, sql_type, _ in held]))
    comments = ddl.comment_columns(table, [(name, field) for name, _, field in held])
    if comments is not None:
        await connection.execute(comments)
    if table.mode is Mode.APPEND:
        await connection.execute(ddl.run_index(table))
    return await read_catalogue(connection, table.schema, table.name)


async def create_schema(connection: Any, schema: str) -> None:
    """IF NOT EXISTS alone would ask for the right to create schemas even where there is nothing to create."""
    exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
    if await connection.fetchval(exists, schema):
        return
    await take_turn(connection, "headwater.schema", schema)
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(schema)}")


async def _change(
    connection: Any, table: Table, changes: Changes, rewrite_rows: int | None
) -> frozenset[tuple[str, Kind]]:
    """Everything in `changes`; gives the widenings that were not done."""
    added = [(name, kind.sql_type) for name, kind, _ in changes.add]
    addition = ddl.add_columns(table, added, changes.own)
    if addition is not None:
        await connection.execute(addition)
    held = await _losing_keys(connection, table, changes)
    wider = tuple(entry for entry in changes.widen if entry not in held)
    blocked = frozenset((name, kind) for name, _, kind in held)
    if wider and rewrite_rows is not None and await _is_larger(connection, table, rewrite_rows):
        blocked |= frozenset((name, kind) for name, _, kind in wider)
    elif wider:
        blocked |= await _widen(connection, table, wider)
    await _finish(connection, table, changes)
    return blocked


async def _losing_keys(connection: Any, table: Table, changes: Changes) -> list[_Widening]:
    """Widenings that would write a key otherwise than its records do: its rows would not be found, and come twice."""
    return [
        (name, old, new)
        for name, old, new in changes.widen
        if name in changes.keys
        and (condition := ddl.written_otherwise(name, old, new)) is not None
        and await connection.fetchval(f"SELECT EXISTS (SELECT FROM {ddl.relation(table)} WHERE {condition})")  # noqa: S608 - names are quoted
    ]


async def _finish(connection: Any, table: Table, changes: Changes) -> None:
    """Which field holds which column, and the unique index of the key, in the place of those of other keys."""
    for name in changes.drop:
        await connection.execute(ddl.drop_index(table, name))
    held = [(name, field) for name, _, field in changes.add]
    comments = ddl.comment_columns(table, [*held, *changes.claim])
    if comments is not None:
        await connection.execute(comments)
    if not changes.index:
        return
    try:
        async with connection.transaction(), patient(connection):
            await connection.execute(ddl.key_index(table, changes.index), timeout=LONG_S)
    except asyncpg.UniqueViolationError as error:
        raise DestinationError(
            f"table {table.told} has several rows of one key ({', '.join(table.key)}) and cannot be merged; "
            "remove the duplicates, choose another table or key, or make the table anew: a run of mode full with force"
        ) from error


async def _is_larger(connection: Any, table: Table, rows: int) -> bool:
    return bool(await connection.fetchval(ddl.count_up_to(table, rows + 1)) > rows)


async def _widen(
    connection: Any, table: Table, widenings: tuple[_Widening, ...]
) -> frozenset[tuple[str, Kind]]:
    """All columns in one rewrite, or, where one of them cannot be, each by itself. Gives those that cannot be."""
    if await _alter(connection, table, widenings):
        return frozenset()
    return frozenset(
        [
            (name, kind)
            for name, old, kind in widenings
            if not await _alter(connection, table, ((name, old, kind),))
        ]
    )


async def _alter(connection: Any, table: Table, widenings: tuple[_Widening, ...]) -> bool:
    """Whether the columns could be widened: a view, for one, may stand in the way."""
    chosen = [(name, old, await _exact(connection, table, name, old, new)) for name, old, new in widenings]
    try:
        async with connection.transaction():
            await connection.execute(ddl.widen_columns(table, chosen), timeout=LONG_S)
    except (asyncpg.FeatureNotSupportedError, asyncpg.DependentObjectsStillExistError, asyncpg.DataError):
        return False
    return True


async def _exact(connection: Any, table: Table, column: str, old: Kind, new: Kind) -> Kind:
    """`new`, or numeric where integers that are there already have no exact double."""
    if (old, new) != (Kind.BIGINT, Kind.DOUBLE):
        return new
    inexact = await connection.fetchval(ddl.inexact_in_double(table, column))
    return Kind.NUMERIC if inexact else new
