"""Walks in time slices: each slice is walked by a paginator of its own, one slice after the other.

A place reaches from its slice to the end of the whole walk (`until`), and can be split into places of one slice each.
"""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import ClassVar

from headwater.contracts.pagination import WindowPagination
from headwater.model.run import StopReason
from headwater.plugins.instants import WRITERS
from headwater.plugins.paginators.base import (
    WARNING_LOOP,
    Answer,
    Asked,
    Begin,
    Facts,
    Next,
    Paginator,
    Parameter,
    Place,
    Progress,
    advanced,
)


class WindowPaginator:
    """Slices of a fixed length. How far a slice is (`so_far` in the place) is no part of what is asked."""

    name: ClassVar = "window"
    Config: ClassVar = WindowPagination

    def __init__(self, config: WindowPagination, pages: Paginator) -> None:
        self._config = config
        self._pages = pages
        self._step = timedelta(seconds=config.step_s)
        self.facts = Facts()
        self.facts.max_empty_pages = 10**9  # empty slices are nothing strange

    def first(self, begin: Begin, /) -> Place:
        config = self._config
        if begin.until_at is not None and begin.since_at is not None:
            return self._slice(begin.since_at, max(begin.until_at, begin.since_at), begin)
        start = max(config.start, begin.since_at or config.start)
        until = (config.end or begin.now) - timedelta(seconds=config.lag_s)
        return self._slice(start, max(until, start), begin)

    def asked(self, place: Place) -> Asked:
        inner = self._pages.asked(place["at"])
        if inner.url is not None:  # the API's own URL has the bounds in it
            return inner
        config = self._config
        last = _moment(place["to"]) - timedelta(seconds=config.end_before_s)
        write = WRITERS[config.format]
        bounds = [Parameter(config.place, config.start_param, write(_moment(place["from"])))]
        if config.end_param is not None:
            bounds.append(Parameter(config.place, config.end_param, write(last)))
        return Asked((*bounds, *inner.parameters))

    def next(self, place: Place, answer: Answer, _: Progress, /) -> Next:
        progress = advanced(Progress(**place["so_far"]), answer, self._pages.facts)
        if answer.is_skipped and (progress.number == 1 or progress.empty_count > 1):
            answer = replace(answer, is_skipped=False)  # nothing in the slice, or nothing more
        following = self._pages.next(place["at"], answer, progress)
        if following.stop_reason is not None and following.stop_reason.is_complete:
            return self._after(place, following)
        if following.place is None:
            return following
        if progress.empty_count >= self._pages.facts.max_empty_pages:
            return Next.stop(StopReason.LOOP, WARNING_LOOP)
        return Next(place | {"at": following.place, "so_far": asdict(progress)}, None, following.warnings)

    def after_end(self, place: Place, reason: StopReason, _: Progress, /) -> Next:
        progress = Progress(**place["so_far"])
        return self._after(
            place, self._pages.after_end(place["at"], reason, replace(progress, number=progress.number + 1))
        )

    def _after(self, place: Place, following: Next) -> Next:
        """The next slice, or the end."""
        begin, until = _moment(place["to"]), _moment(place["until"])
        if begin >= until:
            return following
        return Next(self._slice(begin, until, Begin(until)), None, following.warnings)

    def split(self, place: Place, most: int) -> list[Place]:
        """Places that together ask for what `place`, the first one of a walk, leads to: one for each slice.

        Beyond `most` of them the last one stands for all slices that are left.
        """
        begin, until = _moment(place["from"]), _moment(place["until"])
        slices: list[Place] = []
        while begin < until and len(slices) < most - 1:
            slices.append(self._slice(begin, min(begin + self._step, until), Begin(until)))
            begin += self._step
        if begin < until or not slices:
            slices.append(self._slice(begin, until, Begin(until)))
        return slices

    def between(self, start: datetime, until: datetime) -> Place:
        """The first place of a walk from `start` to `until`."""
        return self._slice(start, until, Begin(until))

    def _slice(self, start: datetime, until: datetime, begin: Begin) -> Place:
        return {
            "from": start.isoformat(),
            "to": min(start + self._step, until).isoformat(),
            "until": until.isoformat(),
            "at": self._pages.first(begin),
            "so_far": {},
        }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
