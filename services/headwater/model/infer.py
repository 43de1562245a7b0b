"""Column types from what is seen, and how they widen.

`widen` is the join of a semilattice (commutative, associative, idempotent), so the type of a column does not
depend on the order in which values come. Conservative: text stays text unless it is a strict ISO 8601 date or
an instant with offset that PostgreSQL keeps to the last digit; a type is only taken where it holds the value
exactly.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter
from types import MappingProxyType
from typing import Any


class Kind(StrEnum):
    """What is known of a field. INTEGER is a bigint whose values a double holds exactly as well."""

    NULL = "null"  # no evidence
    BOOLEAN = "boolean"
    INTEGER = "integer"
    BIGINT = "bigint"
    DOUBLE = "double precision"
    NUMERIC = "numeric"
    DATE = "date"
    TIMESTAMPTZ = "timestamptz"
    TEXT = "text"
    JSONB = "jsonb"

    @property
    def sql_type(self) -> str:
        """The column type that holds it."""
        return "bigint" if self is Kind.INTEGER else "text" if self is Kind.NULL else self.value


NUMBERS = frozenset({Kind.INTEGER, Kind.BIGINT, Kind.DOUBLE, Kind.NUMERIC})
INSTANTS = frozenset({Kind.DATE, Kind.TIMESTAMPTZ})

EXACT_IN_DOUBLE = 2**53
_INT64 = 2**63
_NUMERIC_DIGITS = 131_072  # before the point
_NUMERIC_SCALE = 16_383  # after it

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Microseconds are what PostgreSQL keeps: a finer instant stays text, unless only zeros follow.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-](?:0[0-9]|1[0-5]):?[0-5][0-9])"
)


def _widen_numbers(pair: frozenset[Kind]) -> Kind:
    if pair == {Kind.INTEGER, Kind.BIGINT}:
        return Kind.BIGINT
    return Kind.DOUBLE if pair == {Kind.INTEGER, Kind.DOUBLE} else Kind.NUMERIC


def widen(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds both. A date among instants is its midnight in UTC."""
    pair = frozenset({one, other})
    if len(pair) == 1:
        return one
    if Kind.NULL in pair:
        return one if other is Kind.NULL else other
    if Kind.JSONB in pair:
        return Kind.JSONB
    if pair <= NUMBERS:
        return _widen_numbers(pair)
    return Kind.TIMESTAMPTZ if pair <= INSTANTS else Kind.TEXT


def holds(column: Kind, value: Kind) -> bool:
    """Whether a column of this kind takes a value of that kind as it is."""
    return widen(column, value) is column


def _integer_kind(numbers: Sequence[int]) -> Kind:
    low, high = min(numbers), max(numbers)
    if low >= -EXACT_IN_DOUBLE and high <= EXACT_IN_DOUBLE:
        return Kind.INTEGER
    if low >= -_INT64 and high < _INT64:
        return Kind.BIGINT
    size = max(-low, high).bit_length()
    return Kind.NUMERIC if size < _NUMERIC_DIGITS * 3 else Kind.TEXT


def _one_decimal_kind(number: Decimal) -> Kind:
    if not number.is_finite():
        return Kind.DOUBLE
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if number.adjusted() >= _NUMERIC_DIGITS or -exponent > _NUMERIC_SCALE:
        return Kind.TEXT
    if exponent == 0:
        return _integer_kind((int(number),))
    return Kind.DOUBLE if Decimal(repr(float(number))) == number else Kind.NUMERIC


def _decimal_kind(numbers: Sequence[Decimal]) -> Kind:
    kind = Kind.NULL
    for number in numbers:
        kind = widen(kind, _one_decimal_kind(number))
    return kind


def kind_of_text(text: str) -> Kind:
    """DATE for a calendar date `YYYY-MM-DD`, TIMESTAMPTZ for an ISO 8601 instant with seconds and offset,
    no finer than a microsecond; else TEXT.
    """
    try:
        if _DATE.fullmatch(text):
            date.fromisoformat(text)
            return Kind.DATE
        if _INSTANT.fullmatch(text):
            datetime.fromisoformat(text)
            return Kind.TIMESTAMPTZ
    except ValueError:
        return Kind.TEXT  # 30 February
    return Kind.TEXT


def _lines_of(shape: re.Pattern[str]) -> re.Pattern[str]:
    """Any number of lines of this shape: one look at all of them takes half as long as one at each."""
    return re.compile(f"(?:{shape.pattern}\n)*+")


