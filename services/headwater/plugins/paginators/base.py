"""What a paginator is, and the one end rule that all of them follow.

A paginator is pure: from its place (a plain JSON dict) follow the parameters of a request; from the answer
follow the next place or the reason why there is none. It holds no state between calls.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from headwater.contracts.pagination import Paged
from headwater.model.run import StopReason
from headwater.model.secret import Secret
from headwater.plugins.expressions import MISSING, Getter, compile_path

Place = dict[str, Any]

WARNING_LOOP: Final = "pagination_loop"
WARNING_LIMIT: Final = "limit_reached"
WARNING_FOREIGN: Final = "foreign_link"
WARNING_UNUSABLE: Final = "next_unusable"
WARNING_CURSOR_ABSENT: Final = "cursor_absent"
WARNING_TOTAL: Final = "total_not_met"
WARNING_EXCEEDED: Final = "total_exceeded"
WARNING_SHRANK: Final = "total_shrank"
WARNING_CAPPED: Final = "slice_capped"

_TRUE = frozenset({"true", "1", "yes", "y", "t", "on"})
_COUNT = re.compile(
    r"(?:(?:[A-Za-z]{1,20} )?(?:[0-9]{1,18}-[0-9]{1,18}|\*)/)?([0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})"
)
_ROUND = 5  # servers' own bounds are multiples of it
_FALSE = frozenset({"false", "0", "no", "n", "f", "off"})


class Parameter(NamedTuple):
    """One parameter of a request and where it goes: query, json, header or path.

    `word` is what it is called in templates (`{walk.offset}`); without a name it goes nowhere else.
    """

    place: str
    name: str
    value: Any
    word: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a place adds to a request: parameters, or a whole URL instead of the stream's."""

    parameters: tuple[Parameter, ...] = ()
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """When a walk begins, and the instant that its cursor goes on from, where it is one.

    With `until_at` the walk is for what lies between the two.
    """

    now: datetime
    since_at: datetime | None = None
    until_at: datetime | None = None


class Answer(NamedTuple):
    """What a paginator sees of an answer.

    `url` is where it came from; `base_url` the source's. `headers` have lower-case names. `received_count` is
    the number of records on the page, `last_record` the last of them; `again_count` of them are known to have been on
    the page before. `hidden_names` are query parameters
    that carry secrets and must not be kept in a place, nor may one whose value is one of `secrets`. `is_skipped`: the
    stream passes over answers of this status.
    """

    url: str
    base_url: str
    headers: Mapping[str, tuple[str, ...]]
    document: Any
    received_count: int
    last_record: Any = None
    again_count: int = 0
    hidden_names: frozenset[str] = frozenset()
    is_skipped: bool = False
    secrets: tuple[Secret, ...] = ()


class Progress(NamedTuple):
    """How far the walk is, this page included.

    `number` of the page, from 1; records `received` so far, each once, `last_count` on this page; the `largest`
    page seen; `empty_count` pages without records in a row; the last `total` and `total_pages` that the API
    named, and the `highest` of each.
    """

    number: int = 0
    received: int = 0
    last_count: int = 0
    largest: int = 0
    empty_count: int = 0
    total: int | None = None
    total_pages: int | None = None
    highest_total: int | None = None
    highest_pages: int | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """Where the walk goes on, or why it does not. Exactly one of the first two is None. `is_void`: the page's records
    come again on those that follow.
    """

    place: Place | None
    stop_reason: StopReason | None = None
    warnings: tuple[str, ...] = ()
    is_void: bool = False

    @classmethod
    def stop(cls, reason: StopReason, *warnings: str) -> "Next":
        return cls(None, reason, warnings)


class Paginator(Protocol):
    """One way in which pages follow one another."""

    @property
    def facts(self) -> "Facts": ...

    def first(self, begin: Begin, /) -> Place:
        """The place of the first page."""
        ...

    def asked(self, place: Place) -> Asked:
        """What `place` adds to the stream's request."""
        ...

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        """What follows the page at `place`; `progress` includes it."""
        ...

    def after_end(self, place: Place, reason: StopReason, progress: Progress, /) -> Next:
        """What follows a page whose status said that there is nothing (more) at `place`; `progress` includes it."""
        ...


@runtime_checkable
class Resuming(Protocol):
    """A paginator that can begin where an earlier walk ended: at what its last answer named for that."""

    def to_go_on(self, found: Any, answer: Answer, /) -> Any:
        """What is kept of `found`, which `answer` names; None where nothing can be asked for by it."""
        ...

    def going_on(self, kept: Any, /) -> Place:
        """Where a walk begins that goes on from what was kept."""
        ...


class Facts:
    """What an API says about the whole walk: total, total pages, whether there is more.

    `max_empty_pages` is how many pages without records in a row are believed.
    """

    def __init__(self, config: Paged | None = None) -> None:
        self._size = config.size if config is not None and config.size_param else None
        self._total = _source(config.total, config.total_header) if config else None
        self._total_pages = _source(config.total_pages, config.total_pages_header) if config else None
        self._has_more = compile_path(config.has_more) if config and config.has_more else None
        self.max_empty_pages = config.max_empty_pages if config else 1

    def total(self, answer: Answer) -> int | None:
        """Records in all, or None when this answer does not say (null, negative, no number)."""
        return _count(self._total, answer)

    def total_pages(self, answer: Answer) -> int | None:
        """Pages in all, or None when this answer does not say."""
        return _count(self._total_pages, answer)

    def is_full(self, progress: Progress) -> bool:
        """Whether the page may have been filled to its bound: the size that was asked for, or one of the server's own,
        which is a round number.
        """
        count = progress.last_count
        is_bound = self._size is None or count >= self._size or count % _ROUND == 0
        return 0 < count == progress.largest and is_bound

    def is_as_asked(self, progress: Progress) -> bool:
        """Whether the page has all the records that were asked for."""
        return self._size is not None and progress.last_count >= self._size

    def is_less_than_asked(self, progress: Progress) -> bool:
        """Whether the page has fewer records than were asked for."""
        return self._size is not None and progress.last_count < self._size

    def has_more(self, answer: Answer) -> bool | None:
        """Whether there is more, or None when this answer does not say."""
        return None if self._has_more is None else truth_of(self._has_more(answer.document))


