"""From the text of a cron expression to its meaning; whatever cannot be kept is refused with its mend.

Source: POSIX crontab for five fields, Quartz for L, W, #, `?`, seconds and years, Jenkins for H.
"""

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from headwater.model import cron_field as fields
from headwater.model.cron_days import DayRule, has_any_day
from headwater.model.cron_expression import CronExpression
from headwater.model.cron_field import CronField
from headwater.model.cron_item import Item, value, values_of
from headwater.model.schedule_error import ScheduleError

MAX_LENGTH = 1000  # characters; the longest sensible expression lists every value of every field in 600

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
        "@every_minute": "* * * * *",
        "@every_second": "* * * * * *",
    }
)
_FOREIGN = re.compile(r"[^A-Za-z0-9*?,/#()@_ \t-]")
_ZONED = re.compile(r"[ \t]*((?:CRON_)?TZ=([A-Za-z0-9_+/-]{1,60}))(?![^ \t])")
_SPOKEN = re.compile(
    r"[ \t]*(?:every )?([0-9]{1,9} ?(?:s|m|h|d|w|(?:sec|min)s?|(?:second|minute|hour|day|week)s?))[ \t]*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^ \t]+")
_LAST_DAY = re.compile(r"L(?:-([0-9]+))?(W)?")
_NEAREST = re.compile(r"([0-9]+)W")
_LAST_WEEKDAY = re.compile(r"([A-Z]{3}|[0-9]+)L")
_NTH_WEEKDAY = re.compile(r"([^#]*)#(.*)")
_FREE = ("*", "?")


@lru_cache(maxsize=4096)
def parse_cron(text: str, *, match_all: bool = False, hash_key: str = "") -> CronExpression:
    """The meaning of `text`: five fields, six (seconds first), seven (and the year last), or an alias.

    `match_all` joins day of month and day of week by "and"; `hash_key` is what H is drawn from.
    Raises: ScheduleError with field, position, cause and mend.
    """
    words = _words(text)
    given = {field: _items(field, word, at, hash_key) for field, word, at in words}
    written = {field: word for field, word, _ in words}

    def numbers(field: CronField, default: tuple[int, ...]) -> tuple[int, ...]:
        items = given.get(field)
        return default if items is None else tuple(sorted({v for item in items for v in values_of(item)}))

    years = None if written.get(fields.YEAR, "*") == "*" else frozenset(numbers(fields.YEAR, ()))
    days = _day_rule(given, written, frozenset(numbers(fields.MONTH, ())), years, match_all=match_all)
    clock = [_without_hash_bounds(written.get(field, "0")) for field in (fields.SECOND, *fields.FIVE[:2])]
    expression = CronExpression(
        text=text,
        items=tuple(
            written.get(field, default)
            for field, default in zip(fields.LAYOUTS[7], "0*****" + "*", strict=True)
        ),
        seconds=numbers(fields.SECOND, (0,)),
        minutes=numbers(fields.MINUTE, ()),
        hours=numbers(fields.HOUR, ()),
        days=days,
        is_interval=any(sign in word for word in clock for sign in "*-/"),
        has_plain_hours=not any(sign in clock[2] for sign in "*-/"),
        is_hashed=any(item.text.startswith("H") for items in given.values() for item in items),
        field_count=len(words),
    )
    _refuse_what_never_fires(expression, words)
    return expression


def _words(text: str) -> list[tuple[CronField, str, int]]:
    """Each field with its text in capitals and its position."""
    _refuse_foreign_forms(text)
    if len(text) > MAX_LENGTH:
        raise ScheduleError(
            "cron",
            MAX_LENGTH + 1,
            f"the expression is longer than {MAX_LENGTH} characters",
            "use ranges and steps",
        )
    if foreign := _FOREIGN.search(text):
        raise ScheduleError(
            "cron",
            foreign.start() + 1,
            f"{foreign[0]!a} has no place in a cron expression",
            "write fields of digits, names and * ? , - / # ( ), separated by spaces or tabs",
        )
    plain, shift = _without_alias(text)
    words = [(found[0].upper(), shift or found.start() + 1) for found in _WORD.finditer(plain)]
    layout = fields.LAYOUTS.get(len(words))
    if layout is None:
        raise ScheduleError(
            "cron",
            1,
            f"an expression has 5, 6 or 7 fields, this one has {len(words)}",
            "write minute, hour, day of month, month and day of week; with six fields seconds come first, "
            "with seven the year comes last",
        )
    return [(field, word, at) for field, (word, at) in zip(layout, words, strict=True)]


def _refuse_foreign_forms(text: str) -> None:
    """Raises: ScheduleError for what other programs take with an expression, and for an interval."""
    if zoned := _ZONED.match(text):
        raise ScheduleError(
            "cron",
            zoned.start(1) + 1,
            f"`{zoned[1]}` is no part of an expression here",
            f"write timezone: {zoned[2]}, and the expression without it",
        )
    if spoken := _SPOKEN.fullmatch(text):
        raise ScheduleError(
            "cron",
            spoken.start(1) + 1,
            f"`{spoken[0].strip()}` is an interval and no cron expression",
            f"use interval {spoken[1]}",
        )


