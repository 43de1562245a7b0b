"""The rules for schedules once more, slow and plain: every minute (or second) of a stretch of UTC is looked at.

Shares no code with the implementation: fields are matched by walking their ranges, days by looking at the
neighbouring days, clock changes by comparing what the clock shows before and after.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
BOUNDS = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "dom": (1, 31),
    "month": (1, 12),
    "dow": (0, 6),
}
NAMES = {
    "month": ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    "dow": ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}


def number(kind: str, text: str) -> int:
    if text.isdigit():
        return int(text)
    return NAMES[kind].index(text.upper()) + (kind == "month")


@cache
def expand(kind: str, text: str) -> set[int]:
    """The values of a field without L, W and #, by walking."""
    low, high = BOUNDS[kind]
    found = set()
    for item in text.split(","):
        base, _, step = item.partition("/")
        if base == "*":
            first, last = low, high
        elif "-" in base:
            first, last = (number(kind, part) for part in base.split("-"))
        else:
            first = number(kind, base)
            last = (7 if kind == "dow" else high) if step else first
        if kind == "dow" and first == 7 and last != 7:
            first = 0
        walked, at = 0, first
        while True:
            if walked % int(step or 1) == 0:
                found.add(at % 7 if kind == "dow" else at)
            if at == last:
                break
            walked += 1
            at = at + 1 if at < max(high, last) else low
    return found


def month_day_fits(day: date, text: str) -> bool:
    if text in ("*", "?"):
        return True
    return any(_month_day_item_fits(day, item.upper()) for item in text.split(","))


@cache
def _month(year: int, month: int) -> list[date]:
    days = [date(year, month, 1) + n * DAY for n in range(31)]
    return [day for day in days if day.month == month]


def _month_day_item_fits(day: date, item: str) -> bool:
    month = _month(day.year, day.month)
    wants_weekday = item.endswith("W")
    item = item.removesuffix("W")
    if item.startswith("L"):
        back = int(item[2:] or 0)
        wanted = month[-1 - back] if back < len(month) else None
    elif wants_weekday:
        wanted = month[int(item) - 1] if int(item) <= len(month) else None
    else:
        return day.day in expand("dom", item)
    if wanted is None:
        return False
    if wants_weekday:
        wanted = min((d for d in month if d.weekday() < 5), key=lambda d: abs((d - wanted).days))
    return day == wanted


def weekday_fits(day: date, text: str) -> bool:
    if text in ("*", "?"):
        return True
    return any(_weekday_item_fits(day, item.upper()) for item in text.split(","))


def _weekday_item_fits(day: date, item: str) -> bool:
    sunday_first = (day.weekday() + 1) % 7
    if "#" in item:
        name, count = item.split("#")
        earlier = sum((day - n * 7 * DAY).month == day.month for n in range(5))
        return number("dow", name) % 7 == sunday_first and earlier == int(count)
    if item.endswith("L"):
        return number("dow", item[:-1]) % 7 == sunday_first and (day + 7 * DAY).month != day.month
    return sunday_first in expand("dow", item)


