"""SQL for destination tables. Names go through `quote_identifier`; values are parameters or come by COPY.
Pure.
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from collections.abc import Iterable, Sequence

from headwater.model.infer import EXACT_IN_DOUBLE, INSTANTS, NUMBERS, Kind
from headwater.model.names import field_comment, hashed_name, qualified, quote_identifier, quote_literal
from headwater.plugins.destinations.planning import OWN_TYPES, WRITTEN_OWN, Changes, Column, Plan
from headwater.plugins.destinations.table import Table

STAGE = "pg_temp.headwater_batch"
STAGE_NAME = "headwater_batch"
_ORDER = ("_ordered_at", "_page", "_position")


def relation(table: Table) -> str:
    return qualified(table.schema, table.name)


def names(columns: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + quote_identifier(column) for column in columns)


def create_table(table: Table, changes: Changes) -> str:
    """The table with the columns that `changes` adds, the fields' first, then headwater's own."""
    columns = [f"{quote_identifier(name)} {kind.sql_type}" for name, kind, _ in changes.add]
    columns += [f"{name} {sql_type}" for name, sql_type in OWN_TYPES.items()]
    return f"CREATE TABLE IF NOT EXISTS {relation(table)} ({', '.join(columns)})"


def run_index(table: Table) -> str:
    """Run ids grow with time, as rows do: a block range index finds a run's rows at next to no cost."""
    return (
        f"CREATE INDEX IF NOT EXISTS {quote_identifier(hashed_name(f'{table.name}_runs', table.name, 6))} "
        f"ON {relation(table)} "
        "USING brin (_run_id, _delivery_id) WITH (pages_per_range = 32, autosummarize = on)"
    )


def add_columns(table: Table, changes: Changes) -> str | None:
    parts = [
        f"ADD COLUMN IF NOT EXISTS {quote_identifier(name)} {kind.sql_type}" for name, kind, _ in changes.add
    ]
    parts += [f"ADD COLUMN IF NOT EXISTS {name} {OWN_TYPES[name]}" for name in changes.own]
    return f"ALTER TABLE {relation(table)} {', '.join(parts)}" if parts else None


def comment_columns(table: Table, changes: Changes) -> str | None:
    """Which field holds which column, for the columns added and claimed."""
    held = [(name, field) for name, _, field in changes.add] + list(changes.claim)
    comments = [
        f"COMMENT ON COLUMN {relation(table)}.{quote_identifier(name)} "
        f"IS {quote_literal(field_comment(field))}"
        for name, field in held
    ]
    return "; ".join(comments) or None


def unique_index(table: Table, columns: Sequence[str]) -> str:
    name = hashed_name(f"{table.name}_key", "\0".join(columns), 6)
    return (
        f"CREATE UNIQUE INDEX IF NOT EXISTS {quote_identifier(name)} ON {relation(table)} ({names(columns)})"
    )


def _converted(column: str, old: Kind, new: Kind) -> str:
    """The column's value in its new type, exact whatever the session's settings are."""
    if new is Kind.JSONB:
        return (
            f"to_jsonb({column})"
            if old not in INSTANTS
            else f"to_jsonb({_converted(column, old, Kind.TEXT)})"
        )
    if new is Kind.TEXT and old is Kind.TIMESTAMPTZ:
        return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    if new is Kind.TEXT and old is Kind.DATE:
        return f"to_char({column}, 'YYYY-MM-DD')"
    if new is Kind.TIMESTAMPTZ:
        return f"{column}::timestamp AT TIME ZONE 'UTC'"
    if old in NUMBERS and new in NUMBERS:
        return f"{column}::text::{new.sql_type}"  # straight from double to numeric would round to 15 digits
    return f"{column}::text"


def widen_columns(table: Table, widenings: Sequence[tuple[str, Kind, Kind]]) -> str:
    """One ALTER TABLE, so that the table is rewritten once."""
    parts = []
    for name, old, new in widenings:
        column = quote_identifier(name)
        parts.append(f"ALTER COLUMN {column} TYPE {new.sql_type} USING {_converted(column, old, new)}")
    return f"ALTER TABLE {relation(table)} {', '.join(parts)}"


def inexact_in_double(table: Table, column: str) -> str:
    """Whether an integer of `column` has no exact double."""
    name = quote_identifier(column)
    return f"SELECT EXISTS (SELECT FROM {relation(table)} WHERE abs({name}::numeric) > {EXACT_IN_DOUBLE})"


def count_up_to(table: Table, limit: int) -> str:
    """How many rows there are, counting no further than `limit`."""
    return f"SELECT count(*) FROM (SELECT FROM {relation(table)} LIMIT {limit}) AS counted"


def create_stage(columns: Sequence[Column]) -> str:
    """The temporary table that a batch is copied to."""
    parts = [f"{quote_identifier(column.name)} {column.sql_type}" for column in columns]
    parts += [f"{name} {OWN_TYPES[name]}" for name in WRITTEN_OWN]
    return f"DROP TABLE IF EXISTS {STAGE}; CREATE TEMP TABLE {STAGE_NAME} ({', '.join(parts)}) ON COMMIT DROP"


def _row_of(columns: Iterable[Column], prefix: str, there: frozenset[str] | None = None) -> str:
    """A row value; types that may have no equality of their own are compared as text. Columns that are not
    `there` stand as null.
    """
    return ", ".join(
        f"{prefix}{quote_identifier(column.name)}{'' if column.kind else '::text'}"
        if there is None or column.name in there
        else f"NULL::{column.sql_type if column.kind else 'text'}"
        for column in columns
    )


