"""Walks in time slices: each slice is walked by a paginator of its own, one slice after the other.

A place reaches from its slice to the end of the whole walk (`until`), and can be split into places of one slice each.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from headwater.contracts.pagination import WindowPagination
from headwater.model.run import StopReason
from headwater.plugins.instants import coarseness_s, writer_of
from headwater.plugins.paginators.base import (
    WARNING_CAPPED,
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
        # two times that are written alike are no slice; of dates those of one day
        self._finest = timedelta(seconds=min(coarseness_s(config.format) or 1.0, 86_400.0))
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
        write = writer_of(config.format)
        bounds = (
            Parameter(config.place, config.start_param or "", write(_moment(place["from"])), "from"),
            Parameter(config.place, config.end_param or "", write(last), "to"),
        )
        return Asked((*bounds, *inner.parameters))

    def next(self, place: Place, answer: Answer, _: Progress, /) -> Next:
        progress = advanced(Progress(**place["so_far"]), answer, self._pages.facts)
        if answer.is_skipped and (progress.number == 1 or progress.empty_count > 1):
            answer = answer._replace(is_skipped=False)  # nothing in the slice, or nothing more
        halved, warnings = self._halved(place, answer, progress)
        if halved is not None:
            return Next(halved, is_void=True)
        following = self._pages.next(place["at"], answer, progress)
        if warnings:
            following = self._capped(following, progress, warnings)
        if following.stop_reason is not None and following.stop_reason.is_complete:
            return self._after(place, following, self._next_step(place, progress))
        if following.place is None:
            return following
        if progress.empty_count >= self._pages.facts.max_empty_pages:
            return Next.stop(StopReason.LOOP, WARNING_LOOP)
        return Next(place | {"at": following.place, "so_far": progress._asdict()}, None, following.warnings)

    def after_end(self, place: Place, reason: StopReason, _: Progress, /) -> Next:
        progress = Progress(**place["so_far"])
        return self._after(
            place, self._pages.after_end(place["at"], reason, progress._replace(number=progress.number + 1))
        )

    def _after(self, place: Place, following: Next, step: timedelta | None = None) -> Next:
        """The next slice, or the end."""
        begin, until = _moment(place["to"]), _moment(place["until"])
        if begin >= until:
            return following
        return Next(self._slice(begin, until, Begin(until), step), None, following.warnings)

    def _halved(
        self, place: Place, answer: Answer, progress: Progress
    ) -> tuple[Place | None, tuple[str, ...]]:
        """The first half of a slice of which the API does not give all; or a warning where it has no halves."""
        cap = self._config.capped_at
        total = self._pages.facts.total(answer)
        if cap is None or (progress.received < cap if total is None else total <= cap):
            return None, ()
        begin, end = _moment(place["from"]), _moment(place["to"])
        step = (end - begin) / 2 // self._finest * self._finest
        if step > timedelta(0):
            return self._slice(begin, _moment(place["until"]), Begin(end), step), ()
        what = f"from {begin.isoformat()} to {end.isoformat()} there are {total or progress.received} records or more"
        mend = "ask for less of them by request.params, or once for each record of another stream"
        return None, (
            f"{WARNING_CAPPED}: {what}, of which the API gives {cap}, and no shorter slice can be asked for; {mend}",
        )

    def _capped(self, following: Next, progress: Progress, warnings: tuple[str, ...]) -> Next:
        """The slice goes on as far as the API gives it."""
        is_over = progress.received >= (self._config.capped_at or 0) and following.place is not None
        ended = Next.stop(StopReason.HAS_MORE_FALSE) if is_over else following
        return replace(ended, warnings=ended.warnings + (warnings if ended.place is None else ()))

    def _next_step(self, place: Place, progress: Progress) -> timedelta:
        """How long the next slice is: after halves as long as these were, and longer again where they had little."""
        step = timedelta(seconds=place.get("step_s", self._config.step_s))
        is_little = 2 * max(progress.received, progress.highest_total or 0) < (self._config.capped_at or 0)
        return min(2 * step, self._step) if is_little else step

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

    def _slice(self, start: datetime, until: datetime, begin: Begin, step: timedelta | None = None) -> Place:
        shorter = step is not None and step < self._step
        length = self._step if step is None else step
        place = {
            "from": start.isoformat(),
            "to": min(start + length, until).isoformat(),
            "until": until.isoformat(),
            "at": self._pages.first(begin),
            "so_far": {},
        }
        return {**place, "step_s": length.total_seconds()} if shorter else place


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
