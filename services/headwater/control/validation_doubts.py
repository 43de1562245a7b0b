"""What a manifest may well be wrong in although it can be applied: told by `validate` as warnings."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any
from urllib.parse import urlsplit

from headwater.contracts.destinations import OWN
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.manifest import Manifest
from headwater.contracts.pagination import OffsetPagination, Paged, PagePagination
from headwater.contracts.schedule_times import ExcludedCalendar
from headwater.contracts.source import Source, Stream
from headwater.control.finding import Finding, Path, Surroundings
from headwater.control.validation_sources import destinations_of, texts_of
from headwater.http.addresses import is_allowed, parse_ranges
from headwater.model.errors import ConfigError
from headwater.model.networks import address_in
from headwater.plugins.expression_advice import doubt_in
from headwater.plugins.webhooks.schemes import handshake_of, scheme_of

_FILLED_ELSEWHERE = re.compile(
    r"\$(?P<name>[A-Z_][A-Z0-9_]*)|\$\{env:[^}]*\}|\{\{.*\}\}|<[A-Za-z _-]+>|%[A-Z_][A-Z0-9_]*%"
)
_TOTALS = ("total", "total_header", "total_pages", "total_pages_header")


def in_doubt(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """Parts that are likely not what was meant, and what cannot be told from here."""
    for i, source in enumerate(manifest.sources):
        yield from _unreachable(("sources", i, "base_url"), source)
        yield from _unfilled(("sources", i, "auth"), source.auth.model_dump(mode="json", by_alias=True))
        for j, stream in enumerate(source.streams):
            yield from _unsent(("sources", i, "streams", j, "pagination"), stream)
            yield from _alone(("sources", i, "streams", j, "pagination"), stream)
            yield from _again(("sources", i, "streams", j, "incremental"), stream)
            yield from _twice(("sources", i, "streams", j, "pagination"), stream)
    for path, text in _conditions(manifest):
        doubt = None if text is None else doubt_in(text)
        if doubt is not None:
            yield Finding(path, *doubt)
    for i, endpoint in enumerate(manifest.endpoints):
        shown = endpoint.model_dump(mode="json", by_alias=True, include={"secrets"})
        yield from _unfilled(("endpoints", i), shown)
        yield from _unanswered(("endpoints", i, "context"), endpoint)
    yield from _untold(manifest, around)
    if around.destinations is not None or manifest.destinations:
        return
    for path, _, destination in destinations_of(manifest):
        if destination.to != OWN:
            yield _only_there((*path, "to"), "destination", destination.to, "destinations")


def _unfilled(path: Path, shown: Any) -> Iterator[Finding]:
    """What a shell or a template would fill in, where secrets stand: here nothing does."""
    for place, text in texts_of(shown):
        if looks := _FILLED_ELSEWHERE.fullmatch(text.strip()):
            name = looks["name"] or "NAME"
            yield Finding((*path, *place), f"{looks[0][:60]} is taken as it stands", f"write ${{env:{name}}}")


def _unanswered(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    """A handshake that can only refuse, since what it compares with is not there."""
    try:
        handshake = handshake_of(endpoint, scheme_of(endpoint))
    except ConfigError:
        return  # that is an error of its own
    needed = None if handshake is None else handshake.needs
    if handshake is not None and needed is not None and not endpoint.context.get(needed):
        yield Finding(
            path,
            f"without {needed!r} the handshake {handshake.name} answers 403 to every question of the provider",
            f"give `context: {{{needed}: …}}`",
        )


def _untold(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """Names of which only the database can say whether they are anybody's."""
    rules = {rule.name for rule in manifest.notifications}
    calendars = {calendar.name for calendar in manifest.calendars}
    for i, schedule in enumerate(manifest.schedules):
        for j, item in enumerate(schedule.notify if around.notifications is None else ()):
            for name in {item} if isinstance(item, str) else {*item.to}:
                if name not in rules:
                    yield _only_there(("schedules", i, "notify", j), "notification", name, "notifications")
        for j, left_out in enumerate(schedule.exclude if around.calendars is None else ()):
            if isinstance(left_out, ExcludedCalendar) and left_out.calendar not in calendars:
                yield _only_there(("schedules", i, "exclude", j), "calendar", left_out.calendar, "calendars")


def _only_there(path: Path, noun: str, name: str, part: str) -> Finding:
    what = f"whether there is a {noun} {name} cannot be told without the database"
    return Finding(path, what, f"define it under `{part}`, or look with `headwater plan`")


