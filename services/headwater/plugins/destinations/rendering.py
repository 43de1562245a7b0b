"""Records as lines of PostgreSQL's COPY text format, column by column. Pure.

Text is exact (decimals digit for digit, instants as they were sent) and fast, since whole columns are joined,
checked and escaped at once. A record that PostgreSQL cannot take is found by rendering records one by one,
only when a chunk of them fails.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from headwater.contracts import codec
from headwater.model.errors import ContractError
from headwater.model.infer import Kind, holds, kind_of
from headwater.plugins.destinations.planning import WRITTEN_OWN, Plan
from headwater.plugins.destinations.selection import Selection
from headwater.plugins.destinations.table import Batch, Contract, Rejected

NULL = "\\N"
_SEAM = ',"\\\\u0000",'  # as it looks between two values after escaping
_NUL = "a text holds the character NUL, which PostgreSQL cannot store"
_NUL_WITHIN = "a nested text holds the character NUL, which PostgreSQL cannot store"


class Unstorable(Exception):
    """A value that PostgreSQL cannot take."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rendered rows: one line and one origin each, and what was rejected among them."""

    lines: list[str]
    origins: list[tuple[int, int]]
    rejected: tuple[Rejected, ...] = ()
    data: bytes = b""  # all lines


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    """Texts as COPY wants them. NUL, which PostgreSQL refuses, serves as the seam."""
    joined = "\0".join(texts)
    if "\\" not in joined and "\n" not in joined and "\t" not in joined and "\r" not in joined:
        return texts  # one with NUL is found among the lines
    if joined.count("\0") != len(texts) - 1:
        raise Unstorable(_NUL)
    escaped = joined.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return escaped.split("\0")


def _dumped(values: Sequence[Any]) -> Sequence[str]:
    """Values as JSON, escaped. All at once, with a text that no column can hold as the seam."""
    seamed: list[Any] = ["\0"] * (2 * len(values) - 1)
    seamed[::2] = values
    try:
        joined = codec.dumps(seamed)[1:-1].decode()
    except ContractError as error:
        raise Unstorable(str(error)) from error
    if joined.count("\\u0000") != len(values) - 1 and any(map(_has_nul, values)):
        raise Unstorable(_NUL_WITHIN)
    return joined.replace("\\", "\\\\").split(_SEAM)


def _has_nul(value: Any) -> bool:
    """Whether a text or name anywhere in `value` holds NUL."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
    return False


def plain_text(value: Any) -> str:
    """A value in a text column: texts as they are, everything else as JSON."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    try:
        return codec.dumps(value).decode()
    except ContractError as error:
        raise Unstorable(str(error)) from error


def _texts(values: Sequence[Any]) -> Sequence[str]:
    return _escaped(values if set(map(type, values)) == {str} else [plain_text(value) for value in values])


def _numbers(values: Sequence[Any]) -> Sequence[str]:
    """Shortest exact digits; written as JSON at once where JSON can (no NaN, no infinity, no giants)."""
    try:
        joined = codec.dumps(list(values))[1:-1].decode()
    except ContractError:
        return list(map(str, values))
    return list(map(str, values)) if "null" in joined else joined.split(",")


def _booleans(values: Sequence[Any]) -> Sequence[str]:
    return ["t" if value else "f" for value in values]


def _dates(values: Sequence[Any]) -> Sequence[str]:
    return values


def _instants(values: Sequence[Any]) -> Sequence[str]:
    return values if min(map(len, values)) > 10 else [v if len(v) > 10 else f"{v}T00:00:00Z" for v in values]


_RENDER: Mapping[Kind | None, Callable[[Sequence[Any]], Sequence[str]]] = MappingProxyType(
    {
        Kind.BOOLEAN: _booleans,
        Kind.INTEGER: _numbers,
        Kind.BIGINT: _numbers,
        Kind.DOUBLE: _numbers,
        Kind.NUMERIC: _numbers,
        Kind.DATE: _dates,
        Kind.TIMESTAMPTZ: _instants,
        Kind.TEXT: _texts,
        Kind.JSONB: _dumped,
        None: _texts,
    }
)


def render_column(kind: Kind | None, values: Sequence[Any]) -> Sequence[str]:
    """Values, all of which a column of `kind` holds, as COPY fields. Raises: Unstorable."""
    render = _RENDER[kind]
    if None not in values:
        return render(values)
    present = [value for value in values if value is not None]
    if not present:
        return [NULL] * len(values)
    rendered = iter(render(present))
    return [NULL if value is None else next(rendered) for value in values]


def _number(number: int | None) -> str:
    return NULL if number is None else str(number)


def _own(batches: Sequence[Batch], origins: Sequence[tuple[int, int]]) -> list[str]:
    """The fields `_run_id` to `_ordered_at` of each row."""
    around = {number: _around(batches[number]) for number in dict.fromkeys(number for number, _ in origins)}
    return [f"{around[number][0]}{around[number][1] + index}{around[number][2]}" for number, index in origins]


