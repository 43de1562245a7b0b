"""How long an API asks us to wait: Retry-After and the many rate limit headers, in seconds from now."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from headwater.model.http import Response

MAX_WAIT_S = 366 * 86_400.0  # what is longer is nonsense, and would overflow dates
_EPOCH_S = 1_000_000_000  # numbers from here on are seconds since 1970, not a wait
_EPOCH_MS = 1_000_000_000_000
_MOST_READ = 4096
_NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,9})?")
_WITH_UNIT = re.compile(
    r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|milliseconds?|s|secs?|seconds?)", re.IGNORECASE
)
_RETRY_AFTER = ("retry-after", "x-retry-after", "x-ratelimit-retry-after")
_RETRY_AFTER_MS = ("retry-after-ms", "x-ms-retry-after-ms")
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining")
_RESET = ("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset", "x-ratelimit-reset-after")
_STRUCTURED = re.compile(r"(?:^|[;,\s])(r|t|remaining|reset)\s*=\s*([0-9]{1,15})")
_ITEMS = re.compile(r";\s*[rt]\s*=")
# as Discord, Telegram and monday.com write it: in seconds
_IN_BODY = re.compile(
    rb'"(?:retry_after|retry_after_seconds|retry_in_seconds)"\s*:\s*"?([0-9]{1,9}(?:\.[0-9]{1,9})?)"?\s*[,}]'
)


def asked_wait_s(response: Response, now: datetime) -> float | None:
    """What a refusal asks for: Retry-After, else the reset of a rate limit that is used up, else what its body says.
    None: nothing.

    A limit of which something is left is not why we were refused, so its reset is no answer.
    """
    wait = retry_after_s(response, now)
    if wait is None and (is_exhausted(response) or (response.status == 429 and not _is_left(response))):
        wait = reset_s(response, now)
    return _in_body(response) if wait is None else wait


def retry_after_s(response: Response, now: datetime) -> float | None:
    """Retry-After as seconds from now, never negative; dates are read by the server's own clock. The longest counts,
    where there are several.
    """
    clock = _server_now(response, now)
    told = [_until(text, clock) for name in _RETRY_AFTER for text in response.header_values(name)]
    told += [_milliseconds(text) for name in _RETRY_AFTER_MS for text in response.header_values(name)]
    return max((wait for wait in told if wait is not None), default=None)


def _milliseconds(text: str) -> float | None:
    return _bounded(float(text) / 1000) if _NUMBER.fullmatch(text.strip()) else None


def _in_body(response: Response) -> float | None:
    found = _IN_BODY.search(response.body[:_MOST_READ])
    return None if found is None else _bounded(float(found[1]))


def is_exhausted(response: Response) -> bool:
    """Whether the answer says that no request of the rate limit is left."""
    return any(remaining <= 0 for remaining in _remaining(response))


def _is_left(response: Response) -> bool:
    told = _remaining(response)
    return bool(told) and min(told) > 0


def _remaining(response: Response) -> list[float]:
    texts = [text for name in _REMAINING for text in _listed(response, name)]
    told = [float(text) for text in texts if _NUMBER.fullmatch(text.removeprefix("-"))]
    structured = (window.get("remaining") for window in _structured(response))
    return told + [float(one) for one in structured if one is not None]


def reset_s(response: Response, now: datetime) -> float | None:
    """Seconds until the rate limit is reset: told as a delta, an epoch (seconds, milliseconds) or a date.

    Of several limits those that are used up count, the longest of them.
    """
    clock = _server_now(response, now)
    for name, remaining in zip(_RESET, (*_REMAINING, _REMAINING[0]), strict=True):
        texts = _listed(response, name)
        used_up = [text.startswith("-") or not text.strip("0.") for text in _listed(response, remaining)]
        is_paired = len(used_up) == len(texts) and any(
            used_up
        )  # `0, 400` left and `2, 3000` until they are again
        waits = [
            wait
            for place, text in enumerate(texts)
            if (not is_paired or used_up[place]) and (wait := _until(text, clock)) is not None
        ]
        if waits:
            return max(waits)
    windows = _structured(response)
    used = [window for window in windows if window.get("remaining") == 0] or windows[:1]
    found = (_until(str(window["reset"]), clock) for window in used if "reset" in window)
    return max((wait for wait in found if wait is not None), default=None)


def _listed(response: Response, name: str) -> list[str]:
    """The values of a header: several limits stand in several lines, or behind one another. A date has a comma too."""
    found: list[str] = []
    for value in response.header_values(name):
        parts = [part.strip() for part in value.split(",")]
        found += (
            parts if all(_NUMBER.fullmatch(part.removeprefix("-")) for part in parts) else [value.strip()]
        )
    return found


def pause_s(response: Response, now: datetime) -> float:
    """How long to wait before the next request although this was served: 0, or until the limit is reset."""
    return (reset_s(response, now) or 0.0) if is_exhausted(response) else 0.0


def _until(text: str, now: datetime) -> float | None:
    text = text.strip()
    if (found := _WITH_UNIT.fullmatch(text)) is not None:
        return _bounded(float(found[1]) / (1000 if found[2].lower().startswith("m") else 1))
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MS:
            number /= 1000
        return _bounded(number - now.timestamp() if number >= _EPOCH_S else number)
    moment = _date(text)
    return None if moment is None else _bounded((moment - now).total_seconds())


def _structured(response: Response) -> list[dict[str, int]]:
    """The limits of the IETF `RateLimit` field in its forms: `limit=10, remaining=0, reset=30` is one, each
    `"name";r=0;t=30` another.
    """
    text = ", ".join(response.header_values("ratelimit"))[:2000]
    parts = text.split(",") if _ITEMS.search(text) else [text]
    told = [
        {
            {"r": "remaining", "t": "reset"}.get(name, name): int(value)
            for name, value in _STRUCTURED.findall(part)
        }
        for part in parts
    ]
    return [window for window in told if window]


def _server_now(response: Response, now: datetime) -> datetime:
    """The moment by the server's clock, where it tells and is within a day of ours."""
    told = _date(response.header("date") or "")
    return told if told is not None and abs(told - now) < timedelta(days=1) else now


def _date(text: str) -> datetime | None:
    """An HTTP date or an ISO 8601 one; without a zone it is UTC."""
    if not 8 <= len(text) <= 64:
        return None
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_S)
