"""Values into the type that a field is to have. Pure; what cannot be turned without loss is refused."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from headwater.contracts.codec import dumps, loads
from headwater.model.errors import ContractError
from headwater.plugins.instants import instant_of, instant_of_number, iso

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_INT64 = 2**63
_TRUE = frozenset({"true", "t", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "off"})
_SHOWN = 40


class CannotBeError(ValueError):
    """A value that cannot become the type."""


def _refuse(value: Any, what: str) -> CannotBeError:
    shown = text_of(value)
    return CannotBeError(f"{shown[:_SHOWN]!r}{'…' if len(shown) > _SHOWN else ''} is no {what}")


def text_of(value: Any) -> str:
    """The value as text: numbers digit for digit, objects as JSON."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else dumps(value).decode()


def _number(value: Any, what: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise _refuse(value, what)
    try:
        number = Decimal(value.strip() if isinstance(value, str) else str(value))
    except InvalidOperation as error:
        raise _refuse(value, what) from error
    if not number.is_finite():
        raise _refuse(value, what)
    return number


def _integer(value: Any) -> int | Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and not _INTEGER.fullmatch(value.strip()):
        raise _refuse(value, "integer")
    number = _number(value, "integer")
    if number.adjusted() > 4000 or number != number.to_integral_value():
        raise _refuse(value, "integer")
    whole = int(number)
    return whole if -_INT64 <= whole < _INT64 else Decimal(whole)  # JSON writers hold 64 bits


def _float(value: Any) -> float:
    number = float(_number(value, "number"))
    if number in {float("inf"), float("-inf")}:
        raise _refuse(value, "number")
    return number


def _decimal(value: Any) -> Decimal:
    return _number(value, "decimal")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = text_of(value).strip().lower() if isinstance(value, str | int) else ""
    if text not in _TRUE | _FALSE:
        raise _refuse(value, "boolean")
    return text in _TRUE


def _timestamp(value: Any) -> str:
    """An instant in UTC; without an offset it is taken as UTC."""
    moment = None
    if isinstance(value, str):
        text = value.strip()
        moment = instant_of(text)
        if moment is None and _INTEGER.fullmatch(text) and len(text) >= 9:
            moment = instant_of_number(Decimal(text))
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        moment = instant_of_number(_number(value, "timestamp"))
    if moment is None:
        raise _refuse(value, "timestamp")
    return iso(moment)


def _date(value: Any) -> str:
    """The day as it is written; of a number the day in UTC."""
    if isinstance(value, str) and instant_of(value.strip()) is not None:
        return date.fromisoformat(value.strip()[:10]).isoformat()
    if isinstance(value, str | bool):
        raise _refuse(value, "date")
    try:
        return _timestamp(value)[:10]
    except CannotBeError as error:
        raise _refuse(value, "date") from error


def _json(value: Any) -> Any:
    """A text holds JSON; everything else is what it is."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value.encode("utf-8", "replace"))
    except ContractError as error:
        raise _refuse(value, "JSON") from error


CONVERSIONS: MappingProxyType[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "text": text_of,
        "integer": _integer,
        "number": _float,
        "decimal": _decimal,
        "boolean": _boolean,
        "timestamp": _timestamp,
        "date": _date,
        "json": _json,
    }
)
KEEPS_EMPTY = frozenset({"text", "json"})  # types that an empty text is a value of
