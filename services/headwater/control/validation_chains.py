"""What is wrong with how schedules follow one another and overlap: unknown names, circles, streams with a cursor."""

from collections.abc import Iterator, Mapping, Sequence

from headwater.contracts.manifest import Manifest
from headwater.contracts.schedule_running import Allow
from headwater.contracts.schedules import Schedule
from headwater.control.finding import Finding, Path, Surroundings

_LISTS = ("schedules", "any_of", "all_of")


def in_chains(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """The findings for the schedules of a manifest among those that are there."""
    own = {schedule.name: schedule for schedule in manifest.schedules}
    known = {**(around.after or {}), **{name: _upstreams(each) for name, each in own.items()}}
    cursors = _streams_with_cursor(manifest, around)
    for index, schedule in enumerate(manifest.schedules):
        here: Path = ("schedules", index)
        if isinstance(schedule.overlap, Allow):
            yield from _beside(here, schedule, cursors)
        if schedule.after is None:
            continue
        place = next(name for name in _LISTS if getattr(schedule.after, name))
        for number, upstream in enumerate(_upstreams(schedule)):
            if upstream not in known and around.after is not None:
                mend = "define it, or correct the name"
                yield Finding((*here, "after", place, number), f"there is no schedule {upstream}", mend)
        circle = _circle(schedule.name, known)
        if circle is not None:
            what = f"schedules would follow one another for ever: {' → '.join(circle)}"
            yield Finding((*here, "after"), what, "take one of them out of `after`")


def _upstreams(schedule: Schedule) -> tuple[str, ...]:
    return () if schedule.after is None else schedule.after.names


def _circle(name: str, known: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The way by which `name` starts itself, in the order in which the schedules run; None when there is none."""
    came_from: dict[str, str] = {}
    waiting = [name]
    while waiting:
        here = waiting.pop()
        for upstream in known.get(here, ()):
            if upstream == name:
                way = [name, here]
                while way[-1] != name:
                    way.append(came_from[way[-1]])
                return way
            if upstream not in came_from:
                came_from[upstream] = here
                waiting.append(upstream)
    return None


def _streams_with_cursor(manifest: Manifest, around: Surroundings) -> frozenset[str]:
    named = {source.name for source in manifest.sources}
    elsewhere = {each for each in around.with_cursor if each.partition(".")[0] not in named}
    return frozenset(
        f"{source.name}.{stream.name}"
        for source in manifest.sources
        for stream in source.streams
        if stream.incremental is not None
    ) | frozenset(elsewhere)


def _beside(here: Path, schedule: Schedule, cursors: frozenset[str]) -> Iterator[Finding]:
    for stream in schedule.streams:
        if stream in cursors and schedule.mode != "full":
            what = f"stream {stream} has a cursor, which one run at a time moves"
            yield Finding((*here, "overlap"), what, "write skip, buffer_one or {buffer_all: 10}")
