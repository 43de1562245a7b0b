"""The walk of one stream, compiled once: first token, request of a token, and what an answer means.

Everything here is pure; fetcher and preview act by it:

    walk = Walk(definition)
    token = walk.first(cursor, now)
    response = await client.send(walk.request(token, secrets), allow=..., timeout_s=...)
    page = walk.read(token, response, now, secrets)      # page.records, page.next_token, page.stop_reason
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.contracts.manifest import StreamDefinition
from headwater.model.http import HttpRequest, Response
from headwater.model.run import StopReason
from headwater.plugins.auth import authenticator_for
from headwater.plugins.expressions import compile_path
from headwater.plugins.paginators import Answer, Next, Progress, paginator_for
from headwater.plugins.paginators.base import WARNING_LIMIT, WARNING_LOOP, is_short
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.body import document_of
from headwater.plugins.walk.cursor import Mark, highest_in
from headwater.plugins.walk.judge import Verdict, judge
from headwater.plugins.walk.request import Requester
from headwater.plugins.walk.select import NOTHING, Rejected, Selected, select_records
from headwater.plugins.walk.token import Token
from headwater.plugins.walk.waits import pause_s

_NO_SECRETS: Mapping[str, Any] = {}
_COUNTING = frozenset({"offset", "page"})


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer means for the walk.

    `records` are to be loaded; `received_count` counts what the API sent (rejected and repeated ones too).
    Exactly one of `next_token` and `stop_reason` is None. `content_digest` is equal for pages of equal
    records ("" for empty ones). `highest` is the highest cursor value on the page, where the stream has a
    cursor. `pause_s` is how long the API wants no further request, although it served this one.
    """

    number: int
    records: list[Any]
    received_count: int
    next_token: dict[str, Any] | None
    stop_reason: StopReason | None = None
    warnings: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    content_digest: str = ""
    highest: Mark | None = None
    pause_s: float = 0.0


class Walk:
    """How the pages of one stream are asked for and understood. Raises: ConfigError for wrong expressions."""

    def __init__(self, definition: StreamDefinition) -> None:
        stream = definition.stream
        self._definition = definition
        self._limits = stream.limits
        self._paginator = paginator_for(stream.pagination)
        self._requester = Requester(definition, authenticator_for(definition.auth))
        self._records = compile_path(stream.records.path) if stream.records.path else None
        self._cursor = compile_path(stream.incremental.field) if stream.incremental else None
        self._stop_on_status = stream.pagination.stop_on_status
        self._max_empty_pages = getattr(stream.pagination, "max_empty_pages", 1)
        self._is_one_page = stream.pagination.type == "none"
        self._is_counting = stream.pagination.type in _COUNTING

    def first(self, cursor: Mark | None, now: datetime) -> dict[str, Any]:
        """The token of the first page. `cursor` is the value to go on from; None: from the stream's start."""
        incremental = self._definition.stream.incremental
        since = incremental.start if incremental is not None and cursor is None else cursor
        return Token(self._paginator.first(), began_s=now.timestamp(), since=since).to_wire()

    def request(self, token: Mapping[str, Any], secrets: Secrets = _NO_SECRETS) -> HttpRequest:
        """The request for the page at `token`; credentials stand apart in it, bound to the source's origin.

        Raises: SecretError when a named secret is not in `secrets`.
        """
        told = Token.from_wire(token)
        incremental = self._definition.stream.incremental
        since = {} if incremental is None or told.since is None else {incremental.param: told.since}
        return self._requester.request(self._paginator.asked(told.place), since, secrets)

    def read(
        self,
        token: Mapping[str, Any],
        response: Response,
        now: datetime,
        secrets: Secrets = _NO_SECRETS,
    ) -> Page:
        """What `response`, the answer to `request(token)`, means.

        Raises: SourceError, retryable or not; see `judge`, `document_of` and `select_records`.
        """
        told = Token.from_wire(token)
        if self._judge(told, response, now, secrets) is Verdict.END:
            number = told.progress.number + 1
            return Page(number, [], 0, None, StopReason.STATUS_END, pause_s=pause_s(response, now))
        document = document_of(response, tuple(secrets.values()))
        selected = NOTHING
        if document is not None or response.body:
            selected = select_records(
                document, self._records, self._definition.stream.records.path, one_page=self._is_one_page
            )
        return self._page(told, response, document, selected, now)

    def _judge(self, told: Token, response: Response, now: datetime, secrets: Secrets) -> Verdict:
        before = told.progress
        if response.status == 404 and self._is_past_end(before):
            return Verdict.END
        # an empty first page is only believed to be one where a cursor asks for what is new
        may_stop = before.number > 0 or told.since is not None or self._is_one_page
        return judge(
            response,
            now,
            stop_on_status=self._stop_on_status if may_stop else (),
            follows_token=before.number > 0 and not self._is_counting,
            secrets=secrets,
        )

    def _is_past_end(self, before: Progress) -> bool:
        """Whether the page before was short, so that a 404 behind it is no surprise."""
        return self._is_counting and before.number > 0 and before.last_count < before.largest

    def _page(
        self, told: Token, response: Response, document: Any, selected: Selected, now: datetime
    ) -> Page:
        answer = Answer(
            url=response.url,
            base_url=self._definition.base_url,
            headers=_by_name(response),
            document=document,
            received_count=selected.received_count,
            last_record=selected.records[-1] if selected.records else None,
            hidden_names=self._requester.hidden_names,
        )
        progress = self._progress(told.progress, answer)
        following = self._paginator.next(told.place, answer, progress)
        records = selected.records
        if following.place is not None and _is_repeated(told, selected):
            following, records = _repeated(told, selected, answer, progress), []
        following, records = self._limited(following, records, told, progress, now)
        return Page(
            number=progress.number,
            records=records,
            received_count=selected.received_count,
            next_token=_token_after(told, following, progress, selected),
            stop_reason=following.stop_reason,
            warnings=selected.warnings + following.warnings,
            rejected=selected.rejected,
            content_digest=selected.digest,
            highest=highest_in(records, self._cursor) if self._cursor else None,
            pause_s=pause_s(response, now),
        )

    def _progress(self, before: Progress, answer: Answer) -> Progress:
        facts, count = self._paginator.facts, answer.received_count
        total, pages = facts.total(answer), facts.total_pages(answer)
        return Progress(
            number=before.number + 1,
            received=before.received + count,
            last_count=count,
            largest=max(before.largest, count),
            empty_count=0 if count else before.empty_count + 1,
            total=before.total if total is None else total,
            total_pages=before.total_pages if pages is None else pages,
        )

    def _limited(
        self, following: Next, records: list[Any], told: Token, progress: Progress, now: datetime
    ) -> tuple[Next, list[Any]]:
        """The limits that always apply: records, pages, seconds, empty pages in a row."""
        limits = self._limits
        surplus = progress.received - limits.max_records
        if surplus > 0:
            kept = records[: max(len(records) - surplus, 0)]
            return Next.stop(StopReason.LIMIT, WARNING_LIMIT), kept
        if following.place is None:
            return following, records
        if progress.empty_count >= self._max_empty_pages:
            return Next.stop(StopReason.LOOP, WARNING_LOOP), records
        is_late = now.timestamp() - told.began_s >= limits.max_seconds
        if surplus == 0 or progress.number >= limits.max_pages or is_late:
            return Next.stop(StopReason.LIMIT, WARNING_LIMIT), records
        return following, records


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
    return Token(
        following.place,
        progress,
        first_digest=told.first_digest or selected.digest,
        last_digest=selected.digest or told.last_digest,
        began_s=told.began_s,
        since=told.since,
    ).to_wire()
