"""From a record to the fields of its row: filter, getters, types, defaults, constants, masks. Pure.

A record that cannot be mapped is rejected alone, with its reason; masked values never stand in reasons.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from headwater.contracts.fields import RecordField
from headwater.model.errors import ConfigError, ContractError, SourceError
from headwater.model.infer import Kind
from headwater.plugins.conversions import CONVERSIONS, KEEPS_EMPTY, CannotBeError, text_of
from headwater.plugins.expressions import MISSING, Getter, compile_path, is_true
from headwater.plugins.secret_text import Secrets, fill

_STARS = "***"
_KINDS: MappingProxyType[str | None, Kind] = MappingProxyType(
    {"decimal": Kind.NUMERIC, "text": Kind.TEXT}
)  # of what looks like less than it is
_FIRST = re.compile(r'^(?:([A-Za-z_][A-Za-z0-9_]*)|"([^"\\]+)")(\.|$)')
_PLAIN = re.compile(r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+"))*')
_REASON = 300
Hide = Callable[[Any, Secrets], Any]
Kinds = tuple[tuple[str, Kind], ...]  # by the names of fields


def kinds_of(fields: Sequence[RecordField]) -> Kinds:
    """What the columns of fields are at least, where their values do not tell: a decimal that a double would hold, a
    text that is a date.
    """
    return tuple((rule.name, _KINDS[rule.type]) for rule in fields if rule.type in _KINDS and not rule.mask)


def keeps_scale(fields: Sequence[RecordField]) -> bool:
    """Whether zeros behind a point are to be kept: a decimal is the same number digit for digit."""
    return any(rule.type == "decimal" for rule in fields)


@dataclass(frozen=True, slots=True)
class Mapped:
    """The rows of a page's records, and those that have none: their index among the records, and why."""

    rows: list[Any]
    rejected: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    getter: Getter | None
    constant: Any
    default: Any
    convert: Callable[[Any], Any] | None
    keeps_empty: bool
    hide: Hide | None


class Mapper:
    """The filter and fields of one stream, compiled. Raises: ConfigError, `place: what is wrong`."""

    def __init__(self, fields: Sequence[RecordField], *, keep_rest: bool, only: str | None = None) -> None:
        self._filter = None if only is None else _compiled("records.filter", only)
        self._fields = tuple(_field(index, rule) for index, rule in enumerate(fields))
        self._keep_rest = keep_rest
        self._taken = _taken(fields) if keep_rest else frozenset()
        names = [rule.name for rule in fields]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ConfigError(f"fields.{index}: {name!r} is given twice; rename one of them")

    @property
    def is_needed(self) -> bool:
        """Whether it does anything."""
        return self._filter is not None or bool(self._fields)

    def apply(self, records: Sequence[Any], secrets: Secrets) -> Mapped:
        """The rows of those records that the filter wants. Raises: SecretError when a hash's key is not there."""
        rows: list[Any] = []
        rejected: list[tuple[int, str]] = []
        for index, record in enumerate(records):
            try:
                if self._filter is not None and not is_true(self._filter(record)):
                    continue
                rows.append(self._row(record, secrets) if self._fields else record)
            except (CannotBeError, SourceError) as error:
                rejected.append((index, str(error)[:_REASON]))
        return Mapped(rows, tuple(rejected))

    def _row(self, record: Any, secrets: Secrets) -> dict[str, Any]:
        row: dict[str, Any] = {}
        if self._keep_rest and isinstance(record, dict):
            row = {name: value for name, value in record.items() if name not in self._taken}
        for one in self._fields:
            value = _value(one, record)
            if value is MISSING:
                row.pop(one.name, None)
                continue
            row[one.name] = one.hide(value, secrets) if one.hide is not None and value is not None else value
        return row


def _value(one: _Field, record: Any) -> Any:
    if one.getter is None:
        return one.constant
    value = one.getter(record)
    if one.convert is not None and value == "" and not one.keeps_empty:
        value = None
    if value is MISSING or value is None:
        return value if one.default is None else one.default
    if one.convert is None:
        return value
    try:
        return one.convert(value)
    except (CannotBeError, ContractError) as error:
        shown = "the value is not of its type" if one.hide is not None else str(error)
        raise CannotBeError(f"field {one.name!r}: {shown}") from error


def _field(index: int, rule: RecordField) -> _Field:
    place = f"fields.{index}"
    path = rule.path
    getter = None
    if rule.constant is None:
        getter = _by_name(rule.name) if path is None else _compiled(f"{place}.path", path)
    convert = CONVERSIONS[rule.type] if rule.type is not None else None
    keeps_empty = rule.type in KEEPS_EMPTY
    default = rule.default
    if default is not None and convert is not None:
        try:
            default = convert(default)
        except (CannotBeError, ContractError) as error:
            raise ConfigError(f"{place}.default: {error}; write a value of type {rule.type}") from error
    return _Field(rule.name, getter, rule.constant, default, convert, keeps_empty, _hiding(rule))


def _by_name(name: str) -> Getter:
    return lambda record: record.get(name, MISSING) if isinstance(record, dict) else MISSING


def _compiled(place: str, expression: str) -> Getter:
    try:
        return compile_path(expression)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _hiding(rule: RecordField) -> Hide | None:
    if rule.mask:
        return lambda value, secrets: _STARS  # noqa: ARG005 - every way to hide takes these
    if rule.hash is True:
        return lambda value, secrets: hashlib.sha256(_bytes(value)).hexdigest()  # noqa: ARG005 - as above
    if isinstance(rule.hash, str):
        key = rule.hash
        return lambda value, secrets: hmac.new(
            fill(key, secrets).reveal(), _bytes(value), hashlib.sha256
        ).hexdigest()
    return None


def _bytes(value: Any) -> bytes:
    return text_of(value).encode("utf-8", "surrogatepass")


def _taken(fields: Sequence[RecordField]) -> frozenset[str]:
    """The record's own fields that do not stay beside the mapped ones: what was renamed, and what is hidden.

    Raises: ConfigError when it cannot be said where a hidden value stands in the record.
    """
    taken: set[str] = set()
    for index, rule in enumerate(fields):
        if rule.constant is not None:
            continue
        if rule.path is None:
            taken.add(rule.name)
            continue
        first = _FIRST.match(rule.path)
        is_hidden = rule.mask or bool(rule.hash)
        if is_hidden and not (first and _PLAIN.fullmatch(rule.path)):
            raise ConfigError(
                f"fields.{index}.path: the hidden value would stay in the rest; write a plain path, or set rest: drop"
            )
        if first and (is_hidden or not first[3]):
            taken.add(first[1] or first[2])
    return frozenset(taken)