class _HeaderOrBody:
    """Where a number stands: a path into the body or a header."""

    def __init__(self, getter: Getter | None, header: str | None) -> None:
        self._getter = getter
        self._header = header.lower() if header else None

    def read(self, answer: Answer) -> Any:
        if self._header is not None and (values := answer.headers.get(self._header)):
            return values[0]
        return MISSING if self._getter is None else self._getter(answer.document)


def _source(path: str | None, header: str | None) -> _HeaderOrBody | None:
    if path is None and header is None:
        return None
    return _HeaderOrBody(compile_path(path) if path else None, header)


def _count(source: _HeaderOrBody | None, answer: Answer) -> int | None:
    return None if source is None else count_of(source.read(answer))


def count_of(value: Any) -> int | None:
    """A count as APIs write it: number, whole float, text of digits, `1,234`, the length in a Content-Range
    (`items 0-9/23`, RFC 9110 §14.4); None for all else and negatives.
    """
    if isinstance(value, str):
        found = _COUNT.fullmatch(value.strip())
        value = int(found[1].replace(",", "")) if found else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:  # noqa: PLR0124
        return None
    return int(value) if 0 <= value < 10**18 and value == int(value) else None


def truth_of(value: Any) -> bool | None:
    """A yes or no as APIs write it: true, "false", 0, "1"; None for null, MISSING and what is neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        return True if text in _TRUE else False if text in _FALSE else None
    if isinstance(value, int | float | Decimal):
        return bool(value)
    return None


def ending(
    facts: Facts, answer: Answer, progress: Progress, *, knows_cursor: bool, cursor_ended: bool = False
) -> StopReason | None:
    """Why the walk ends with this page, or None: the end rule in its fixed order (DESIGN.md §7).

    has_more = false, then no cursor, then total reached, then an empty page (only if neither cursor nor
    has_more is known). A total is reached when nothing speaks against it, see `_is_total_reached`.
    """
    has_more = facts.has_more(answer)
    if has_more is False:
        return StopReason.HAS_MORE_FALSE
    if cursor_ended:
        return StopReason.CURSOR_END
    is_told_more = bool(has_more) or knows_cursor
    if _is_total_reached(facts, progress, is_told_more=is_told_more):
        return StopReason.TOTAL_REACHED
    if answer.received_count == 0 and not knows_cursor and has_more is None:
        return StopReason.EMPTY_PAGE
    return None


def _is_total_reached(facts: Facts, progress: Progress, *, is_told_more: bool) -> bool:
    """Whether the highest total that the API named is reached, and is one.

    0 beside records is none, nor is one below what came. Where a full page reaches it and the API says that there is
    more, or the first page's own count is the total, the next page decides: an empty one bears the total out.
    """
    total, pages, number = progress.highest_total, progress.highest_pages or 0, progress.number
    is_empty = progress.last_count == 0
    is_over = is_empty and is_told_more and total != 0  # an empty page behind a total that was passed
    if total is None or (progress.received > total and not is_over):
        is_met = 0 < pages <= number and (is_empty or pages == number)
        is_doubtful = is_told_more or (number == 1 and facts.is_as_asked(progress))
    else:
        is_met = progress.received >= total
        is_doubtful = is_told_more or number < pages or (number == 1 and total == progress.last_count)
    return is_met and not (is_doubtful and facts.is_full(progress))


def is_met(progress: Progress) -> bool:
    """Whether so much came as the API said there is, no more: what is asked for then only bears that out."""
    if progress.highest_total is not None and progress.received <= progress.highest_total:
        return 0 < progress.highest_total == progress.received
    return 0 < (progress.highest_pages or 0) == progress.number


def after_status(reason: StopReason, progress: Progress) -> Next:
    """The end of a walk by a status, which is not believed where the API's own total says that there is more."""
    is_short_of = progress.total is not None and progress.received < progress.total
    return Next.stop(reason, *((WARNING_TOTAL,) if is_short_of else ()))


def advanced(before: Progress, answer: Answer, facts: Facts) -> Progress:
    """How far the walk is after this answer."""
    count = answer.received_count
    total, pages = facts.total(answer), facts.total_pages(answer)
    return Progress(
        number=before.number + 1,
        received=before.received + count - answer.again_count,
        last_count=count,
        largest=max(before.largest, count),
        empty_count=0 if count else before.empty_count + 1,
        total=before.total if total is None else total,
        total_pages=before.total_pages if pages is None else pages,
        highest_total=_higher(before.highest_total, total),
        highest_pages=_higher(before.highest_pages, pages),
    )


def _higher(known: int | None, told: int | None) -> int | None:
    return max((one for one in (known, told) if one is not None), default=None)


def is_short(answer: Answer, progress: Progress) -> bool:
    """Whether this page has fewer records than the largest seen: judged by what the server really gives."""
    return answer.received_count < progress.largest
