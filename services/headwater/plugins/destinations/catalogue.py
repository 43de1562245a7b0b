"""Tables as the database has them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headwater.model.infer import Kind
from headwater.model.names import OWN_COLUMNS, field_of_comment
from headwater.plugins.destinations.planning import EMPTY, Catalogue, Column, Index

# The types that headwater makes itself; a modifier, as in numeric(10,2), makes another type of it.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "boolean": Kind.BOOLEAN,
        "bigint": Kind.BIGINT,
        "double precision": Kind.DOUBLE,
        "numeric": Kind.NUMERIC,
        "date": Kind.DATE,
        "timestamp with time zone": Kind.TIMESTAMPTZ,
        "text": Kind.TEXT,
        "character varying": Kind.TEXT,
        "jsonb": Kind.JSONB,
    }
)

_COLUMNS = """
SELECT c.oid::bigint AS table_oid, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       col_description(c.oid, a.attnum) AS comment
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
 ORDER BY a.attnum
"""

_INDEXES = """
SELECT i.indisunique AS is_unique, c.relname::text AS name,
       COALESCE(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
       ARRAY(SELECT a.attname::text
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
              WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = $1::bigint::oid AND i.indisvalid AND i.indexprs IS NULL
"""


def _column(row: Any) -> Column:
    name = row["name"]
    field = None if name in OWN_COLUMNS else field_of_comment(row["comment"])
    return Column(name=name, kind=KINDS.get(row["type"]), sql_type=row["type"], field=field)


async def read_catalogue(connection: Any, schema: str, name: str) -> Catalogue:
    """The table `schema`.`name` as this transaction sees it; EMPTY when there is none."""
    rows = await connection.fetch(_COLUMNS, schema, name)
    if not rows:
        return EMPTY
    oid = rows[0]["table_oid"]
    indexes = await connection.fetch(_INDEXES, oid)
    return Catalogue(
        oid=oid,
        columns=tuple(_column(row) for row in rows),
        indexes=frozenset(
            Index(frozenset(i["columns"]), i["is_unique"], i["predicate"], i["name"]) for i in indexes
        ),
    )
