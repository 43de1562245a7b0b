"""The walk of one stream, compiled once: first token, request of a token, and what an answer means.

Everything here is pure; fetcher and preview act by it:

    walk = Walk(definition)
    token = walk.first(cursor, now)
    response = await client.send(walk.request(token, secrets), allow=..., timeout_s=...)
    page = walk.read(token, response, now, secrets)      # page.records, page.next_token, page.stop_reason
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from headwater.contracts.pagination import pages_of
from headwater.contracts.source import StreamDefinition
from headwater.contracts.walking import Records
from headwater.model.errors import SourceError
from headwater.model.http import HttpRequest, Response
from headwater.model.run import StopReason
from headwater.model.secret import Secret
from headwater.plugins.auth import authenticator_for, token_authenticator_for
from headwater.plugins.instants import instant_of
from headwater.plugins.paginators import Answer, Begin, Parameter, paginator_for
from headwater.plugins.paginators.base import advanced, is_met
from headwater.plugins.paginators.window import WindowPaginator
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.body import NO_CONTENT, sample_of
from headwater.plugins.walk.check import check_fit
from headwater.plugins.walk.cursor import Mark
from headwater.plugins.walk.hidden import cost_wait_s
from headwater.plugins.walk.judge import (
    NOT_MODIFIED,
    WARNING_PART,
    WARNING_UNCHANGED,
    Verdict,
    bears_out,
    is_part,
    judge,
)
from headwater.plugins.walk.keeping import Keeping
from headwater.plugins.walk.marks import Marks
from headwater.plugins.walk.matching import FirstPage
from headwater.plugins.walk.onward import Onward, resume_token, token_after
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.parents import ParentFields
from headwater.plugins.walk.plan import token_at
from headwater.plugins.walk.reading import Reader
from headwater.plugins.walk.request import Requester
from headwater.plugins.walk.rows import Rows
from headwater.plugins.walk.select import NOTHING, Selected
from headwater.plugins.walk.skipping import Skipping, doubt_of_skipped
from headwater.plugins.walk.slices import Gap, Slice, slices_of
from headwater.plugins.walk.templates import Values
from headwater.plugins.walk.token import Token
from headwater.plugins.walk.waits import pause_s

_NO_SECRETS: Mapping[str, Any] = {}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTING = frozenset({"offset", "page"})
_BODY_ITSELF = Records()
_CONDITIONAL = frozenset({"if-none-match", "if-modified-since"})  # RFC 9110 §13
_NO_RECORDS = frozenset({"records_missing", "error_in_answer"})
SAMPLE_CHARACTERS = 2000  # of an answer that is kept instead of its records


class Walk:
    """How the pages of one stream are asked for and understood. Raises: ConfigError for wrong expressions.

    `tokens` is there where the source shows a token that must first be asked for: whoever keeps it puts it among
    the secrets as ACCESS_TOKEN. With `gather` its records are parents: pages give what `child` asks by instead.
    """

    def __init__(
        self, definition: StreamDefinition, gather: ParentFields | None = None, child: "Walk | None" = None
    ) -> None:
        stream = definition.stream
        pages = pages_of(stream.pagination)
        self._definition = definition
        self._paginator = paginator_for(stream.pagination)
        self.tokens = token_authenticator_for(definition.auth)
        self._requester = Requester(definition, authenticator_for(definition.auth))
        form = stream.records or _BODY_ITSELF
        self._has_records = stream.records is not None or stream.destination is not None or gather is not None
        self._is_sampled = stream.destination is None and gather is None
        self._marks = Marks(stream)
        self._cursor = self._marks.cursor
        self._keeping = Keeping(stream, self._paginator)
        self._onward = Onward(stream, pages, self._paginator, self._cursor)
        self._stop_on_status = pages.stop_on_status
        self._refresh_on = frozenset(getattr(definition.auth, "refresh_on_status", ()))
        renews = frozenset() if self.tokens is None else self._refresh_on | {401}
        self._skipping = Skipping(definition, pages.stop_on_status, renews)
        names = {name.lower() for name in (*definition.headers, *stream.request.headers)}
        self._is_conditional = not _CONDITIONAL.isdisjoint(names)
        self._is_one_page = pages.type == "none"
        self._is_in_slices = pages is not stream.pagination
        self._is_counting = pages.type in _COUNTING
        self._first_page = FirstPage(stream, is_gathering=gather is not None)
        self._reader = Reader(stream, form, self._first_page, has_records=self._has_records)
        self._rows = Rows(stream, form, self._first_page, gather, None if child is None else child.fits)
        check_fit(definition, self._paginator, Begin(_EPOCH), self._requester.words)

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
        place = self._keeping.place(since, self._paginator.first(Begin(now, since_at)))
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
        return told._replace(
            first_digest="",
            last_digest="",
            began_s=round(now.timestamp(), 3) if began_s is None else began_s,
            planned=0,
            step=0,
            base_number=told.progress.number,
            base_received=told.progress.received,
            parent=told.parent if parent is None else parent,
            has_ties=False,
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
        if self._onward.countable is None or not 2 <= number <= told.planned:
            raise ValueError(f"page {number} is not planned")
        return token_at(self._onward.countable, told, number).to_wire()

    def request(
        self, token: Mapping[str, Any], secrets: Secrets = _NO_SECRETS, now: datetime | None = None
    ) -> HttpRequest:
        """The request for the page at `token`; credentials stand apart in it, bound to the source's origin.

        `now` is what signed requests are dated by (default: when the walk began).

        Raises: SecretError when a named secret is not in `secrets`; SourceError `cursor_unusable`.
        """
        told = Token.from_wire(token)
        return self._requester.request(
            self._paginator.asked(told.place),
            self._since(told),
            secrets,
            now or datetime.fromtimestamp(told.began_s, UTC),
            told.parent,
        )

    def _since(self, told: Token) -> tuple[Parameter, ...]:
        if self._cursor is None or self._keeping.begins_there:
            return ()
        began_at = datetime.fromtimestamp(told.began_s, UTC)
        return self._cursor.asked(told.since, told.until, told.since_id, began_at, self._requester.words)

    def read(
        self,
        token: Mapping[str, Any],
        response: Response,
        now: datetime,
        secrets: Secrets = _NO_SECRETS,
        *,
        hidden: Iterable[Secret] = (),
        is_renewed: bool = False,
    ) -> Page:
        """What `response`, the answer to `request(token)`, means. `hidden`: what no sample may show beside the secrets.
        `is_renewed`: the access token was made anew for it, so that a refusal is one.

        Raises: SourceError, retryable or not; see `judge`, `document_of`, `select_records`, `HiddenErrors`; SecretError
        when the key of a hash is not there.
        """
        told = Token.from_wire(token)
        passed = self._skipping.passed(told, response, may_renew=not is_renewed)
        if passed is not None:
            return passed
        shown = {**secrets, **{f" {place}": one for place, one in enumerate(hidden)}}
        try:
            return self._understood(told, response, now, secrets, shown, is_renewed=is_renewed)
        except SourceError as error:
            raise self._skipping.of_child(error, told, response.status, shown) from error.__cause__

    def _understood(
        self,
        told: Token,
        response: Response,
        now: datetime,
        secrets: Secrets,
        shown: Secrets,
        *,
        is_renewed: bool,
    ) -> Page:
        expired = self._keeping.expired(told, response, self._paginator.first(Begin(now)))
        if expired is not None:
            return expired
        verdict = self._judge(told, response, now, shown, is_renewed=is_renewed)
        if verdict is Verdict.END:
            return self._ended(told, response, now)
        document: Any = None
        selected = NOTHING
        if verdict is Verdict.OK and (response.body or response.status not in NO_CONTENT):
            try:
                document, selected = self._reader.read(response, now, shown, told)
            except SourceError as error:
                if error.kind in _NO_RECORDS and is_met(told.progress_here):
                    return self._ended(told, response, now)
                raise
        page = self._rows.of(
            self._page(told, response, document, selected, now, shown, is_skipped=verdict is Verdict.SKIP),
            secrets,
            told.parent,
        )
        if page.records is selected.records:
            page = replace(page, body=selected.body, is_plain=selected.is_plain)
        if not self._is_sampled:
            return page
        return replace(page, sample=sample_of(response.body, tuple(shown.values()), SAMPLE_CHARACTERS))

    def _judge(
        self, told: Token, response: Response, now: datetime, secrets: Secrets, *, is_renewed: bool
    ) -> Verdict:
        before = told.progress
        rules = self._definition.stream.errors.status
        is_ruled = str(response.status) in rules
        # behind a short page it is no surprise, and where pages are planned the total may be too high
        is_behind_short = self._is_counting and before.number > 0 and before.last_count < before.largest
        is_expected = is_behind_short or told.planned > 0
        if response.status == 404 and is_expected and not is_ruled:
            return Verdict.END
        if is_met(told.progress_here) and bears_out(response) and not is_ruled:
            return Verdict.END
        is_first = not (before.number or is_ruled)
        is_believed = self._has_records and (told.since is not None or self._is_conditional)
        if response.status == NOT_MODIFIED and is_first and is_believed:
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
            may_be_unchanged=not self._has_records,
            refresh_on=() if is_renewed else self._refresh_on,
            secrets=secrets,
        )

    def _ended(self, told: Token, response: Response, now: datetime) -> Page:
        """A page that is not there: the walk, or one of its slices, is over."""
        answer = Answer(response.url, self._definition.base_url, {}, None, 0)
        progress = advanced(told.progress, answer, self._paginator.facts)
        reason = StopReason.TOTAL_REACHED if is_met(told.progress_here) else StopReason.STATUS_END
        there = self._paginator.after_end(told.place, reason, progress)
        following, _ = self._onward.limited(there, [], told, progress, now)
        unchanged = (WARNING_UNCHANGED,) if response.status == NOT_MODIFIED else ()
        return Page(
            progress.number,
            [],
            0,
            token_after(told, following, progress, NOTHING),
            following.stop_reason,
            following.warnings + unchanged,
            highest=told.kept if following.place is None else None,
            pause_s=pause_s(response, now),
            resume_token=resume_token(told, there, following, progress),
        )

    def _page(
        self,
        told: Token,
        response: Response,
        document: Any,
        selected: Selected,
        now: datetime,
        shown: Secrets,
        *,
        is_skipped: bool,
    ) -> Page:
        answer = Answer(
            url=response.url,
            base_url=self._definition.base_url,
            headers=response.headers_by_name(),
            document=document,
            received_count=selected.received_count,
            last_record=selected.records[-1] if selected.records else None,
            again_count=self._onward.again_count(told, selected),
            hidden_names=self._requester.hidden_names,
            is_skipped=is_skipped,
            secrets=tuple(shown.values()),
        )
        progress = advanced(told.progress, answer, self._paginator.facts)
        told = self._keeping.kept(told, answer, progress.number)
        there, new = self._onward.following(told, answer, progress, selected)
        following, records = self._onward.limited(there, new, told, progress, now, selected=selected)
        doubts = doubt_of_skipped(response.status) if is_skipped else self._onward.of_key(told, selected)
        if progress.number == 1 and selected.records:
            part = (WARNING_PART,) if self._is_one_page and is_part(response) else ()
            is_of_new = told.since is not None
            doubts += self._first_page.answer(answer, there.stop_reason, is_of_new=is_of_new) + part
            doubts += self._first_page.records(selected.records) + self._marks.unheeded(
                selected.records, told
            )
        top, below = self._marks.of(records, told, now)
        if following.stop_reason is not None and following.stop_reason.is_complete:
            top = told.kept if top is None else top
            doubts += self._keeping.doubts(told)
        is_known = 0 < answer.again_count == answer.received_count  # what was asked by, once more: no loop
        return Page(
            number=progress.number,
            records=self._marks.new(records, told),
            received_count=selected.received_count,
            next_token=self._onward.token(told, following, progress, selected),
            stop_reason=following.stop_reason,
            warnings=selected.warnings
            + following.warnings
            + self._marks.overlaps(selected.records, told)
            + self._onward.doubts(told, following, progress)
            + doubts,
            rejected=selected.rejected,
            content_digest="" if is_known else selected.digest,
            highest=top,
            pause_s=max(pause_s(response, now), cost_wait_s(document)),
            total=progress.total,
            below=below,
            resume_token=self._onward.resume(told, there, following, progress, selected, records, new),
        )
