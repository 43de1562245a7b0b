"""Small pieces of the sentences that describe a schedule."""

from collections.abc import Sequence

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_UNITS_S = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def joined(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    tail = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"


def runs_of(values: Sequence[int], around: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """Ascending `values` as stretches without a hole: 1, 2, 3, 7 is (1, 3), (7, 7).

    `around` are the bounds of a field that goes round: its last and first stretch are then one, put last.
    """
    stretches: list[tuple[int, int]] = []
    for value in values:
        if stretches and stretches[-1][1] == value - 1:
            stretches[-1] = (stretches[-1][0], value)
        else:
            stretches.append((value, value))
    if around and len(stretches) > 1 and (stretches[0][0], stretches[-1][1]) == around:
        return [*stretches[1:-1], (stretches[-1][0], stretches[0][1])]
    return stretches


def step_of(values: Sequence[int], end: int) -> int | None:
    """The step when `values` are three or more at equal distances, up to the last one before `end`."""
    if len(values) < 2:
        return None
    step = values[1] - values[0]
    fits = list(values) == list(range(values[0], end, step))
    return step if fits and (len(values) > 2 or step * 2 == end) else None


def duration(seconds: int) -> str:
    """`15 minutes`, `1 hour 30 minutes`; a single unit of one is the bare word: `hour`."""
    for unit, length in _UNITS_S:
        if seconds == length:
            return unit
    whole = next((unit for unit in _UNITS_S if seconds % unit[1] == 0 and seconds >= unit[1]), _UNITS_S[-1])
    if seconds // whole[1] <= 120:
        return f"{seconds // whole[1]} {whole[0]}s"
    parts = []
    for unit, length in _UNITS_S[1:]:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts)
