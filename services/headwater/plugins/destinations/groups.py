"""Mode delete_insert: the records of a key stand for all rows of that key that came before.

A key may have many rows. Those of one run (or one delivery) stand together, whatever page they come on; rows of
another one go when newer ones come, and what is older than the rows that are there is left out.
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from typing import Any

from headwater.plugins.destinations.ddl import names, relation
from headwater.plugins.destinations.evolve import take_turn
from headwater.plugins.destinations.planning import Plan
from headwater.plugins.destinations.stage import (
    STAGE,
    ByRun,
    Outcome,
    Rows,
    counted,
    key_order,
    same_key,
    stage_names,
    to_stage,
)

_BY_RUN = "SELECT _run_id, count(*) AS count FROM gone GROUP BY _run_id"


async def replace_groups(connection: Any, plan: Plan, rows: Rows, written: ByRun) -> Outcome:
    """The rows of each key for those that were there. Loaders take turns: two that find no rows of a key would both
    leave theirs.
    """
    await take_turn(connection, "headwater.load", plan.table.schema, plan.table.name)
    await to_stage(connection, plan, rows)
    older = counted(await connection.fetch(_drop_older_groups(plan)))
    stale = counted(await connection.fetch(_drop_stale(plan)))
    deleted = counted(await connection.fetch(_delete_before(plan)))
    await connection.execute(
        f"INSERT INTO {relation(plan.table)} ({stage_names(plan)}) "
        f"SELECT {stage_names(plan)} FROM {STAGE} AS s ORDER BY {key_order(plan, 's.')}, _page, _position"
    )
    return Outcome(inserted=written - older - stale, deduplicated=older, deleted=deleted)


def _other_owner(one: str, other: str) -> str:
    return f"({one}_run_id, {one}_delivery_id) IS DISTINCT FROM ({other}_run_id, {other}_delivery_id)"


def _drop_older_groups(plan: Plan) -> str:
    """Leave the staged rows of one run or delivery for each key, the newest."""
    key = names(plan.key_columns)
    return (
        f"WITH newest AS (SELECT DISTINCT ON ({key}) {key}, _run_id, _delivery_id FROM {STAGE} "
        f"ORDER BY {key}, _ordered_at DESC, _run_id DESC, _delivery_id DESC), "
        f"gone AS (DELETE FROM {STAGE} AS s USING newest AS n "
        f"WHERE {same_key(plan, 's.', 'n.')} AND {_other_owner('s.', 'n.')} RETURNING s._run_id) {_BY_RUN}"
    )


def _drop_stale(plan: Plan) -> str:
    """Leave out staged rows of keys that have newer rows of another owner."""
    return (
        f"WITH gone AS (DELETE FROM {STAGE} AS s WHERE EXISTS (SELECT FROM {relation(plan.table)} AS t "
        f"WHERE {same_key(plan, 't.', 's.')} AND {_other_owner('t.', 's.')} AND t._ordered_at > s._ordered_at) "
        f"RETURNING s._run_id) {_BY_RUN}"
    )


def _delete_before(plan: Plan) -> str:
    """The rows that the staged ones stand for, counted for the run that brings these."""
    key = names(plan.key_columns)
    return (
        f"WITH gone AS (DELETE FROM {relation(plan.table)} AS t USING "
        f"(SELECT DISTINCT {key}, _run_id, _delivery_id FROM {STAGE}) AS s "
        f"WHERE {same_key(plan, 't.', 's.')} AND {_other_owner('t.', 's.')} RETURNING s._run_id) {_BY_RUN}"
    )
