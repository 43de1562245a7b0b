"""How rows get into the database: COPY into the table itself, or into a temporary table that a mode goes on from."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from headwater.model.infer import Kind
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.ddl import OWN_TYPES, names
from headwater.plugins.destinations.planning import WRITTEN_OWN, Column, Plan
from headwater.plugins.destinations.rendering import written_columns

STAGE = "pg_temp.headwater_batch"
_STAGE_NAME = "headwater_batch"

ByRun = Counter[UUID | None]


@dataclass(slots=True)
class Outcome:
    """What became of rows, for each run; the rest of them was unchanged. `deleted` counts rows."""

    inserted: ByRun = field(default_factory=Counter)
    updated: ByRun = field(default_factory=Counter)
    deduplicated: ByRun = field(default_factory=Counter)
    deleted: ByRun = field(default_factory=Counter)

    def add(self, other: "Outcome") -> None:
        self.inserted += other.inserted
        self.updated += other.updated
        self.deduplicated += other.deduplicated
        self.deleted += other.deleted


class Rows(NamedTuple):
    """Rows as they go over the wire: their columns in order, the form of COPY that they have (text or binary)."""

    columns: Sequence[str]
    form: str
    source: AsyncIterator[bytes]


# Rows into the table, in the way of a mode; the counter says how many there were of each run, once they are sent.
Way = Callable[[Any, Plan, Rows, ByRun], Awaitable[Outcome]]


async def append(connection: Any, plan: Plan, rows: Rows, written: ByRun) -> Outcome:
    """Every row is a new one."""
    await _copy(connection, plan.table.schema, plan.table.name, rows)
    return Outcome(inserted=written)


async def to_stage(connection: Any, plan: Plan, rows: Rows) -> None:
    """The rows into the temporary table STAGE, which lives until the transaction ends or the next call."""
    parts = [f"{quote_identifier(column.name)} {column.sql_type}" for column in plan.columns.values()]
    parts += [f"{name} {OWN_TYPES[name]}" for name in WRITTEN_OWN]
    await connection.execute(
        f"DROP TABLE IF EXISTS {STAGE}; CREATE TEMP TABLE {_STAGE_NAME} ({', '.join(parts)}) ON COMMIT DROP"
    )
    await _copy(connection, "pg_temp", _STAGE_NAME, rows)


async def _copy(connection: Any, schema: str, name: str, rows: Rows) -> None:
    encoding = "utf-8" if rows.form == "text" else None
    await connection.copy_to_table(
        name,
        schema_name=schema,
        columns=rows.columns,
        source=rows.source,
        format=rows.form,
        encoding=encoding,
    )


def counted(rows: Iterable[Mapping[str, Any]], what: str = "count") -> ByRun:
    """The column `what` of rows that have a `_run_id`, by run."""
    return Counter({row["_run_id"]: row[what] for row in rows if row[what]})


def same_key(plan: Plan, one: str, other: str) -> str:
    """The condition that two rows (prefixes) have one key."""
    return " AND ".join(f"{one}{name} = {other}{name}" for name in map(quote_identifier, plan.key_columns))


def key_order(plan: Plan, prefix: str) -> str:
    """The order of keys in which every loader writes, so that they do not lock each other out."""
    return ", ".join(f"{prefix}{in_order(plan.columns[name])}" for name in plan.table.key)


def in_order(column: Column) -> str:
    """The column for comparisons that Python must repeat: text by code points."""
    return quote_identifier(column.name) + (' COLLATE "C"' if column.kind is Kind.TEXT else "")


def own_order(prefix: str) -> str:
    return f"({prefix}_ordered_at, COALESCE({prefix}_page, -1), {prefix}_position)"


def not_older(plan: Plan, new: str, old: str, there: frozenset[str] | None = None) -> str:
    """Whether row `new` is at least as new as row `old` (prefixes); `there` are the columns that `new` has."""
    own = f"({old}_ordered_at IS NULL OR {own_order(new)} >= {own_order(old)})"
    column = plan.order_column
    if column is None:
        return own
    name = in_order(column)
    value = f"{new}{name}" if there is None or column.name in there else f"NULL::{column.sql_type}"
    return (
        f"CASE WHEN {value} IS NOT DISTINCT FROM {old}{name} THEN {own} "
        f"ELSE {old}{name} IS NULL OR COALESCE({value} > {old}{name}, false) END"
    )


def row_of(columns: Iterable[Column], prefix: str, there: frozenset[str] | None = None) -> str:
    """A row value; types that may have no equality are compared as text, columns not `there` stand as null."""
    return ", ".join(
        f"{prefix}{quote_identifier(column.name)}{'' if column.kind else '::text'}"
        if there is None or column.name in there
        else f"NULL::{column.sql_type if column.kind else 'text'}"
        for column in columns
    )


def is_news(plan: Plan, new: str, old: str, there: frozenset[str] | None = None) -> str:
    """Whether row `new` says something else than row `old` and is not older; `there` are the columns it has."""
    compared = [*plan.field_columns, Column("_extra", Kind.JSONB, "jsonb")]
    differs = f"({row_of(compared, old)}) IS DISTINCT FROM ({row_of(compared, new, there)})"
    if plan.catalogue.column("_deleted_at") is not None:
        differs = f"({old}_deleted_at IS NOT NULL OR {differs})"
    return f"{differs} AND {not_older(plan, new, old, there)}"


def stage_names(plan: Plan, prefix: str = "") -> str:
    """The columns of the stage."""
    return names(written_columns(plan), prefix)
