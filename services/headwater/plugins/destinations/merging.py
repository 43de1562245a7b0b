"""Mode merge: one row per key, the newest record; rows that say the same already are left untouched."""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from operator import sub
from typing import Any

import asyncpg

from headwater.model.infer import Kind
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.ddl import names, relation
from headwater.plugins.destinations.errors import ROW_FAULTS
from headwater.plugins.destinations.newest import Keyed, key_texts
from headwater.plugins.destinations.planning import WRITTEN_OWN, Plan
from headwater.plugins.destinations.rendering import written_columns
from headwater.plugins.destinations.stage import (
    STAGE,
    ByRun,
    Outcome,
    Rows,
    counted,
    is_news,
    key_order,
    not_older,
    own_order,
    row_of,
    same_key,
    to_stage,
)

_WHOLE = frozenset({Kind.INTEGER, Kind.BIGINT})
_RANGES = 64  # of keys, that a batch is looked up by
_EQUAL_IN_MANY_WAYS = frozenset({Kind.JSONB, None})  # None: types of the users' own, such as uuid and citext


async def upsert(connection: Any, plan: Plan, rows: Rows, written: ByRun) -> Outcome:
    """Insert the keys that have no row, update the rows that differ and are not newer."""
    await to_stage(connection, plan, rows)
    older: ByRun = Counter()
    if any(plan.columns[name].kind in _EQUAL_IN_MANY_WAYS for name in plan.table.key):
        older = counted(await connection.fetch(drop_older(plan)))
    try:
        async with connection.transaction():
            merged = await connection.fetch(merge(plan))
    except asyncpg.CardinalityViolationError:  # numbers that look different and are equal, as 1.0 and 1.00
        older = counted(await connection.fetch(drop_older(plan)))
        merged = await connection.fetch(merge(plan))
    outcome = Outcome(counted(merged, "inserted"), counted(merged, "updated"), older)
    if outcome.inserted.total() + outcome.updated.total() + older.total() < written.total():
        await connection.execute(raise_order(plan))
    return outcome


async def are_new(connection: Any, plan: Plan, keyed: Keyed) -> bool:
    """Whether no key has a row yet. Then the records may go straight into the table, twice as fast."""
    columns = [plan.columns[name] for name in plan.table.key]
    ranges = ranges_of(keyed.keys) if len(columns) == 1 and columns[0].kind in _WHOLE else None
    if ranges is not None and not await connection.fetchval(any_key_between(plan), *ranges):
        return True
    texts = key_texts(plan, keyed.keys)
    if texts is None:
        return False
    values = [
        ",".join(text) if column.kind in _WHOLE else text for column, text in zip(columns, texts, strict=True)
    ]
    try:
        async with connection.transaction():
            return not await connection.fetchval(any_key_exists(plan), *values)
    except (*ROW_FAULTS, UnicodeEncodeError):
        return False  # some record is at fault: it is found on the way


def ranges_of(keys: Sequence[Any]) -> tuple[str, str] | None:
    """A few ranges that hold all of the rising `keys`: their first numbers and their last, with commas; None where
    not all keys are whole numbers. They end where the numbers lie widest apart.
    """
    if set(map(type, keys)) != {int}:
        return None
    gaps = list(map(sub, keys[1:], keys))
    widest = sorted(gaps)[-_RANGES] if len(gaps) >= _RANGES else 0
    starts = [place for place, gap in enumerate(gaps, 1) if gap > widest]
    lows = [keys[0], *map(keys.__getitem__, starts)]
    highs = [*(keys[place - 1] for place in starts), keys[-1]]
    return ",".join(map(str, lows)), ",".join(map(str, highs))


