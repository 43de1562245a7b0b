"""The walk of one stream, compiled once: first token, request of a token, and what an answer means.

Everything here is pure; fetcher and preview act by it:

    walk = Walk(definition)
    token = walk.first(cursor, now)
    response = await client.send(walk.request(token, secrets), allow=..., timeout_s=...)
    page = walk.read(token, response, now, secrets)      # page.records, page.next_token, page.stop_reason
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from headwater.contracts.source import Stream, StreamDefinition
from headwater.contracts.walking import Records
from headwater.model.http import HttpRequest, Response
from headwater.model.run import StopReason
from headwater.model.secret import Secret
from headwater.plugins.auth import authenticator_for, token_authenticator_for
from headwater.plugins.expressions import Getter, compile_path
from headwater.plugins.instants import instant_of
from headwater.plugins.mapping import Mapper
from headwater.plugins.paginators import Answer, Begin, Next, Progress, paginator_for
from headwater.plugins.paginators.base import WARNING_LIMIT, WARNING_LOOP, WARNING_TOTAL, advanced, is_short
from headwater.plugins.paginators.window import WindowPaginator
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.body import NO_CONTENT, document_of, sample_of
from headwater.plugins.walk.boundary import MOST_SEEN, boundary_at, digest_of, joined
from headwater.plugins.walk.check import check_fit
from headwater.plugins.walk.cursor import CursorField, Mark, order_of
from headwater.plugins.walk.hidden import HiddenErrors, cost_wait_s
from headwater.plugins.walk.judge import Verdict, judge
from headwater.plugins.walk.matching import FirstPage
from headwater.plugins.walk.parents import WARNING_PARENTS_REJECTED, ParentColumns, ParentFields
from headwater.plugins.walk.plan import countable, planned_after_first, token_at
from headwater.plugins.walk.request import Requester
from headwater.plugins.walk.select import NOTHING, Rejected, Selected, select_records
from headwater.plugins.walk.slices import Gap, Slice, slices_of
from headwater.plugins.walk.templates import Values
from headwater.plugins.walk.token import Token
from headwater.plugins.walk.waits import pause_s

_NO_SECRETS: Mapping[str, Any] = {}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTING = frozenset({"offset", "page"})
_BODY_ITSELF = Records()
WARNING_SKIPPED = "parents_skipped"
WARNING_TIES = "keyset_ties"
SAMPLE_CHARACTERS = 2000  # of an answer that is kept instead of its records


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer means for the walk. `highest` and `below` are boundaries where more than a value is kept.

    `records` are to be loaded; `received_count` counts what the API sent (rejected and repeated ones too).
    Exactly one of `next_token` and `stop_reason` is None. `content_digest` is equal for pages of equal
    records ("" for empty ones). `highest` is the highest cursor value on the page, where the stream has a
    cursor; `below` the highest one below that, where the stream's records ascend. `pause_s` is how long the API wants
    no further request, although it served this one. `total` is the number of records that the API last said there
    are. `sample` is the beginning of the answer, secrets starred out, where the stream has no destination.
    `resume_token` is there when a limit ended the walk: see `Walk.resumed`. `body` are the records as a JSON list,
    where they were written already; `is_plain`: that is plain (`is_plain_json`).
    """

    number: int
    records: list[Any]
    received_count: int
    next_token: dict[str, Any] | None
    stop_reason: StopReason | None = None
    warnings: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    content_digest: str = ""
    highest: Any = None
    pause_s: float = 0.0
    total: int | None = None
    sample: str | None = None
    below: Any = None
    resume_token: dict[str, Any] | None = None
    body: bytes | None = None
    is_plain: bool = False


