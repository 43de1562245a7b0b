"""Intervals: real elapsed time from an anchor, whatever clocks are set to.

Source: ISO 8601-1:2019 §5.5.2 for `PT15M`; years and months are refused, since they have no fixed length.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headwater.model.schedule_error import ScheduleError

MAX_INTERVAL_S = 3660 * 86_400  # ten years; longer is a slip of the pen
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_NAMES = {
    "w": "w|week|weeks",
    "d": "d|day|days",
    "h": "h|hour|hours",
    "m": "m|min|minute|minutes",
    "s": "s|sec|second|seconds",
}
_PARTS = [rf"(?:(?P<{unit}>[0-9]{{1,9}}) ?(?:{names}))?" for unit, names in _NAMES.items()]
_PLAIN = re.compile(" ?".join(_PARTS))
_ISO = re.compile(
    r"P(?:(?P<w>[0-9]{1,9})W|(?:(?P<d>[0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:(?P<h>[0-9]{1,9})H)?(?:(?P<m>[0-9]{1,9})M)?(?:(?P<s>[0-9]{1,9})S)?)?)"
)
_MEND = "write for example 45s, 90m, 1h30m, 1d or PT15M"


@dataclass(frozen=True, slots=True)
class Interval:
    """Due every `every_s` seconds, at the moments whose distance from `anchor` is a multiple of that."""

    every_s: int
    anchor: datetime = EPOCH  # aware UTC, whole seconds; it may lie ahead: it only sets the phase

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due time strictly after `moment` (aware); None past the end of datetime's years."""
        periods = (moment - self.anchor) // _SECOND // self.every_s + 1
        try:
            return self.anchor + timedelta(seconds=periods * self.every_s)
        except OverflowError:
            return None


def parse_interval(text: str, anchor: datetime | None = None) -> Interval:
    """The interval that `text` names: `45s`, `90m`, `1h30m`, `2 hours`, `1d12h`, `PT15M`, `P1DT12H`.

    `anchor` is aware, any zone; a fraction of a second in it is cut off. Default: 1970-01-01T00:00:00Z.
    Raises: ScheduleError of field `interval` or `anchor`.
    """
    seconds = _seconds(text)
    if anchor is None:
        return Interval(seconds)
    if anchor.tzinfo is None:
        raise ScheduleError("anchor", None, "the anchor has no zone", "give it with an offset or Z")
    return Interval(seconds, anchor.astimezone(UTC).replace(microsecond=0))


def _seconds(text: str) -> int:
    stripped = text.strip(" ")
    matched = _ISO.fullmatch(stripped) or _PLAIN.fullmatch(stripped)
    parts = matched.groupdict() if matched else {}
    if not any(parts.values()):
        raise _unreadable(text)
    seconds = sum(int(parts[unit] or 0) * length for unit, length in _UNITS_S.items())
    if seconds < 1:
        raise ScheduleError("interval", 1, f"`{stripped}` is no time at all", "the least is 1s")
    if seconds > MAX_INTERVAL_S:
        raise ScheduleError("interval", 1, f"`{stripped}` is more than ten years", "write a shorter one")
    return seconds


def _unreadable(text: str) -> ScheduleError:
    shown = text.strip(" ")[:60]
    at = len(text) - len(text.lstrip(" ")) + 1
    if not shown:
        return ScheduleError("interval", 1, "the interval is empty", _MEND)
    if re.fullmatch(r"[0-9]{1,9}", shown):
        return ScheduleError(
            "interval", at + len(shown), f"`{shown}` has no unit", f"write {shown}s or {shown}m"
        )
    if re.search(r"[0-9][.,][0-9]", shown):
        return ScheduleError(
            "interval", at, f"`{shown}` has a fraction", "use the smaller unit: 90m for 1.5h"
        )
    if every := re.fullmatch(r"(?i)@?every +(.+)", shown):
        return ScheduleError("interval", at, "`every` goes without saying", f"write {every[1]}")
    if re.fullmatch(r"(?i)P.*[YM].*|.*[0-9] ?(months?|years?|mo|y).*", shown):
        return ScheduleError(
            "interval",
            at,
            f"`{shown}` counts months or years, whose length changes",
            "use a cron expression such as 0 0 1 * *",
        )
    if _PLAIN.fullmatch(shown.lower()):
        return ScheduleError("interval", at, f"`{shown}` has a unit in capitals", f"write {shown.lower()}")
    return ScheduleError("interval", at, f"`{shown}` is not an interval", _MEND)


def short_text(seconds: int) -> str:
    """`seconds` in the units of an interval: 5400 is `1h30m`."""
    parts = []
    for unit, length in _UNITS_S.items():
        if unit == "w" and seconds % length:
            continue  # 8d reads better than 1w1d
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
