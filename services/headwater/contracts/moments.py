"""Moments as people write them: ISO 8601, with an offset where nothing else says which clock is meant."""

import datetime as dt
import re
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticKnownError

_EXAMPLE = "2026-05-01T02:00:00+02:00"
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?")
_BLANK_FOR_PLUS = re.compile(r"(.*T.*[0-9]) ([0-9]{2}:[0-9]{2})")


def _written(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, str):
        # in a query a plus sign arrives as a blank
        value = _BLANK_FOR_PLUS.sub(r"\1+\2", value.strip())
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError(f"`{str(value)[:40]}` is a number and no time; write for example {_EXAMPLE}")
    try:
        return read(value)
    except ValidationError:
        raise ValueError(f"`{str(value)[:40]}` is no time; write for example {_EXAMPLE}") from None


def _with_zone(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    moment = _written(value, read)
    if moment.tzinfo is None:
        raise ValueError("has no zone; write it with an offset or Z, 2026-05-01T02:00:00Z")
    return moment


_FORMATS = ("iso", "date", "epoch_s", "epoch_ms")
_CURSOR_FORMATS = ("as_is", *_FORMATS, "integer")
_DIRECTIVES = "aAbBdfHIjLmMpSyYz%"
_PATTERN = rf"^(?:[^%\x00-\x1f]|%[{_DIRECTIVES}])+$"


def _pattern(text: str) -> str:
    if len(text) > 64 or "%" not in text or not re.fullmatch(_PATTERN, text):
        shown = ", ".join(f"%{letter}" for letter in _DIRECTIVES)
        raise ValueError(
            f"{text[:40]!r} is no pattern of a time; write one such as %Y-%m-%d %H:%M:%S, of {shown}"
        )
    return text


def _one_of(names: tuple[str, ...], text: str) -> str:
    if text in names or "%" in text:
        return text if text in names else _pattern(text)
    named = [repr(name) for name in (*names, "%Y-%m-%d %H:%M")]
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(named[:-1])} or {named[-1]}"})


def _schema(names: tuple[str, ...]) -> WithJsonSchema:
    pattern = {"type": "string", "pattern": f"(?=.*%){_PATTERN}", "maxLength": 64}
    return WithJsonSchema({"anyOf": [{"type": "string", "enum": list(names)}, pattern]})


Pattern = Annotated[
    str, AfterValidator(_pattern), WithJsonSchema({"type": "string", "pattern": _PATTERN, "maxLength": 64})
]
MomentFormat = Annotated[str, AfterValidator(partial(_one_of, _FORMATS)), _schema(_FORMATS)]
CursorFormat = Annotated[str, AfterValidator(partial(_one_of, _CURSOR_FORMATS)), _schema(_CURSOR_FORMATS)]
Moment = Annotated[dt.datetime, WrapValidator(_written)]
ZonedMoment = Annotated[
    dt.datetime, WrapValidator(_with_zone), Field(description="ISO 8601 with an offset or Z.")
]
