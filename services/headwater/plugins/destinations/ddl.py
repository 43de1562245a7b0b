"""Statements that give a table its shape. Every name goes through `quote_identifier`. Pure."""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from headwater.model.infer import EXACT_IN_DOUBLE, INSTANTS, NUMBERS, Kind
from headwater.model.names import field_comment, hashed_name, qualified, quote_identifier, quote_literal
from headwater.plugins.destinations.table import Mode, Table

# Columns of headwater's own, in every destination table. `_loaded_at` fills itself.
OWN_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "_run_id": "uuid",
        "_delivery_id": "uuid",
        "_page": "integer",
        "_position": "integer",
        "_ordered_at": "timestamptz",
        "_extra": "jsonb",
        "_loaded_at": "timestamptz NOT NULL DEFAULT now()",
    }
)
CURRENT = "(_valid_to IS NULL)"  # the condition on versions that hold now, as PostgreSQL writes it


def own_columns(table: Table) -> dict[str, str]:
    """Headwater's own columns of this table, with their types."""
    own = dict(OWN_TYPES)
    if table.mode is Mode.SCD2:
        own |= {"_valid_from": "timestamptz", "_valid_to": "timestamptz"}
    elif table.soft_delete:
        own["_deleted_at"] = "timestamptz"
    return own


def relation(table: Table) -> str:
    return qualified(table.schema, table.name)


def names(columns: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + quote_identifier(column) for column in columns)


def create_table(table: Table, columns: Iterable[tuple[str, str]]) -> str:
    """The table with these columns (name, type), then headwater's own."""
    parts = [f"{quote_identifier(name)} {sql_type}" for name, sql_type in columns]
    parts += [f"{name} {sql_type}" for name, sql_type in own_columns(table).items()]
    return f"CREATE TABLE IF NOT EXISTS {relation(table)} ({', '.join(parts)})"


def add_columns(table: Table, columns: Iterable[tuple[str, str]], own: Iterable[str]) -> str | None:
    """The columns (name, type) and some of headwater's own; None when there are none."""
    parts = [f"ADD COLUMN IF NOT EXISTS {quote_identifier(name)} {sql_type}" for name, sql_type in columns]
    parts += [f"ADD COLUMN IF NOT EXISTS {name} {own_columns(table)[name]}" for name in own]
    return f"ALTER TABLE {relation(table)} {', '.join(parts)}" if parts else None


def comment_columns(table: Table, held: Iterable[tuple[str, str]]) -> str | None:
    """Which column is held by which field; None when there are none."""
    comments = [
        f"COMMENT ON COLUMN {relation(table)}.{quote_identifier(name)} IS {quote_literal(field_comment(field))}"
        for name, field in held
    ]
    return "; ".join(comments) or None


_MODES_WITH_KEYS = (Mode.MERGE, Mode.SCD2, Mode.DELETE_INSERT)


def is_key_index(table: Table, name: str) -> bool:
    """Whether an index of the table has a name that `key_index` gives."""
    made = (hashed_name(f"{table.name[:40]}_{mode.value}_key", "", 6) for mode in _MODES_WITH_KEYS)
    return any(re.fullmatch(f"{re.escape(one[:-6])}[0-9a-f]{{6}}", name) for one in made)


def drop_index(table: Table, name: str) -> str:
    return f"DROP INDEX IF EXISTS {qualified(table.schema, name)}"


def _index_name(table: Table, what: str, columns: Sequence[str]) -> str:
    return quote_identifier(hashed_name(f"{table.name[:40]}_{what}", "\0".join((table.name, *columns)), 6))


def run_index(table: Table) -> str:
    """Run ids grow with time, as rows do: a block range index finds a run's rows at next to no cost."""
    return (
        f"CREATE INDEX IF NOT EXISTS {_index_name(table, 'runs', ())} ON {relation(table)} "
        "USING brin (_run_id, _delivery_id) WITH (pages_per_range = 32, autosummarize = on)"
    )


def key_index(table: Table, columns: Sequence[str]) -> str:
    """The index of the key: unique in merge, unique among the versions that hold in scd2."""
    unique = "" if table.mode is Mode.DELETE_INSERT else "UNIQUE "
    current = f" WHERE {CURRENT}" if table.mode is Mode.SCD2 else ""
    name = _index_name(table, f"{table.mode.value}_key", columns)
    return f"CREATE {unique}INDEX IF NOT EXISTS {name} ON {relation(table)} ({names(columns)}){current}"


def converted(column: str, old: Kind, new: Kind) -> str:
    """The column's value in its new type, exact whatever the session's settings are."""
    if old is new:
        return column
    if new is Kind.JSONB:
        return f"to_jsonb({converted(column, old, Kind.TEXT) if old in INSTANTS else column})"
    if new is Kind.TEXT and old is Kind.TIMESTAMPTZ:
        era = f"CASE WHEN {column} < '0001-01-01Z' THEN ' BC' ELSE '' END"  # 0001-01-01 east of Greenwich is before it
        return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || {era}"""
    if new is Kind.TEXT and old is Kind.DATE:
        return f"to_char({column}, 'YYYY-MM-DD')"
    if new is Kind.TIMESTAMPTZ:
        return f"{column}::timestamp AT TIME ZONE 'UTC'"
    if old in NUMBERS and new in NUMBERS:
        return f"{column}::text::{new.sql_type}"  # straight from double to numeric would round to 15 digits
    return f"{column}::text"


def written_otherwise(column: str, old: Kind, new: Kind) -> str | None:
    """The condition on rows whose value `converted` may write in another way than records do that bring it again; None
    where there are none. Instants lose their offset, doubles and numerics what stood behind the point (`1.0`).
    """
    if new is Kind.TEXT and old is Kind.NUMERIC:
        return f"scale({quote_identifier(column)}) > 0"
    loses = (old is Kind.TIMESTAMPTZ and new in {Kind.TEXT, Kind.JSONB}) or (
        old is Kind.DOUBLE and new is Kind.TEXT
    )
    return f"{quote_identifier(column)} IS NOT NULL" if loses else None


def widen_columns(table: Table, widenings: Iterable[tuple[str, Kind, Kind]]) -> str:
    """One ALTER TABLE, so that the table is rewritten once."""
    parts = []
    for name, old, new in widenings:
        column = quote_identifier(name)
        parts.append(f"ALTER COLUMN {column} TYPE {new.sql_type} USING {converted(column, old, new)}")
    return f"ALTER TABLE {relation(table)} {', '.join(parts)}"


def inexact_in_double(table: Table, column: str) -> str:
    """Whether an integer of `column` has no exact double."""
    name = quote_identifier(column)
    return f"SELECT EXISTS (SELECT FROM {relation(table)} WHERE abs({name}::numeric) > {EXACT_IN_DOUBLE})"


def count_up_to(table: Table, limit: int) -> str:
    """How many rows there are, counting no further than `limit`."""
    return f"SELECT count(*) FROM (SELECT FROM {relation(table)} LIMIT {limit}) AS counted"
