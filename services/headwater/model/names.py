"""Names in PostgreSQL: fields become columns, tenants become schemas, and every name is quoted in one place.

Invariant: two different fields never share a column. A field keeps the column it was given first; the table
remembers which (a comment on the column), so the answer does not depend on what else a batch holds.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

NAME_BYTES = 63  # PostgreSQL cuts longer identifiers silently
_HASH_LENGTHS = (8, 16, 32, 48)
DEFAULT_TENANT = "default"  # the first one, and whoever names none means it

# Columns that headwater keeps itself, and those that PostgreSQL has in every table.
OWN_COLUMNS = frozenset(
    {
        "_run_id", "_delivery_id", "_page", "_position", "_ordered_at", "_loaded_at", "_extra",
        "_deleted_at", "_valid_from", "_valid_to",
    }
)  # fmt: skip
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
RESERVED_COLUMNS = OWN_COLUMNS | SYSTEM_COLUMNS

# Fields that headwater adds to records: a leading NUL, which a column's name cannot have, sets them apart.
CHILDREN_FIELD = "\0children"  # a digest of the lists that went to child tables; column `_children`
PARENT = "\0parent_"  # in child tables, before the name of a key field of the parent: column `_parent_id`

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PLAIN_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9_]{0,58}[a-z0-9])?")
_HASHED = re.compile(r".*__[0-9a-f]{8}")


def quote_identifier(name: str) -> str:
    """`name` as a quoted identifier. Raises: ValueError when PostgreSQL would refuse or cut it."""
    if not name or "\x00" in name or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        raise ValueError(f"{name[:80]!r} is no PostgreSQL name: 1 to {NAME_BYTES} bytes without NUL")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """`text` as a string constant, for statements that take no parameters. Raises: ValueError on NUL."""
    if "\x00" in text:
        raise ValueError("a text with NUL cannot be written in SQL")
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def qualified(schema: str, name: str) -> str:
    """`"schema"."name"`."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def _cut(text: str, limit: int) -> str:
    """The longest beginning of `text` that has at most `limit` bytes and ends with a whole character."""
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def hashed_name(stem: str, source: str, length: int = 8) -> str:
    """`stem` (cut where needed) with a hash of `source`, at most 63 bytes."""
    return f"{_cut(stem, NAME_BYTES - length - 1)}_{_digest(source, length)}"


def fold(field: str) -> str:
    """`field` in snake_case: letters, digits and marks of any script stay, everything else becomes `_`.

    Never empty, never starts with a digit; may be longer than a name can be.
    """
    if _PLAIN.fullmatch(field):
        return field
    words = _WORD_START.sub("_", unicodedata.normalize("NFC", field)).lower()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "_" for c in words)
    folded = re.sub("_{2,}", "_", kept).rstrip("_") if kept.strip("_") else "field"
    return f"_{folded}" if folded[0].isdigit() else folded


def _names_for(field: str) -> Iterator[str]:
    """The names that `field` may have, best first. All are free of reserved names."""
    if field.startswith((CHILDREN_FIELD, PARENT)):
        folded = f"_{fold(field[1:])}"
    else:
        folded = fold(field)
        if folded in RESERVED_COLUMNS or folded.startswith(("_parent_", "_children")):
            folded += "_"
    if len(folded.encode("utf-8")) <= NAME_BYTES:
        yield folded
    for length in _HASH_LENGTHS:
        yield hashed_name(folded, field, length)


def assign_columns(fields: Iterable[str], taken: Mapping[str, str | None]) -> dict[str, str]:
    """The column of each of `fields`.

    `taken` names the columns that exist, each with the field that holds it (None: nobody's yet, which a field
    may claim); a field has the one of its very name, if that is free. Fields that need no change come first, then the
    others in the order of their code points, so the answer does not depend on the order of `fields`.
    """
    holders = dict(taken)
    columns = {field: column for column, field in taken.items() if field is not None}
    answer: dict[str, str] = {}
    for field in sorted(set(fields), key=lambda field: (fold(field) != field, field)):
        own = field if field in holders and holders[field] is None else None
        wanted = (n for n in _names_for(field) if holders.get(n) in {None, field})
        column = columns.get(field) or own or next(wanted)
        holders[column] = field
        answer[field] = column
    return answer


def field_comment(field: str) -> str:
    """The comment that marks a column as held by `field` (ASCII, whatever the field's name)."""
    return "Field " + json.dumps(field)


def field_of_comment(comment: str | None) -> str | None:
    """The field that a column's comment names; None when the comment is none of ours."""
    if comment is None or not comment.startswith('Field "'):
        return None
    try:
        field = json.loads(comment.removeprefix("Field "))
    except ValueError:
        return None
    return field if isinstance(field, str) else None


def schema_for(tenant: str) -> str:
    """The schema that holds a tenant's tables: `hw_` + tenant; where that would need quoting, folded with a
    hash.

    Different tenants have different schemas.
    """
    if _PLAIN_TENANT.fullmatch(tenant) and not _HASHED.fullmatch(tenant):
        return f"hw_{tenant}"
    return f"hw_{_cut(fold(tenant), NAME_BYTES - 13)}__{_digest(tenant, 8)}"