_DATES, _INSTANTS = _lines_of(_DATE), _lines_of(_INSTANT)


def _all_pass(texts: Collection[str], lines: re.Pattern[str], parse: Callable[[str], object]) -> bool:
    """Whether every text is a line of that shape and can be parsed."""
    joined = "\n".join(texts) + "\n"
    if joined.count("\n") != len(texts) or not lines.fullmatch(joined):
        return False
    try:
        deque(map(parse, texts), maxlen=0)
    except ValueError:
        return False
    return True


def _text_kind(texts: Sequence[str]) -> Kind:
    """Most columns are settled by their first text, or are of one kind throughout."""
    if kind_of_text(texts[0]) is Kind.TEXT:
        return Kind.TEXT
    different = set(texts)
    if _all_pass(different, _INSTANTS, datetime.fromisoformat):
        return Kind.TIMESTAMPTZ
    if _all_pass(different, _DATES, date.fromisoformat):
        return Kind.DATE
    return widest(map(kind_of_text, different))


def _always(kind: Kind) -> Callable[[Sequence[Any]], Kind]:
    return lambda _: kind


_OF_TYPE: Mapping[type, Callable[[Sequence[Any]], Kind]] = MappingProxyType(
    {
        type(None): _always(Kind.NULL),
        bool: _always(Kind.BOOLEAN),
        int: _integer_kind,
        float: _always(Kind.DOUBLE),
        Decimal: _decimal_kind,
        str: _text_kind,
        list: _always(Kind.JSONB),
        tuple: _always(Kind.JSONB),
        dict: _always(Kind.JSONB),
    }
)
_TOP_OF_TYPE = MappingProxyType({float: Kind.DOUBLE, bool: Kind.BOOLEAN, str: Kind.TEXT})


def kind_of_values(values: Sequence[Any], known: Kind = Kind.NULL) -> Kind:
    """The narrowest kind that holds `known` and all `values` (JSON values, Decimals among them).

    Types that JSON does not have are no evidence: writing them fails for their record alone.
    """
    kind = known
    types = set(map(type, values))
    for seen in types:
        if kind is Kind.JSONB:
            return kind
        if holds(kind, _TOP_OF_TYPE.get(seen, Kind.JSONB)):
            continue  # nothing of this type can widen it
        of_type = values if len(types) == 1 else [value for value in values if type(value) is seen]
        kind = widen(kind, _OF_TYPE.get(seen, _always(Kind.NULL))(of_type))
    return kind


def kind_of(value: Any) -> Kind:
    """The kind of one value."""
    return kind_of_values((value,))


def fields_of(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The fields of `records` in the order in which they are first seen."""
    seen: dict[str, None] = {}
    for names in dict.fromkeys(map(tuple, records)):  # most records have the same fields
        seen.update(dict.fromkeys(names))
    return tuple(seen)


def columns_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Each field's values over all `records`, None where a record lacks it."""
    first = records[0] if records else {}
    if len(first) > 1 and len(set(map(len, records))) == 1:  # most often all have the same fields
        try:
            rows = list(map(itemgetter(*first), records))
        except KeyError:
            pass
        else:
            return dict(zip(first, zip(*rows, strict=True), strict=True))
    return {field: [record.get(field) for record in records] for field in fields_of(records)}


def infer(
    records: Sequence[Mapping[str, Any]],
    known: Mapping[str, Kind] = MappingProxyType({}),
    *,
    chunk: int = 1000,
) -> dict[str, Kind]:
    """The kind of every field of `records`, in the order first seen; `known` kinds are widened, never
    narrowed.

    Fields that are only ever null and are not known come as Kind.NULL.
    """
    parts = (columns_of(records[start : start + chunk]) for start in range(0, len(records), chunk))
    return kinds_in(parts, known)


def kinds_in(
    parts: Iterable[Mapping[str, Sequence[Any]]], known: Mapping[str, Kind] = MappingProxyType({})
) -> dict[str, Kind]:
    """As `infer`, of records that are columns already."""
    kinds: dict[str, Kind] = {}
    for columns in parts:
        for field, values in columns.items():
            kinds[field] = kind_of_values(values, kinds.get(field, known.get(field, Kind.NULL)))
    return kinds


def widest(kinds: Iterable[Kind]) -> Kind:
    """The join of all `kinds`; Kind.NULL for none."""
    answer = Kind.NULL
    for kind in kinds:
        answer = widen(answer, kind)
    return answer
