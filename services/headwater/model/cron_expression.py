"""A cron expression with every field expanded to its values."""

from dataclasses import dataclass, field
from datetime import time

from headwater.model.cron_days import DayRule


@dataclass(frozen=True, slots=True)
class CronExpression:
    """What an expression means. `text` is what was written, `items` its fields with names in capitals.

    `items` are in the order second, minute, hour, day of month, month, day of week, year; a field that was
    not written stands there as its default (`0` for the second, `*` for the year).
    """

    text: str
    items: tuple[str, ...]
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: DayRule = field(hash=False)
    is_interval: bool = False  # second, minute or hour has `*`, `-` or `/`: runs in both passes of an overlap
    has_plain_hours: bool = True  # missing hours are made up for after a gap
    is_hashed: bool = False  # has an H
    field_count: int = 5

    @property
    def first_time(self) -> time:
        """The first time of a day that matches."""
        return time(self.hours[0], self.minutes[0], self.seconds[0])

    @property
    def last_time(self) -> time:
        """The last time of a day that matches."""
        return time(self.hours[-1], self.minutes[-1], self.seconds[-1])