def _without_alias(text: str) -> tuple[str, int]:
    """The fields that `text` stands for, and the alias's position (0: it was none)."""
    at = text.find("@")
    if at < 0:
        return text, 0
    name = text.strip(" \t").lower()
    if name in ALIASES:
        return ALIASES[name], at + 1
    if name == "@reboot":
        raise ScheduleError(
            "cron",
            at + 1,
            "@reboot has no time, and a service that restarts is not an occasion",
            "use a cron expression or an interval, or start a run by hand",
        )
    if name.startswith("@every "):
        mend = f"use interval {name.removeprefix('@every ').strip()}"
    else:
        close = difflib.get_close_matches(name, ALIASES, n=1)
        mend = f"write {close[0]}" if close else f"write one of {', '.join(ALIASES)}"
    raise ScheduleError("cron", at + 1, f"`{text.strip()}` is no alias", mend)


def _items(field: CronField, word: str, at: int, hash_key: str) -> list[Item]:
    items = []
    for text in word.split(","):
        item = Item(field, text, at, hash_key)
        if not text:
            item.fault("an item of the list is missing", "write a value there or take the comma away")
        if "?" in text and (word != "?" or field not in (fields.DAY_OF_MONTH, fields.DAY_OF_WEEK)):
            item.fault("`?` stands alone, in day of month or day of week only", "write `*`")
        items.append(item)
        at += len(text) + 1
    return items


def _without_hash_bounds(word: str) -> str:
    """`word` without the bounds of H(a-b): what is drawn from them is one plain value."""
    return re.sub(r"H\([^()]*\)", "H", word)


def _day_rule(
    given: Mapping[CronField, list[Item]],
    written: Mapping[CronField, str],
    months: frozenset[int],
    years: frozenset[int] | None,
    *,
    match_all: bool,
) -> DayRule:
    found: dict[str, set[int]] = {
        name: set()
        for name in ("days", "before_last", "nearest", "nearest_before_last", "weekdays", "last_weekdays")
    }
    nth: set[tuple[int, int]] = set()
    for item in given[fields.DAY_OF_MONTH]:
        _read_day_of_month(item, found)
    for item in given[fields.DAY_OF_WEEK]:
        _read_day_of_week(item, found, nth)
    return DayRule(
        months=months,
        years=years,
        by_month_day=written[fields.DAY_OF_MONTH] not in _FREE,
        by_weekday=written[fields.DAY_OF_WEEK] not in _FREE,
        match_all=match_all,
        nth_weekdays=frozenset(nth),
        **{name: frozenset(numbers) for name, numbers in found.items()},
    )


def _read_day_of_month(item: Item, found: Mapping[str, set[int]]) -> None:
    if item.text == "?":
        return
    if last := _LAST_DAY.fullmatch(item.text):
        back = int(last[1]) if last[1] and len(last[1]) <= 4 else 99 if last[1] else 0
        if last[1] and not 1 <= back <= 30:
            item.fault(f"L-{last[1]} counts back out of the month", "write L, or L-1 to L-30", offset=2)
        found["nearest_before_last" if last[2] else "before_last"].add(back)
    elif nearest := _NEAREST.fullmatch(item.text):
        found["nearest"].add(value(item, nearest[1]))
    else:
        _refuse_special(item, "L, L-3, LW, L-3W and 15W stand alone, without a range or a step")
        found["days"].update(values_of(item))


def _read_day_of_week(item: Item, found: Mapping[str, set[int]], nth: set[tuple[int, int]]) -> None:
    if item.text == "?":
        return
    if item.text == "L":
        item.fault(
            "L alone does not say which day of the week", "write 5L for the last Friday, 6 for Saturday"
        )
    if last := _LAST_WEEKDAY.fullmatch(item.text):
        found["last_weekdays"].add(value(item, last[1]) % 7)
    elif counted := _NTH_WEEKDAY.fullmatch(item.text):
        number = value(item, counted[1]) % 7
        if counted[2] not in {"1", "2", "3", "4", "5"}:
            item.fault(
                f"`#{counted[2]}` is not a count of weeks",
                "write #1 to #5, or 5L for the last one",
                offset=len(counted[1]),
            )
        nth.add((number, int(counted[2])))
    else:
        _refuse_special(item, "5L and 5#3 stand alone, without a range or a step")
        found["weekdays"].update(values_of(item))


def _refuse_special(item: Item, rule: str) -> None:
    """Refuse L, W and # in the midst of a range or a step."""
    parts = re.split(r"[-/]", item.text)
    for part in parts if len(parts) > 1 else ():
        if part not in item.field.names and re.fullmatch(r"L|LW|[0-9]+[LW]|[A-Z]{3}L|.*#.*", part):
            item.fault(f"`{item.text}` mixes forms: {rule}", "give each day of its own in a list")


def _refuse_what_never_fires(expression: CronExpression, words: list[tuple[CronField, str, int]]) -> None:
    rule = expression.days
    if has_any_day(rule):
        return
    field = fields.DAY_OF_MONTH if rule.by_month_day else fields.DAY_OF_WEEK
    at = next(position for found, _, position in words if found is field)
    raise ScheduleError(
        field.name,
        at,
        f"`{expression.text.strip()}` never fires: no such day comes up to the year {fields.LAST_YEAR}",
        "mend the days, months and years so that they meet, for example L for a month's last day",
    )
