"""Lengths of time as people write them: `30s`, `5m`, `1h30m`, `PT15M`."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from headwater.model.schedule_error import ScheduleError
from headwater.model.schedule_interval import parse_interval


def _has_a_unit(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueErrors, not TypeErrors
            f"`{value:g}` has no unit; write {value:g}s or {value:g}m"
        )
    return value


def _can_be_read(text: str) -> str:
    if text.strip() in {"0", "0s"}:
        raise ValueError("is no time at all; leave it out, or write at least 1s")
    try:
        parse_interval(text)
    except ScheduleError as error:
        raise ValueError(f"{error.cause}; {error.mend}") from error
    return text


Duration = Annotated[str, BeforeValidator(_has_a_unit), AfterValidator(_can_be_read)]


def seconds_of(duration: str) -> int:
    """The whole seconds of a duration, at least 1. Raises: ScheduleError when it cannot be read."""
    return parse_interval(duration).every_s