def _around(batch: Batch) -> tuple[str, int, str]:
    """What stands before a row's position, the position of the first, and what follows."""
    before = "\t".join([str(batch.run_id or NULL), str(batch.delivery_id or NULL), _number(batch.page), ""])
    return before, batch.first_position, f"\t{batch.ordered_at.isoformat()}"


def _misfits(plan: Plan, record: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `record` that have no column, or one that does not take them."""
    found = {name: record[name] for name in plan.homeless if record.get(name) is not None}
    for name in plan.narrow:
        value, kind = record.get(name), plan.columns[name].kind
        if value is not None and kind is not None and not holds(kind, kind_of(value)):
            found[name] = value
    return found


def _settle_misfits(
    plan: Plan, part: Selection
) -> tuple[Selection, list[dict[str, Any] | None], list[Rejected]]:
    """The records with misfitting values taken out, what goes to `_extra` for each, and the rejected."""
    kept = Selection([], [])
    extras: list[dict[str, Any] | None] = []
    rejected: list[Rejected] = []
    for record, origin in zip(part.records, part.origins, strict=True):
        misfits = _misfits(plan, record)
        reason = _misfit_refusal(plan, misfits)
        if reason is not None:
            rejected.append(Rejected(*origin, reason, record))
            continue
        kept.records.append({k: v for k, v in record.items() if k not in misfits} if misfits else record)
        kept.origins.append(origin)
        extras.append(misfits if misfits and plan.table.contract is Contract.EVOLVE else None)
    return kept, extras, rejected


def _misfit_refusal(plan: Plan, misfits: Mapping[str, Any]) -> str | None:
    for name in misfits:
        if name in plan.table.key:
            return (
                f"the value of key field {name!r} does not fit its column, which is {_type_of(plan, name)}: "
                "give the field the type text and run the stream in mode full with force"
            )
        if plan.table.contract is Contract.DISCARD_ROW:
            fault = "is new" if name in plan.homeless else "does not fit its column"
            return f"field {name!r} {fault}, and the table's contract discards such records"
    return None


def _type_of(plan: Plan, name: str) -> str:
    return plan.columns[name].sql_type if name in plan.columns else "missing"


def _lines(plan: Plan, batches: Sequence[Batch], part: Selection, extras: Sequence[Any] | None) -> list[str]:
    size = len(part.records)
    values = part.columns
    nothing = (None,) * size
    fields: list[Sequence[str]] = [
        render_column(column.kind, values.get(name, nothing)) for name, column in plan.columns.items()
    ]
    fields.append(_own(batches, part.origins))
    fields.append([NULL] * size if extras is None else render_column(Kind.JSONB, extras))
    return list(map("\t".join, zip(*fields, strict=True)))


def encoded(lines: Sequence[str]) -> bytes:
    """Lines as they go over the wire. Raises: Unstorable."""
    try:
        data = ("\n".join(lines) + "\n").encode() if lines else b""
    except UnicodeEncodeError as error:
        raise Unstorable("a text holds half of a surrogate pair, which is no character") from error
    if b"\0" in data:
        raise Unstorable(_NUL)
    return data


def _render_part(plan: Plan, batches: Sequence[Batch], part: Selection) -> Chunk:
    extras: Sequence[Any] | None = None
    rejected: list[Rejected] = []
    if plan.narrow or plan.homeless:
        part, extras, rejected = _settle_misfits(plan, part)
    if not part.records:
        return Chunk([], [], tuple(rejected))
    return _rendered(plan, batches, part, extras, tuple(rejected))


def _rendered(
    plan: Plan,
    batches: Sequence[Batch],
    part: Selection,
    extras: Sequence[Any] | None,
    rejected: tuple[Rejected, ...] = (),
) -> Chunk:
    """The lines of a part; one that holds what cannot be stored is halved until that stands alone."""
    try:
        lines = _lines(plan, batches, part, extras)
        return Chunk(lines, part.origins, rejected, encoded(lines))
    except Unstorable as error:
        size = len(part.records)
        if size == 1:
            return Chunk([], [], (*rejected, Rejected(*part.origins[0], str(error), part.records[0])))
    half = size // 2
    one, two = (
        _rendered(plan, batches, part.part(start, stop), None if extras is None else extras[start:stop])
        for start, stop in ((0, half), (half, size))
    )
    return Chunk(
        one.lines + two.lines,
        one.origins + two.origins,
        (*rejected, *one.rejected, *two.rejected),
        one.data + two.data,
    )


def written_columns(plan: Plan) -> list[str]:
    """The columns of each line, in order."""
    return [*(column.name for column in plan.columns.values()), *WRITTEN_OWN]


def render(plan: Plan, batches: Sequence[Batch], selection: Selection) -> Iterator[Chunk]:
    """The selected records as lines of `written_columns`, a part at a time."""
    for part in selection.parts:
        yield _render_part(plan, batches, part)
