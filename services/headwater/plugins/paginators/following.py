"""Walks in which each answer names the next page: cursor, next URL in the body, Link header."""

import re
from typing import Any, ClassVar

from yarl import URL

from headwater.contracts.pagination import CursorPagination, LinkPagination, NextUrlPagination
from headwater.model.errors import SourceError
from headwater.model.http import origin_of, parse_relative, parse_url, without_parameters
from headwater.model.links import names_unread, target_of
from headwater.model.run import StopReason
from headwater.model.storable import is_storable
from headwater.plugins.expressions import MISSING, compile_path
from headwater.plugins.paginators.base import (
    WARNING_CURSOR_ABSENT,
    WARNING_FOREIGN,
    WARNING_LOOP,
    WARNING_UNUSABLE,
    Answer,
    Asked,
    Begin,
    Facts,
    Next,
    Parameter,
    Place,
    Progress,
    after_status,
    ending,
    is_met,
    is_short,
)
from headwater.plugins.paginators.counting import size_parameters
from headwater.plugins.secret_text import values_of

_MAX_CURSOR_CHARACTERS = 8192
_UNSTORABLE = re.compile(r"\\x00|\\ud[89a-f]")  # as `repr` shows NUL and halves of surrogate pairs
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TEMPLATED = re.compile(r"\{[?&][A-Za-z0-9_.,*%:-]*\}")  # RFC 6570, as HAL's links have it
_NULLS = frozenset({"", "null", "none", "undefined", "false"})


class CursorPaginator:
    """The answer names the next page by a value. 0 is one; null, false, "" and nothing at all are the end.

    Where the API keeps the place itself, the place counts the pages, since the value may be that of the page before.
    """

    name: ClassVar = "cursor"
    Config: ClassVar = CursorPagination

    def __init__(self, config: CursorPagination) -> None:
        self._config = config
        self._path = compile_path(config.cursor_path) if config.cursor_path else None
        self._header = config.cursor_header.lower() if config.cursor_header else ""
        self._several = {name: compile_path(path) for name, path in (config.cursor_params or {}).items()}
        self.facts = Facts(config)

    def first(self, _: Begin, /) -> Place:
        return self._at(None, 1)

    def _at(self, cursor: Any, turn: int) -> Place:
        return {"cursor": cursor, "turn": turn} if self._config.keeps_place else {"cursor": cursor}

    def asked(self, place: Place) -> Asked:
        cursor, where = place["cursor"], self._config.place
        sizes = size_parameters(self._config)
        if cursor is None:
            return Asked(sizes)
        values = cursor if self._several else {self._config.cursor_param: cursor}
        return Asked((*sizes, *(Parameter(where, name, value, "cursor") for name, value in values.items())))

    def to_go_on(self, found: Any, _: Answer, /) -> Any:
        return found if self._fits(found) else None

    def _fits(self, cursor: Any) -> bool:
        if not self._several:
            return fits(cursor, self._config.place)
        return isinstance(cursor, dict) and all(fits(value, self._config.place) for value in cursor.values())

    def going_on(self, kept: Any, /) -> Place:
        return self._at(kept, 1)

    def after_end(self, _: Place, reason: StopReason, progress: Progress, /) -> Next:
        return after_status(reason, progress)

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        cursor = self._cursor(answer)
        ended = is_no_pointer(cursor)
        reason = ending(self.facts, answer, progress, knows_cursor=True, cursor_ended=ended)
        if reason is not None:
            return Next.stop(reason, *self._doubts(reason, answer, progress))
        if not self._fits(cursor):
            return Next.stop(StopReason.ERROR, WARNING_UNUSABLE)
        if self._config.keeps_place:
            if answer.received_count == 0 and not self.facts.has_more(answer):
                return after_status(StopReason.EMPTY_PAGE, progress)
        elif cursor == place["cursor"]:
            return loop(answer, progress)
        return Next(self._at(cursor, place.get("turn", 1) + 1))

    def _cursor(self, answer: Answer) -> Any:
        if self._path is not None:
            return self._path(answer.document)
        if self._several:
            found = {name: path(answer.document) for name, path in self._several.items()}
            return {name: value for name, value in found.items() if not is_no_pointer(value)}
        values = answer.headers.get(self._header)
        return values[0].strip() if values else MISSING

    def _doubts(self, reason: StopReason, answer: Answer, progress: Progress) -> tuple[str, ...]:
        """A warning where the API says that there is more and not how to get it, or did not give all: the walk is not
        complete.
        """
        if self._config.keeps_place:
            return after_status(reason, progress).warnings
        is_cut = reason is StopReason.CURSOR_END and self.facts.has_more(answer)
        return (WARNING_CURSOR_ABSENT,) if is_cut else ()


