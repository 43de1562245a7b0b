"""Moments as people write them: ISO 8601, with an offset where nothing else says which clock is meant."""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

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


Moment = Annotated[dt.datetime, WrapValidator(_written)]
ZonedMoment = Annotated[
    dt.datetime, WrapValidator(_with_zone), Field(description="ISO 8601 with an offset or Z.")
]
