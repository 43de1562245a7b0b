"""What an answer's status means for the walk: go on, come again later, end, or fail."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum

from headwater.model.errors import SourceError
from headwater.model.http import Response
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.body import sample_of, words_of
from headwater.plugins.walk.waits import asked_wait_s, is_exhausted

_NO_RULES: Mapping[str, str] = {}
_AGAIN = frozenset({408, 420, 425, 429})  # 420: X's and others' 429 of old
_BUSY = frozenset({409, 413, 423, 430})  # with Retry-After they mean that it passes (RFC 9110 §15.5.14)
NOT_MODIFIED = 304
WARNING_UNCHANGED = "not_modified"
WARNING_PART = "partial_content"
_RANGE = re.compile(r"\s*[a-z-]+\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE)  # RFC 9110 §14.4
PAST_END = frozenset({400, 404, 410, 416, 422})
_BEHIND_TOTAL = PAST_END | {403, 500}  # behind the last page many APIs have no better answer
_MOST_READ = 4096
# as GitHub, Google and others say it in a 403 without any header
_LIMITED = re.compile(
    rb"rate.?limit|(?:limit|quota).?exceeded|too many (?:requests|calls)|throttl", re.IGNORECASE
)
_TOKEN_REFUSED = frozenset({400, 404, 410, 422})  # how APIs say that a cursor is no longer known
_REFUSALS = frozenset({400, 401, 403})
_INVALID_TOKEN = re.compile(r'\berror\s*=\s*"?invalid_token\b', re.IGNORECASE)  # RFC 6750 §3.1


class Verdict(StrEnum):
    """How the walk goes on after an answer that was not refused."""

    OK = "ok"
    END = "end"
    SKIP = "skip"  # as if the page were empty


def judge(
    response: Response,
    now: datetime,
    *,
    stop_on_status: tuple[int, ...] = (),
    rules: Mapping[str, str] = _NO_RULES,
    follows_token: bool = False,
    is_later: bool = False,
    may_be_unchanged: bool = True,
    refresh_on: Collection[int] = (),
    secrets: Secrets | None = None,
) -> Verdict:
    """OK, END (a status that means "past the end") or SKIP (one that the stream takes for an empty page).

    `rules` say what a status means for this stream (`retry`, `fail`, `end`, `skip`), before all else.
    `follows_token`: the request was made from a token that the API gave. `is_later`: it was not for the first page.
    `may_be_unchanged`: 304 is an answer to it, and not a fault of what stands between. `refresh_on`: statuses that say
    as 401 does that a token is over, as far as they speak of no limit.
    Raises: SourceError. Retryable ones may succeed later (`delay_s` is what the API asks for); those with
    `restart` may succeed from the first page.
    """
    status = response.status
    rule = rules.get(str(status))
    if rule in {"end", "skip"}:
        return Verdict(rule)
    if rule is not None:
        raise _ruled(response, now, rule, secrets)
    if status in stop_on_status:
        return Verdict.END
    if 200 <= status < 300 or (status == NOT_MODIFIED and may_be_unchanged):
        return Verdict.OK
    hidden = tuple((secrets or {}).values())
    sample, words = sample_of(response.body, hidden), words_of(response, hidden)
    if status == 401 or names_invalid_token(response):
        raise _unauthorized(status, words, sample)
    if status in {429, 403} and (status == 429 or _is_limit(response)):
        raise SourceError(
            "rate_limited",
            f"the API asks for fewer requests (status {status}){_quoted(words)}",
            retryable=True,
            delay_s=asked_wait_s(response, now),
            sample=sample,
        )
    if status in _AGAIN or status >= 500 or (status in _BUSY and response.header("retry-after") is not None):
        delay_s = asked_wait_s(response, now)
        raise SourceError(
            f"http_{status}", _said(status, words), retryable=True, delay_s=delay_s, sample=sample
        )
    if status in refresh_on:
        raise _unauthorized(status, words, sample)
    if follows_token and status in _TOKEN_REFUSED:
        raise SourceError(
            "token_refused",
            f"the API no longer takes the token it gave for the next page (status {status}){_quoted(words)}",
            restart=True,
            sample=sample,
        )
    raise SourceError(f"http_{status}", _said(status, words, is_later=is_later), sample=sample)


def bears_out(response: Response) -> bool:
    """Whether the answer to a page behind a total that was reached says no more than that there is none."""
    if names_invalid_token(response):
        return False
    return response.status in _BEHIND_TOTAL and not (response.status == 403 and _is_limit(response))


def is_part(response: Response) -> bool:
    """Whether the answer says that there is more than it holds: a Content-Range that is not all of its range."""
    found = _RANGE.fullmatch(response.header("content-range") or "")
    if found is None:
        return False
    return int(found[1]) > 0 or (found[3] != "*" and int(found[2]) + 1 < int(found[3]))


def names_invalid_token(response: Response) -> bool:
    """Whether the answer says that the token is over or wrong, whatever its status (RFC 6750 §3.1)."""
    return response.status in _REFUSALS and any(
        _INVALID_TOKEN.search(value) for value in response.header_values("www-authenticate")
    )


def _unauthorized(status: int, words: str, sample: str) -> SourceError:
    text = f"the API does not accept the credentials (status {status}): check `auth`{_quoted(words)}"
    return SourceError("unauthorized", text, sample=sample)


def _ruled(response: Response, now: datetime, rule: str, secrets: Secrets | None) -> SourceError:
    is_retry, hidden = rule == "retry", tuple((secrets or {}).values())
    return SourceError(
        f"http_{response.status}",
        f"{_said(response.status, words_of(response, hidden))} (errors.status says {rule})",
        retryable=is_retry,
        delay_s=asked_wait_s(response, now) if is_retry else None,
        sample=sample_of(response.body, hidden),
    )


def _is_limit(response: Response) -> bool:
    """Whether a 403 means a rate limit: none left, a time is named after which to ask again, or it says so."""
    return (
        is_exhausted(response)
        or response.header("retry-after") is not None
        or speaks_of_limit(response.body[:_MOST_READ])
    )


def speaks_of_limit(text: bytes) -> bool:
    """Whether an error's text is about a rate limit."""
    return _LIMITED.search(text) is not None


def _said(status: int, words: str, *, is_later: bool = False) -> str:
    hint = {
        403: ": the credentials do not allow it",
        404: ": check base_url and path",
        NOT_MODIFIED: ", although nothing in the request says what is known already",
    }.get(status, "")
    if is_later and status in PAST_END:
        hint = f": if it means the end of the pages, set pagination.stop_on_status: {status}"
    return f"the API answered with status {status}{hint}{_quoted(words)}"


def _quoted(words: str) -> str:
    return f"; it says: {words}" if words else ""