class _UrlPaginator:
    """What next URL and Link header share: the next page is a URL that must stay where credentials may go."""

    def __init__(self, config: NextUrlPagination | LinkPagination) -> None:
        self._config = config
        self._hosts = frozenset(host.lower() for host in config.hosts)
        self.facts = Facts(config)

    def first(self, _: Begin, /) -> Place:
        return {"url": None}

    def asked(self, place: Place) -> Asked:
        if place["url"] is None:
            return Asked(size_parameters(self._config))
        return Asked(url=place["url"])

    def to_go_on(self, found: Any, answer: Answer, /) -> Any:
        try:
            target = _absolute(found, answer)
        except (SourceError, ValueError):
            return None
        return str(target) if self._may_follow(target, answer) else None

    def going_on(self, kept: Any, /) -> Place:
        return {"url": str(kept)}

    def after_end(self, _: Place, reason: StopReason, progress: Progress, /) -> Next:
        return after_status(reason, progress)

    def _next(self, place: Place, found: Any, answer: Answer, progress: Progress) -> Next:
        reason = ending(self.facts, answer, progress, knows_cursor=True, cursor_ended=is_no_pointer(found))
        if reason is not None:
            is_cut = reason is StopReason.CURSOR_END and self.facts.has_more(answer)
            return Next.stop(reason, *((WARNING_CURSOR_ABSENT,) if is_cut else ()))
        try:
            target = _absolute(found, answer)
        except (SourceError, ValueError):
            return Next.stop(StopReason.ERROR, WARNING_UNUSABLE)
        if not self._may_follow(target, answer):
            return Next.stop(StopReason.ERROR, WARNING_FOREIGN)
        # the first page's own address counts too: a link that leads back to it would begin the walk again
        if str(target) == (place["url"] or answer.url):
            return loop(answer, progress)
        return Next({"url": str(target)})

    def _may_follow(self, target: URL, answer: Answer) -> bool:
        if origin_of(target) in {origin_of(answer.base_url), origin_of(answer.url)}:
            return True
        is_downgrade = target.scheme == "http" and answer.base_url.startswith("https:")
        return (target.host or "").lower() in self._hosts and not is_downgrade


class NextUrlPaginator(_UrlPaginator):
    """The answer's body holds the next page's URL, absolute or relative."""

    name: ClassVar = "next_url"
    Config: ClassVar = NextUrlPagination

    def __init__(self, config: NextUrlPagination) -> None:
        super().__init__(config)
        self._path = compile_path(config.next_path)

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        return self._next(place, self._path(answer.document), answer, progress)


class LinkPaginator(_UrlPaginator):
    """RFC 8288 Link header."""

    name: ClassVar = "link"
    Config: ClassVar = LinkPagination

    def __init__(self, config: LinkPagination) -> None:
        super().__init__(config)
        self._rel = config.rel

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        headers = answer.headers.get("link", ())
        found = target_of(headers, self._rel)
        if found is None and names_unread(headers, self._rel):
            return Next.stop(StopReason.ERROR, WARNING_UNUSABLE)
        return self._next(place, found, answer, progress)


def is_end(cursor: Any) -> bool:
    """Whether `cursor` says that nothing follows. 0 does not."""
    return cursor is MISSING or cursor is None or cursor is False or cursor in ("", [], {})


def is_no_pointer(cursor: Any) -> bool:
    """As `is_end`, also where a null or false was written as a text."""
    return is_end(cursor) or (isinstance(cursor, str) and cursor.strip().lower() in _NULLS)


def loop(answer: Answer, progress: Progress) -> Next:
    """The end of a walk whose page names itself: complete when that page, being short or by the total, is the last."""
    if is_met(progress):
        return Next.stop(StopReason.TOTAL_REACHED)
    is_last = is_short(answer, progress)
    return Next.stop(StopReason.SHORT_PAGE if is_last else StopReason.LOOP, WARNING_LOOP)


def fits(cursor: Any, place: str) -> bool:
    """Whether `cursor` can be sent: a text or number, in a JSON body anything, in a header one line."""
    if isinstance(cursor, bool | dict | list):
        shown = repr(cursor)  # in which what no message can hold is escaped
        return place == "json" and len(shown) <= _MAX_CURSOR_CHARACTERS and not _UNSTORABLE.search(shown)
    text = str(cursor)
    return (
        is_storable(text)
        and len(text) <= _MAX_CURSOR_CHARACTERS
        and not (place == "header" and _CONTROL.search(text))
    )


def _absolute(found: Any, answer: Answer) -> URL:
    """The URL that `found` means. Raises: SourceError or ValueError when it means none.

    A link that differs from the source's origin in saying http for https is upgraded: servers behind a proxy
    do not know better, and nothing is ever sent in the clear for it.
    """
    if not isinstance(found, str):
        raise ValueError("no text")  # noqa: TRY004 - the API's value, not a caller's mistake
    base = parse_url(answer.url)
    text = _TEMPLATED.sub("", found.strip())  # variables that are not given expand to nothing
    target = parse_url(str(base.join(parse_relative(text)))).with_fragment(None)
    home = parse_url(answer.base_url)
    if home.scheme == "https" and target.scheme == "http" and target.host == home.host and target.port == 80:
        target = URL(f"https://{home.raw_authority}{target.raw_path_qs}", encoded=True)
    return without_parameters(target, answer.hidden_names, values_of(answer.secrets))