@dataclass
class Oracle:
    """Five or six fields."""

    expression: str
    match_all: bool = False

    def __post_init__(self):
        words = self.expression.split()
        self.second, minute, hour, self.dom, month, self.dow = words if len(words) == 6 else ["0", *words]
        self.seconds, self.minutes = expand("second", self.second), expand("minute", minute)
        self.hours, self.months = expand("hour", hour), expand("month", month)
        self.is_interval = any(sign in word for word in (self.second, minute, hour) for sign in "*-/")
        self.plain_hours = not any(sign in hour for sign in "*-/")
        self._days: dict[date, bool] = {}

    def day_fits(self, day: date) -> bool:
        if day not in self._days:
            by_month_day, by_weekday = month_day_fits(day, self.dom), weekday_fits(day, self.dow)
            both_set = self.dom not in ("*", "?") and self.dow not in ("*", "?")
            either = both_set and not self.match_all
            fits = (by_month_day or by_weekday) if either else (by_month_day and by_weekday)
            self._days[day] = fits and day.month in self.months
        return self._days[day]

    def fits(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.second in self.seconds
            and self.day_fits(wall.date())
        )

    def fires(self, clock: list[tuple[datetime, datetime]], tick: timedelta) -> list[datetime]:
        """Due instants of a stretch: pairs of instant (UTC) and what the clock shows (naive), one per tick."""
        found, seen, before = [], set(), None
        for instant, wall in clock:
            due = self.fits(wall) and (self.is_interval or wall not in seen)
            if before is not None and wall - before > tick and self.plain_hours:
                missing = before + tick
                while missing < wall:
                    due = due or self.fits(missing)
                    missing += tick
            if due:
                found.append(instant)
            seen.add(wall)
            before = wall
        return found


def clock_of(zone: str, start: datetime, hours: int, tick: timedelta) -> list[tuple[datetime, datetime]]:
    """What a clock in `zone` shows for `hours` hours from `start`."""
    place = ZoneInfo(zone)
    instants = [start + n * tick for n in range(int(timedelta(hours=hours) / tick))]
    return [(instant, instant.astimezone(place).replace(tzinfo=None, fold=0)) for instant in instants]


def first_after(found: list[datetime], moment: datetime) -> datetime | None:
    at = bisect_right(found, moment)
    return found[at] if at < len(found) else None


def random_expression(draw: random.Random, *, seconds: bool = False, near: int = 2) -> str:
    """An expression that often hits the hour `near`, where the clock changes; a third of them fixed times."""
    fields = [_random_field(draw, kind, near) for kind in ("minute", "hour", "dom", "month", "dow")]
    if draw.random() < 0.35:
        fields[:2] = [f"{draw.choice((0, 15, 29, 45))}", ",".join(f"{_hour(draw, near)}" for _ in range(2))]
    if seconds:
        fields.insert(0, _random_field(draw, "second", near))
    return " ".join(fields)


def _hour(draw: random.Random, near: int) -> int:
    return draw.choice((near, near, near, (near - 1) % 24, (near + 1) % 24, draw.randint(0, 23)))


def _random_field(draw: random.Random, kind: str, near: int) -> str:
    free = {"minute": 0.15, "second": 0.1, "hour": 0.35, "dom": 0.8, "month": 0.9, "dow": 0.8}[kind]
    if draw.random() < free:
        return "*"
    return ",".join(_random_item(draw, kind, near) for _ in range(draw.choice((1, 1, 1, 2, 3))))


def _random_item(draw: random.Random, kind: str, near: int) -> str:
    low, high = BOUNDS[kind]

    def one() -> int:
        if kind == "hour":
            return _hour(draw, near)
        if kind == "minute":
            return draw.choice((0, 0, 15, 30, 45, 59, draw.randint(0, 59)))
        return draw.randint(low, 7 if kind == "dow" else high)

    step = draw.randint(1, max(2, high // 2))
    forms = [f"{one()}"] * 4 + [f"{one()}-{one()}", f"{one()}-{one()}/{step}", f"*/{step}", f"{one()}/{step}"]
    if kind == "dom":
        forms += ["L", "LW", f"L-{draw.randint(1, 30)}", f"L-{draw.randint(1, 5)}W", f"{one()}W"]
    if kind == "dow":
        name = draw.choice(NAMES["dow"])
        forms += [
            name,
            f"{name}-{draw.choice(NAMES['dow'])}",
            f"{one()}L",
            f"{name}L",
            f"{one()}#{draw.randint(1, 5)}",
        ]
    if kind == "month":
        forms += ["NOV-FEB", draw.choice(NAMES["month"]).lower()]
    return draw.choice(forms)


__all__ = ["UTC", "Oracle", "clock_of", "first_after", "random_expression"]
