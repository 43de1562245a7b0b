"""The seven fields of a cron expression: names, bounds, and the values a range stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

FIRST_YEAR = 1970
LAST_YEAR = 2099  # croniter's bound too; no search goes on beyond it

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NO_NAMES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CronField:
    """One field. Values run from `low` to `high`; `top` is the largest number that may be written."""

    name: str
    low: int
    high: int
    top: int
    allowed: str  # for people
    names: Mapping[str, int] = field(default_factory=lambda: _NO_NAMES, hash=False)
    unit: str = ""  # of an interval; empty where no interval has this unit

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def span(self, first: int, last: int, step: int = 1) -> list[int]:
        """The values from `first` to `last`, in that order; past the end they go on at the beginning.

        The step is counted across the wrap: minutes 45-15/20 are 45 and 5. Day of week 7 comes out as 0.
        """
        end = last if last >= first else last + self.size
        return [(value - self.low) % self.size + self.low for value in range(first, end + 1, step)]


SECOND = CronField("second", 0, 59, 59, "0 to 59", unit="s")
MINUTE = CronField("minute", 0, 59, 59, "0 to 59", unit="m")
HOUR = CronField("hour", 0, 23, 23, "0 to 23", unit="h")
DAY_OF_MONTH = CronField("day_of_month", 1, 31, 31, "1 to 31", unit="d")
MONTH = CronField(
    "month",
    1,
    12,
    12,
    "1 to 12 or JAN to DEC",
    MappingProxyType({name: number for number, name in enumerate(_MONTHS, 1)}),
)
DAY_OF_WEEK = CronField(
    "day_of_week",
    0,
    6,
    7,  # 0 and 7 are both Sunday
    "0 to 7 (0 and 7 are Sunday) or SUN to SAT",
    MappingProxyType({name: number for number, name in enumerate(_WEEKDAYS)}),
    unit="d",
)
YEAR = CronField("year", FIRST_YEAR, LAST_YEAR, LAST_YEAR, f"{FIRST_YEAR} to {LAST_YEAR}")

FIVE = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)
LAYOUTS: Mapping[int, tuple[CronField, ...]] = MappingProxyType(
    {5: FIVE, 6: (SECOND, *FIVE), 7: (SECOND, *FIVE, YEAR)}
)