def _unreachable(path: Path, source: Source) -> Iterator[Finding]:
    """An address that is not public and has no leave; what a name leads to is known when it is asked."""
    host = urlsplit(source.base_url).hostname or ""
    address = address_in("127.0.0.1" if host == "localhost" else host)
    if address is not None and not is_allowed(address, parse_ranges(source.network.allow)):
        yield Finding(
            path, f"{host} is not public, and runs will not reach it", f"allow it: {_leave_for(address)}"
        )


def _leave_for(address: IPv4Address | IPv6Address) -> str:
    return f'network: {{allow: ["{ip_network(address)}"]}}'


def _again(path: Path, stream: Stream) -> Iterator[Finding]:
    """Records that come again with each run, and are added again."""
    rule, destination = stream.cursor_rule, stream.destination
    if rule is not None and rule.lookback_s and destination is not None and destination.mode == "append":
        what = "what is asked for once more is added once more, as the destination's mode is append"
        yield Finding((*path, "lookback_s"), what, "use mode merge with a key, or leave it out")


def _twice(path: Path, stream: Stream) -> Iterator[Finding]:
    """Records of a slice that is found to have too many when some of its pages were added already."""
    pages, destination = stream.pagination, stream.destination
    if (
        pages.type != "window"
        or pages.capped_at is None
        or destination is None
        or destination.mode != "append"
    ):
        return
    if isinstance(pages.pages, Paged) and not (pages.pages.total or pages.pages.total_header):
        what = "a slice is halved when that many have come, and what came is added once more"
        mend = "say where the answer has its total (pages.total), or use mode merge with a key"
        yield Finding((*path, "capped_at"), what, mend)


def _conditions(manifest: Manifest) -> Iterator[tuple[Path, str | None]]:
    """The expressions that something is compared in."""
    for i, source in enumerate(manifest.sources):
        for j, stream in enumerate(source.streams):
            here: Path = ("sources", i, "streams", j)
            if stream.records is not None:
                yield (*here, "records", "path"), stream.records.path
                yield (*here, "records", "filter"), stream.records.filter
            yield (*here, "errors", "if"), stream.errors.when
            yield (*here, "errors", "pending"), stream.errors.pending
            yield (*here, "pagination", "has_more"), getattr(stream.pagination, "has_more", None)
    for i, endpoint in enumerate(manifest.endpoints):
        here = ("endpoints", i)
        yield (*here, "filter"), endpoint.filter
        for j, table in enumerate(endpoint.tables):
            yield (*here, "tables", j, "when"), table.when
        for j, start in enumerate(endpoint.starts):
            yield (*here, "starts", j, "when"), start.when
    for i, schedule in enumerate(manifest.schedules):
        yield ("schedules", i, "when"), schedule.when


def _unsent(path: Path, stream: Stream) -> Iterator[Finding]:
    """A size that no request asks for."""
    pages = stream.pagination
    if pages.type == "window":
        pages, path = pages.pages, (*path, "pages")
    if isinstance(pages, Paged) and "size" in pages.model_fields_set and not pages.size_param:
        mend = "name the parameter that asks for it: size_param, or leave it out"
        yield Finding((*path, "size"), "is sent by no parameter, and says nothing", mend)


def _alone(path: Path, stream: Stream) -> Iterator[Finding]:
    """Pages that are to come side by side, and will come one by one."""
    pages = stream.pagination
    if pages.type == "window":
        pages, path = pages.pages, (*path, "pages")
        if isinstance(pages, Paged) and pages.parallel > 1:
            mend = "move it to `pagination`, where it says how many slices are under way at once"
            yield Finding((*path, "parallel"), "the pages of a slice come one by one", mend)
        return
    if not isinstance(pages, Paged) or pages.parallel <= 1:
        return
    if not isinstance(pages, OffsetPagination | PagePagination):
        what = f"each page of type {pages.type} tells the next one, so that they come one by one"
        yield Finding((*path, "parallel"), what, "leave it out, or page by offset or page where the API can")
    elif not any(getattr(pages, name) for name in _TOTALS):
        what = "pages come side by side where it is known how many there are, and one by one elsewhere"
        mend = "say where the answer has it: total, total_pages, total_header or total_pages_header"
        yield Finding((*path, "parallel"), what, mend)
