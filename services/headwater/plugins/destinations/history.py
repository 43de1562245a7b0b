"""Mode scd2: every version of a key's record is a row; `_valid_from` and `_valid_to` say when it held.

A version holds from its `order_by` field, where that is an instant, else from the batch's `ordered_at`, until the next
one does; the one that holds now has no `_valid_to`. A second version at one instant takes the first one's place, and so
does a newer one that names an earlier instant. What comes late, older than the version that holds, leaves no trace.
A key that a run did not bring and a later one brings again holds from that one on, whatever instant the record names.
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from typing import Any

from headwater.model.infer import Kind
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.ddl import CURRENT, relation
from headwater.plugins.destinations.evolve import take_turn
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
    same_key,
    stage_names,
    to_stage,
)

_BY_RUN = "SELECT _run_id, count(*) AS count FROM done GROUP BY _run_id"
_WAS_MISSING = (
    "o._ordered_at = o._valid_to"  # a run that did not bring the key ended the version, and no record
)


async def add_versions(connection: Any, plan: Plan, rows: Rows, written: ByRun) -> Outcome:  # noqa: ARG001 - every way has these arguments
    """One new version at most for each key. Loaders take turns: two new versions of one key would end one old one."""
    await take_turn(connection, "headwater.load", plan.table.schema, plan.table.name)
    await to_stage(connection, plan, rows)
    corrected = counted(await connection.fetch(_correct(plan)))
    ended = counted(await connection.fetch(_end(plan)))
    begun = counted(await connection.fetch(_begin(plan)))
    return Outcome(inserted=begun - ended, updated=corrected + ended)


def valid_from(plan: Plan, prefix: str) -> str:
    """Since when the version in a staged row holds."""
    name = plan.table.order_by
    column = None if name is None else plan.columns.get(name)
    if column is None or column.kind is not Kind.TIMESTAMPTZ:
        return f"{prefix}_ordered_at"
    return f"COALESCE({prefix}{quote_identifier(column.name)}, {prefix}_ordered_at)"


def _is_current(plan: Plan, of: str, compare: str) -> str:
    """Row t is the version of `of`'s key that holds, is older, says something else, and began before or not before.
    Rows of before the history began have held for ever.
    """
    there = frozenset(written_columns(plan))
    return (
        f"{same_key(plan, 't.', of)} AND t.{CURRENT.strip('()')} "
        f"AND COALESCE(t._valid_from, '-infinity') {compare} {valid_from(plan, of)} "
        f"AND {is_news(plan, of, 't.', there)}"
    )


def _correct(plan: Plan) -> str:
    there = set(written_columns(plan))
    updated = [column.name for column in plan.field_columns if column.name not in plan.key_columns]
    assignments = ", ".join(
        f"{quote_identifier(name)} = {f's.{quote_identifier(name)}' if name in there else 'NULL'}"
        for name in [*updated, *WRITTEN_OWN]
    )
    return (
        f"WITH done AS (UPDATE {relation(plan.table)} AS t SET {assignments}, _loaded_at = now() "
        f"FROM {STAGE} AS s WHERE {_is_current(plan, 's.', '>=')} RETURNING s._run_id) {_BY_RUN}"
    )


def _end(plan: Plan) -> str:
    return (
        f"WITH done AS (UPDATE {relation(plan.table)} AS t SET _valid_to = {valid_from(plan, 's.')} "
        f"FROM {STAGE} AS s WHERE {_is_current(plan, 's.', '<')} RETURNING s._run_id) {_BY_RUN}"
    )


def _begin(plan: Plan) -> str:
    """A version for each key that has none that holds, unless one that ended later is there."""
    since = valid_from(plan, "s.")
    later = f"SELECT FROM {relation(plan.table)} AS o WHERE {same_key(plan, 'o.', 's.')} AND o._valid_to > {since}"
    return (
        f"WITH done AS (INSERT INTO {relation(plan.table)} ({stage_names(plan)}, _valid_from) "
        f"SELECT {stage_names(plan, 's.')}, CASE WHEN EXISTS ({later}) THEN s._ordered_at ELSE {since} END "
        f"FROM {STAGE} AS s WHERE NOT EXISTS (SELECT FROM {relation(plan.table)} AS o "
        f"WHERE {same_key(plan, 'o.', 's.')} AND o.{CURRENT.strip('()')}) "
        f"AND NOT EXISTS ({later} AND NOT ({_WAS_MISSING} AND s._ordered_at > o._valid_to)) "
        f"ORDER BY {key_order(plan, 's.')} RETURNING _run_id) {_BY_RUN}"
    )