def _own_order(prefix: str) -> str:
    return f"({prefix}_ordered_at, COALESCE({prefix}_page, -1), {prefix}_position)"


def _not_older(plan: Plan, new: str, old: str) -> str:
    """Whether row `new` is at least as new as row `old` (prefixes)."""
    own = f"({old}_ordered_at IS NULL OR {_own_order(new)} >= {_own_order(old)})"
    column = plan.columns.get(plan.table.order_by or "")
    if column is None:
        return own
    name = _ordered(column)
    return (
        f"CASE WHEN {new}{name} IS NOT DISTINCT FROM {old}{name} THEN {own} "
        f"ELSE {old}{name} IS NULL OR COALESCE({new}{name} > {old}{name}, false) END"
    )


def _ordered(column: Column) -> str:
    """The column for comparisons that Python must repeat: text by code points."""
    return quote_identifier(column.name) + (' COLLATE "C"' if column.kind is Kind.TEXT else "")


def _is_news(plan: Plan, new: str, old: str, there: frozenset[str] | None = None) -> str:
    """Whether row `new` says something else than row `old` and is not older; `there` are the columns `new`
    has.
    """
    compared = [*plan.field_columns, Column("_extra", Kind.JSONB, "jsonb")]
    return (
        f"({_row_of(compared, old)}) IS DISTINCT FROM ({_row_of(compared, new, there)}) "
        f"AND {_not_older(plan, new, old)}"
    )


def _same_key(plan: Plan, one: str, other: str) -> str:
    return " AND ".join(f"{one}{name} = {other}{name}" for name in map(quote_identifier, plan.key_columns))


def merge(plan: Plan) -> str:
    """The staged batch into the table by key. Gives for each run how many rows were inserted and updated.

    Rows that say nothing new are left out before they meet the index, since ON CONFLICT would lock (and so
    write) the rows it then leaves alone; it looks again, for another transaction may have been quicker. A
    fresh row has no xmax; one that ON CONFLICT updated carries the lock that the update took first.
    """
    written = [column.name for column in plan.columns.values()] + list(WRITTEN_OWN)
    updated = [column.name for column in plan.field_columns if column.name not in plan.key_columns]
    updated += [*WRITTEN_OWN, "_loaded_at"]
    assignments = ", ".join(
        f"{quote_identifier(name)} = excluded.{quote_identifier(name)}" for name in updated
    )
    target = relation(plan.table)
    ordered = ", ".join(f"s.{_ordered(plan.columns[name])}" for name in plan.table.key)
    return (
        f"WITH merged AS (INSERT INTO {target} AS t ({names(written)}) "
        f"SELECT {names(written, 's.')} FROM {STAGE} AS s "
        f"LEFT JOIN {target} AS o ON {_same_key(plan, 'o.', 's.')} "
        f"WHERE o.{quote_identifier(plan.key_columns[0])} IS NULL "
        f"OR ({_is_news(plan, 's.', 'o.', frozenset(written))}) ORDER BY {ordered} "
        f"ON CONFLICT ({names(plan.key_columns)}) DO UPDATE SET {assignments} "
        f"WHERE {_is_news(plan, 'excluded.', 't.')} RETURNING t.xmax = 0 AS fresh, t._run_id) "
        "SELECT _run_id, count(*) FILTER (WHERE fresh) AS inserted, "
        "count(*) FILTER (WHERE NOT fresh) AS updated FROM merged GROUP BY _run_id"
    )


def any_key_exists(plan: Plan) -> str:
    """Whether the table has a row of any of the keys; the parameters are one array of texts for each key
    column.

    The inner LIMIT makes it look each key up in the index, one after the other, until the first is found.
    """
    columns = [plan.columns[name] for name in plan.table.key]
    arrays = ", ".join(f"${place}::text[]" for place in range(1, len(columns) + 1))
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
    """Note the newer order of staged rows whose content the table has already, where older content may still
    come: from the same run's other pages, and from other deliveries. (Runs that move a cursor come one after
    another.)
    """
    return (
        f"UPDATE {relation(plan.table)} AS t "
        "SET _ordered_at = s._ordered_at, _page = s._page, _position = s._position "
        f"FROM {STAGE} AS s WHERE {_same_key(plan, 't.', 's.')} "
        "AND (t._run_id = s._run_id OR s._delivery_id IS NOT NULL) "
        f"AND {_own_order('s.')} > {_own_order('t.')} AND ({_row_of(plan.columns.values(), 't.')}) "
        f"IS NOT DISTINCT FROM ({_row_of(plan.columns.values(), 's.')})"
    )


def drop_older(plan: Plan) -> str:
    """Leave one staged row for each key, the newest. Gives the run of each row that went."""
    newer = f"({_not_older(plan, 'n.', 'o.')}) AND NOT (({_not_older(plan, 'o.', 'n.')}) AND o.ctid > n.ctid)"
    return (
        f"WITH gone AS (DELETE FROM {STAGE} AS o USING {STAGE} AS n "
        f"WHERE {_same_key(plan, 'o.', 'n.')} AND o.ctid <> n.ctid AND {newer} RETURNING o.ctid, o._run_id) "
        "SELECT _run_id, count(*) AS deduplicated FROM gone GROUP BY _run_id"
    )


def delete_run(table: Table) -> str:
    return f"DELETE FROM {relation(table)} WHERE _run_id = ANY($1::uuid[])"


def delete_delivery(table: Table) -> str:
    return f"DELETE FROM {relation(table)} WHERE _delivery_id = ANY($1::uuid[])"