def merge(plan: Plan) -> str:
    """The staged batch into the table by key. Gives for each run how many rows were inserted and updated.

    Rows that say nothing new are left out before they meet the index, since ON CONFLICT would lock (and so write)
    the rows it then leaves alone; it looks again, for another transaction may have been quicker. A fresh row has
    no xmax; one that ON CONFLICT updated carries the lock that the update took first.
    """
    written = written_columns(plan)
    updated = [column.name for column in plan.field_columns if column.name not in plan.key_columns]
    updated += [*WRITTEN_OWN, "_loaded_at"]
    if plan.catalogue.column("_deleted_at") is not None:
        updated.append("_deleted_at")  # a row that comes again is there again
    assignments = ", ".join(f"{name} = excluded.{name}" for name in map(quote_identifier, updated))
    target = relation(plan.table)
    return (
        f"WITH merged AS (INSERT INTO {target} AS t ({names(written)}) "
        f"SELECT {names(written, 's.')} FROM {STAGE} AS s LEFT JOIN {target} AS o ON {same_key(plan, 'o.', 's.')} "
        f"WHERE o.{quote_identifier(plan.key_columns[0])} IS NULL "
        f"OR ({is_news(plan, 's.', 'o.', frozenset(written))}) ORDER BY {key_order(plan, 's.')} "
        f"ON CONFLICT ({names(plan.key_columns)}) DO UPDATE SET {assignments} "
        f"WHERE {is_news(plan, 'excluded.', 't.')} RETURNING t.xmax = 0 AS fresh, t._run_id) "
        "SELECT _run_id, count(*) FILTER (WHERE fresh) AS inserted, "
        "count(*) FILTER (WHERE NOT fresh) AS updated FROM merged GROUP BY _run_id"
    )


def any_key_between(plan: Plan) -> str:
    """Whether the table has a row whose key is in one of the ranges of `ranges_of`: a look at the index for each range
    instead of one for each key, where there is none. The inner ORDER BY makes it use the index whatever is known of the
    table.
    """
    column = plan.columns[plan.table.key[0]]
    key = f"t.{quote_identifier(column.name)}"
    return (
        f"SELECT EXISTS (SELECT FROM unnest(string_to_array($1::text, ',')::{column.sql_type}[], "
        f"string_to_array($2::text, ',')::{column.sql_type}[]) AS r(low, high), "
        f"LATERAL (SELECT FROM {relation(plan.table)} AS t "
        f"WHERE {key} BETWEEN r.low AND r.high ORDER BY {key} LIMIT 1) AS found)"
    )


def any_key_exists(plan: Plan) -> str:
    """Whether the table has a row of any of the keys; the parameters are one array of texts for each key column, or one
    text with commas where they are whole numbers: the driver looks long at each element of an array.

    The inner LIMIT makes it look each key up in the index, one after the other, until the first is found.
    """
    columns = [plan.columns[name] for name in plan.table.key]
    arrays = ", ".join(
        f"string_to_array(${place}::text, ',')" if column.kind in _WHOLE else f"${place}::text[]"
        for place, column in enumerate(columns, 1)
    )
    given = ", ".join(f"k{place}" for place in range(len(columns)))
    same = " AND ".join(
        f"t.{quote_identifier(column.name)} = k.k{place}::{column.sql_type}"
        for place, column in enumerate(columns)
    )
    return (
        f"SELECT EXISTS (SELECT FROM unnest({arrays}) AS k({given}), "
        f"LATERAL (SELECT FROM {relation(plan.table)} AS t WHERE {same} LIMIT 1) AS found)"
    )


def raise_order(plan: Plan) -> str:
    """Note the newer order of staged rows whose content the table has already, where older content may still come:
    from the same run's other pages, and from other deliveries. (Runs that move a cursor come one after another.)
    """
    return (
        f"UPDATE {relation(plan.table)} AS t "
        "SET _ordered_at = s._ordered_at, _page = s._page, _position = s._position "
        f"FROM {STAGE} AS s WHERE {same_key(plan, 't.', 's.')} "
        "AND (t._run_id = s._run_id OR s._delivery_id IS NOT NULL) "
        f"AND {own_order('s.')} > {own_order('t.')} AND ({row_of(plan.columns.values(), 't.')}) "
        f"IS NOT DISTINCT FROM ({row_of(plan.columns.values(), 's.')})"
    )


def drop_older(plan: Plan) -> str:
    """Leave one staged row for each key, the newest. Gives for each run how many rows went."""
    if plan.order_column is not None and plan.order_column.name not in written_columns(plan):
        plan = replace(plan, table=replace(plan.table, order_by=None))  # null in all staged rows
    newer = f"({not_older(plan, 'n.', 'o.')}) AND NOT (({not_older(plan, 'o.', 'n.')}) AND o.ctid > n.ctid)"
    return (
        f"WITH gone AS (DELETE FROM {STAGE} AS o USING {STAGE} AS n "
        f"WHERE {same_key(plan, 'o.', 'n.')} AND o.ctid <> n.ctid AND {newer} RETURNING o.ctid, o._run_id) "
        "SELECT _run_id, count(*) AS count FROM gone GROUP BY _run_id"
    )