class Walk:
    """How the pages of one stream are asked for and understood. Raises: ConfigError for wrong expressions.

    `tokens` is there where the source shows a token that must first be asked for: whoever keeps it puts it among
    the secrets as ACCESS_TOKEN. With `gather` its records are parents: pages give what `child` asks by instead.
    """

    def __init__(
        self, definition: StreamDefinition, gather: ParentFields | None = None, child: "Walk | None" = None
    ) -> None:
        stream = definition.stream
        pages = stream.pagination.pages if stream.pagination.type == "window" else stream.pagination
        self._definition = definition
        self._limits = stream.limits
        self._paginator = paginator_for(stream.pagination)
        self._countable = countable(self._paginator, stream.pagination)
        self.tokens = token_authenticator_for(definition.auth)
        self._requester = Requester(definition, authenticator_for(definition.auth))
        self._form = stream.records or _BODY_ITSELF
        self._records = compile_path(self._form.path) if self._form.path else None
        self._gather, self._child = gather, child
        fields = () if gather is not None else stream.fields
        self._mapper = Mapper(fields, keep_rest=stream.rest == "keep", only=self._form.filter)
        self._parent = stream.parent
        self._columns = ParentColumns(stream) if stream.parent is not None else None
        self._has_records = stream.records is not None or stream.destination is not None or gather is not None
        self._is_sampled = stream.destination is None and gather is None
        self._needs_document = (
            pages.type != "none" or stream.errors.when is not None or stream.request.graphql is not None
        )
        self._cursor = CursorField(stream.cursor_rule) if stream.cursor_rule else None
        self._identity = identity_of(stream)
        self._keeps_seen = stream.destination is not None and stream.destination.mode == "append"
        self._hidden_errors = HiddenErrors(stream)
        self._stop_on_status = pages.stop_on_status
        self._is_one_page = pages.type == "none"
        self._is_in_slices = pages is not stream.pagination
        self._is_counting = pages.type in _COUNTING
        self._by_position = pages.type == "offset"
        self._key = compile_path(pages.key_path) if pages.type == "keyset" else None
        self._first_page = FirstPage(stream, is_gathering=gather is not None)
        check_fit(definition, self._paginator, Begin(_EPOCH))

    def first(
        self,
        cursor: Mark | None,
        now: datetime,
        *,
        parent: Values | None = None,
        level: int = 0,
        began_s: float | None = None,
        since_id: str | None = None,
        seen: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The token of the first page. `cursor` is the value to go on from; None: from the stream's start.

        `since_id` is the id of the last record at it, `seen` are digests of those that were loaded.
        `parent`: the values of the parent's record that the walk is for, `level` how many parents are above it;
        `began_s`: when the run began, where that was earlier than `now`.
        """
        since = self._cursor.start if self._cursor is not None and cursor is None else cursor
        since_at = self._cursor.since_at(since) if self._cursor is not None else None
        place = self._paginator.first(Begin(now, since_at))
        began = round(now.timestamp(), 3) if began_s is None else began_s
        has_cursor = cursor is not None
        return Token(
            place,
            began_s=began,
            since=since,
            parent=parent,
            level=level,
            since_id=since_id if has_cursor else None,
            seen=tuple(seen) if has_cursor else (),
        ).to_wire()

    def windowed(
        self,
        start: Mark,
        end: Mark,
        now: datetime,
        *,
        parent: Values | None = None,
        level: int = 0,
        began_s: float | None = None,
    ) -> dict[str, Any]:
        """The token of the first page of a walk for what is from `start` on and before `end`; see `windows.py`."""
        since_at, until_at = instant_of(str(start)), instant_of(str(end))
        until_at = None if until_at is None else min(until_at, now)
        place = self._paginator.first(Begin(now, since_at, until_at))
        began = round(now.timestamp(), 3) if began_s is None else began_s
        return Token(place, began_s=began, since=start, until=end, parent=parent, level=level).to_wire()

    def resumed(
        self,
        token: Mapping[str, Any],
        now: datetime,
        *,
        parent: Values | None = None,
        began_s: float | None = None,
    ) -> dict[str, Any]:
        """The first token of a walk that goes on at `token` of one that a limit ended, with limits of its own.

        `parent`: the values of its parent's record as they are now.
        """
        told = Token.from_wire(token)
        return Token(
            told.place,
            told.progress,
            began_s=round(now.timestamp(), 3) if began_s is None else began_s,
            since=told.since,
            base_number=told.progress.number,
            base_received=told.progress.received,
            parent=told.parent if parent is None else parent,
            level=told.level,
            until=told.until,
            since_id=told.since_id,
            seen=told.seen,
            is_slice=told.is_slice,
        ).to_wire()

    def slices(
        self, token: Mapping[str, Any], gaps: Sequence[Gap] = (), version: str | None = None
    ) -> list[Slice]:
        """A walk for each slice of time of the walk that `token`, its first one, begins; `gaps` come first.

        Only for streams with a pagination of type `window`. `version` is that of the stream: a place in the middle of
        a gap is only good for the version that left it.
        """
        assert isinstance(self._paginator, WindowPaginator)
        return slices_of(self._paginator, Token.from_wire(token), gaps, version)

    def fits(self, parent: Values) -> None:
        """Raises: CannotBeError when no request can be made for a parent with these values."""
        self._requester.fits(parent)

    def token_at(self, token: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The token of page `number` (2 to `token["planned"]`) of the walk that `token` belongs to.

        Only for tokens whose `planned` is not 0: those pages may be asked for in any order.
        """
        told = Token.from_wire(token)
        if self._countable is None or not 2 <= number <= told.planned:
            raise ValueError(f"page {number} is not planned")
        return token_at(self._countable, told, number).to_wire()

    def request(
        self, token: Mapping[str, Any], secrets: Secrets = _NO_SECRETS, now: datetime | None = None
    ) -> HttpRequest:
        """The request for the page at `token`; credentials stand apart in it, bound to the source's origin.

        `now` is what signed requests are dated by (default: when the walk began).

        Raises: SecretError when a named secret is not in `secrets`; SourceError `cursor_unusable`.
        """
        told = Token.from_wire(token)
        since = self._since(told)
        return self._requester.request(
            self._paginator.asked(told.place),
            since,
            secrets,
            now or datetime.fromtimestamp(told.began_s, UTC),
            told.parent,
        )

    def _since(self, told: Token) -> dict[str, Any]:
        if self._cursor is None:
            return {}
        if told.until is not None:
            return self._cursor.window_parameters(told.since, told.until)
        return self._cursor.parameters(told.since, told.since_id)

    def read(
        self,
        token: Mapping[str, Any],
        response: Response,
        now: datetime,
        secrets: Secrets = _NO_SECRETS,
        *,
        hidden: Iterable[Secret] = (),
    ) -> Page:
        """What `response`, the answer to `request(token)`, means. `hidden`: what no sample may show beside the secrets.

        Raises: SourceError, retryable or not; see `judge`, `document_of`, `select_records`, `HiddenErrors`; SecretError
        when the key of a hash is not there.
        """
        told = Token.from_wire(token)
        if self._is_gone(told, response):
            return Page(1, [], 0, None, StopReason.NOT_FOUND, (WARNING_SKIPPED,))
        shown = {**secrets, **{f" {place}": one for place, one in enumerate(hidden)}}
        verdict = self._judge(told, response, now, shown)
        if verdict is Verdict.END:
            return self._ended(told, response, now)
        document: Any = None
        selected = NOTHING
        if verdict is Verdict.OK and (response.body or response.status not in NO_CONTENT):
            is_first = told.progress.number == 0
            document, selected = self._understood(response, shown, is_first=is_first)
        page = self._mapped(
            self._page(told, response, document, selected, now, is_skipped=verdict is Verdict.SKIP),
            secrets,
            told.parent,
        )
        if page.records is selected.records:
            page = replace(page, body=selected.body, is_plain=selected.is_plain)
        if not self._is_sampled:
            return page
        return replace(page, sample=sample_of(response.body, tuple(shown.values()), SAMPLE_CHARACTERS))

    def _understood(self, response: Response, secrets: Secrets, *, is_first: bool) -> tuple[Any, Selected]:
        """The document and its records. A stream that asks for none may be answered with anything."""
        if not (self._has_records or self._needs_document):
            return None, NOTHING
        found = document_of(response, tuple(secrets.values()), self._form)
        document = found.content
        self._hidden_errors.check(document, secrets)
        if not self._has_records:
            return document, NOTHING
        selected = select_records(
            document,
            self._records,
            self._form.path,
            one_page=self._is_one_page,
            may_lack=self._form.format == "xml",
        )
        if is_first:
            doubts = self._first_page.selected(document, self._form.path, selected.received_count)
            selected = replace(selected, warnings=selected.warnings + doubts)
        elif not selected.received_count:
            selected = NOTHING
        return document, replace(selected, is_plain=found.is_plain)

    def _is_gone(self, told: Token, response: Response) -> bool:
        """Whether the API says that the parent is not there any more, where the stream has no other word for that."""
        status = response.status
        return (
            self._parent is not None
            and told.progress.number == 0
            and status in self._parent.skip_on_status
            and str(status) not in self._definition.stream.errors.status
            and status not in self._stop_on_status
        )

    def _mapped(self, page: Page, secrets: Secrets, parent: Values | None) -> Page:
        """The page with rows for records. Everything about the walk was read from the records themselves."""
        if not page.records:
            return page
        if self._columns is not None and parent is not None and self._gather is None:
            page = replace(page, records=self._columns.before(page.records, parent))
        if self._mapper.is_needed:
            mapped = self._mapper.apply(page.records, secrets)
            page = _without(page, mapped.rows, [Rejected(*one) for one in mapped.rejected])
        if self._gather is not None and self._child is not None:
            return self._gathered(page, self._gather, self._child, parent)
        if self._columns is not None and parent is not None:
            page = replace(page, records=self._columns.after(page.records, parent))
        if page.number > 1:
            return page
        return replace(page, warnings=page.warnings + self._first_page.rows(page.records))

    def _gathered(self, page: Page, gather: ParentFields, child: "Walk", above: Values | None) -> Page:
        """The page with what its children are asked by instead of its records."""
        values, rejected = gather.read(page.records, above, child.fits)
        page = _without(page, values, rejected)
        return replace(page, warnings=(*page.warnings, WARNING_PARENTS_REJECTED)) if rejected else page

    def _judge(self, told: Token, response: Response, now: datetime, secrets: Secrets) -> Verdict:
        before = told.progress
        rules = self._definition.stream.errors.status
        if response.status == 404 and self._is_past_end(before) and "404" not in rules:
            return Verdict.END
        # an empty first page is only believed to be one where a cursor asks for what is new, or a slice may be empty
        may_stop = before.number > 0 or told.since is not None or self._is_one_page or self._is_in_slices
        return judge(
            response,
            now,
            stop_on_status=self._stop_on_status if may_stop else (),
            rules=rules,
            follows_token=before.number > 0 and not self._is_counting,
            is_later=before.number > 0,
            secrets=secrets,
        )

    def _is_past_end(self, before: Progress) -> bool:
        """Whether the page before was short, so that a 404 behind it is no surprise."""
        return self._is_counting and before.number > 0 and before.last_count < before.largest

    def _ended(self, told: Token, response: Response, now: datetime) -> Page:
        """A page that is not there: the walk, or one of its slices, is over."""
        answer = Answer(response.url, self._definition.base_url, {}, None, 0)
        progress = advanced(told.progress, answer, self._paginator.facts)
        there = self._paginator.after_end(told.place, StopReason.STATUS_END)
        following, _ = self._limited(there, [], told, progress, now)
        return Page(
            progress.number,
            [],
            0,
            _token_after(told, following, progress, NOTHING),
            following.stop_reason,
            following.warnings,
            pause_s=pause_s(response, now),
            resume_token=_resume_token(told, there, following, progress, 0),
        )

    def _page(
        self,
        told: Token,
        response: Response,
        document: Any,
        selected: Selected,
        now: datetime,
        *,
        is_skipped: bool,
    ) -> Page:
        answer = Answer(
            url=response.url,
            base_url=self._definition.base_url,
            headers=_by_name(response),
            document=document,
            received_count=selected.received_count,
            last_record=selected.records[-1] if selected.records else None,
            hidden_names=self._requester.hidden_names,
            is_skipped=is_skipped,
        )
        progress = advanced(told.progress, answer, self._paginator.facts)
        there, new = self._following(told, answer, progress, selected)
        following, records = self._limited(there, new, told, progress, now)
        doubts: tuple[str, ...] = ()
        if (
            told.has_ties
            and selected.records
            and not any(digest_of(one) in told.edge for one in selected.records)
        ):
            doubts = (
                WARNING_TIES,
            )  # the API goes on behind the key: those that share it may have been left out
        if progress.number == 1 and selected.records:
            doubts = self._first_page.answer(answer, there.stop_reason) + self._first_page.records(
                selected.records
            )
        top, below = self._marks(records, told, now)
        return Page(
            number=progress.number,
            records=self._unseen(records, told),
            received_count=selected.received_count,
            next_token=self._next_token(told, following, progress, selected),
            stop_reason=following.stop_reason,
            warnings=selected.warnings + following.warnings + self._gap(told, following, progress) + doubts,
            rejected=selected.rejected,
            content_digest=selected.digest,
            highest=top,
            pause_s=max(pause_s(response, now), cost_wait_s(document)),
            total=progress.total,
            below=below,
            resume_token=_resume_token(told, there, following, progress, len(new) - len(records)),
        )

    def _marks(self, records: list[Any], told: Token, now: datetime) -> tuple[Any, Any]:
        """The highest boundary among `records`, and the one below it where they ascend."""
        if self._cursor is None:
            return None, None
        top = self._cursor.highest(records, now)
        below = self._cursor.below(records, top)
        if self._identity is None and not self._keeps_seen:
            return top, below
        marks = self._cursor.marks(records)
        found = [
            None
            if mark is None
            else boundary_at(mark, records, marks, self._identity, keeps_seen=self._keeps_seen)
            for mark in (top, below)
        ]
        if found[0] is not None and told.since is not None and told.seen:
            known = {"value": told.since, "id": told.since_id, "seen": list(told.seen)}
            if order_of(told.since) == order_of(found[0]["value"]):
                found[0] = joined((found[0], known))
        return found[0], found[1]

    def _unseen(self, records: list[Any], told: Token) -> list[Any]:
        """Those of `records` that were not loaded already."""
        if not (told.seen or told.edge):
            return records
        seen = {*told.seen, *told.edge}
        return [record for record in records if digest_of(record) not in seen]

    def _following(
        self, told: Token, answer: Answer, progress: Progress, selected: Selected
    ) -> tuple[Next, list[Any]]:
        """Where the walk goes on, and which records are new."""
        following = self._paginator.next(told.place, answer, progress)
        records = selected.records
        known: list[Any] | None = None
        if self._cursor is not None and told.until is not None:
            records, is_past = self._cursor.within(records, told.since, told.until)
            known = records if is_past else None
        elif self._cursor is not None:
            known = self._cursor.known_from(records, told.since)
        if known is not None:
            records = known
            following = Next.stop(StopReason.WATERMARK) if following.place is not None else following
        # a repeated page is no end unless the API itself says so: counting would take it for progress
        is_said = following.stop_reason in {StopReason.HAS_MORE_FALSE, StopReason.CURSOR_END}
        if not is_said and _is_repeated(told, selected):
            return _repeated(told, selected, answer, progress), []
        return following, records

    def _gap(self, told: Token, following: Next, progress: Progress) -> tuple[str, ...]:
        """A warning where a planned position was not filled, so that records may lie between it and the next one."""
        is_open = following.place is not None and progress.number < told.planned
        is_gap = is_open and progress.last_count < told.step and self._by_position
        return (WARNING_TOTAL,) if is_gap else ()

    def _next_token(
        self, told: Token, following: Next, progress: Progress, selected: Selected
    ) -> dict[str, Any] | None:
        if self._key is not None and following.place is not None:
            keys = [self._key(record) for record in selected.records]
            there = [record for record, key in zip(selected.records, keys, strict=True) if key == keys[-1]]
            edge = tuple(sorted({digest_of(record) for record in there[-MOST_SEEN:]}))
            told = replace(told, edge=edge, has_ties=len(set(map(str, keys))) < len(keys))
        if following.place is None or self._countable is None:
            return _token_after(told, following, progress, selected)
        if progress.number < told.planned:
            return token_at(self._countable, told, progress.number + 1).to_wire()
        planned = planned_after_first(self._countable, told, progress, selected.digest, self._limits)
        return _token_after(told, following, progress, selected) if planned is None else planned.to_wire()

    def _limited(
        self, following: Next, records: list[Any], told: Token, progress: Progress, now: datetime
    ) -> tuple[Next, list[Any]]:
        """The limits that always apply: records, pages, seconds, empty pages in a row."""
        limits = self._limits
        surplus = progress.received - told.base_received - limits.max_records
        if surplus > 0:
            kept = records[: max(len(records) - surplus, 0)]
            return Next.stop(StopReason.LIMIT, WARNING_LIMIT), kept
        if following.place is None:
            return following, records
        if progress.empty_count >= self._paginator.facts.max_empty_pages:
            return Next.stop(StopReason.LOOP, WARNING_LOOP), records
        is_late = now.timestamp() - told.began_s >= limits.max_seconds
        if surplus == 0 or progress.number - told.base_number >= limits.max_pages or is_late:
            return Next.stop(StopReason.LIMIT, WARNING_LIMIT), records
        return following, records


def _without(page: Page, rows: list[Any], rejected: list[Rejected]) -> Page:
    """The page with `rows` for its records, those of `rejected` left out; a place counts among its records."""
    out = {item.index for item in page.rejected}
    places = [index for index in range(len(page.records) + len(out)) if index not in out]
    told = [Rejected(places[item.index], item.reason) for item in rejected]
    ordered = sorted((*page.rejected, *told), key=lambda item: item.index)
    return replace(page, records=rows, rejected=tuple(ordered))


def identity_of(stream: Stream) -> Getter | None:
    """What tells a stream's records of the same cursor value apart; None when nothing does."""
    rule, destination = stream.cursor_rule, stream.destination
    if rule is None:
        return None
    if rule.id is not None:
        return compile_path(rule.id)
    if destination is None or len(destination.key) != 1 or stream.fields:
        return None
    key = destination.key[0]
    return lambda record: record.get(key) if isinstance(record, dict) else None


def _by_name(response: Response) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in response.headers:
        key = name.lower()
        found[key] = (*found.get(key, ()), value)
    return found


def _is_repeated(told: Token, selected: Selected) -> bool:
    return bool(selected.digest) and selected.digest in {told.first_digest, told.last_digest}


def _repeated(told: Token, selected: Selected, answer: Answer, progress: Progress) -> Next:
    """The end of a walk that was shown a page again.

    Servers that are asked for a page past the end like to show the last one again: where that one was short
    it is known to be the last, and the walk is complete.
    """
    is_last = selected.digest == told.last_digest and is_short(answer, progress)
    return Next.stop(StopReason.SHORT_PAGE if is_last else StopReason.LOOP, WARNING_LOOP)


def _token_after(
    told: Token, following: Next, progress: Progress, selected: Selected
) -> dict[str, Any] | None:
    if following.place is None:
        return None
    is_new_slice = following.place.get("so_far") == {}  # its pages may well be those of the slice before
    return Token(
        following.place,
        progress,
        first_digest="" if is_new_slice else told.first_digest or selected.digest,
        last_digest="" if is_new_slice else selected.digest or told.last_digest,
        began_s=told.began_s,
        since=told.since,
        base_number=told.base_number,
        base_received=told.base_received,
        parent=told.parent,
        level=told.level,
        until=told.until,
        since_id=told.since_id,
        seen=told.seen,
        is_slice=told.is_slice,
        edge=told.edge,
        has_ties=told.has_ties,
    ).to_wire()


def _resume_token(
    told: Token, there: Next, following: Next, progress: Progress, cut_count: int
) -> dict[str, Any] | None:
    """Where the next run goes on after a limit: at the page that follows, or at this one when it was cut."""
    if following.stop_reason is not StopReason.LIMIT:
        return None
    if cut_count:
        return told.to_wire()
    if there.place is None:
        return None
    at = replace(told, place=there.place, progress=progress, first_digest="", last_digest="", planned=0)
    return replace(at, began_s=0.0, base_number=0, base_received=0, step=0).to_wire()
