"""How long an API asks us to wait: Retry-After and the many rate limit headers, in seconds from now."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from headwater.model.http import Response

MAX_WAIT_S = 366 * 86_400.0  # what is longer is nonsense, and would overflow dates
_EPOCH_S = 1_000_000_000  # numbers from here on are seconds since 1970, not a wait
_EPOCH_MS = 1_000_000_000_000
_NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,9})?")
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining")
_RESET = ("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset", "x-ratelimit-reset-after")
_STRUCTURED = re.compile(r"(?:^|[;,\s])(r|t|remaining|reset)\s*=\s*([0-9]{1,15})")


def asked_wait_s(response: Response, now: datetime) -> float | None:
    """What a refusal asks for: Retry-After, else the reset of a rate limit that is used up. None: neither.

    A limit of which something is left is not why we were refused, so its reset is no answer.
    """
    wait = retry_after_s(response, now)
    is_limit = is_exhausted(response) or (response.status == 429 and not _is_left(response))
    return reset_s(response, now) if wait is None and is_limit else wait


def retry_after_s(response: Response, now: datetime) -> float | None:
    """Retry-After as seconds from now, never negative; dates are read by the server's own clock."""
    text = (response.header("retry-after") or "").strip()
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    moment = _date(text)
    return None if moment is None else _bounded((moment - _server_now(response, now)).total_seconds())


def is_exhausted(response: Response) -> bool:
    """Whether the answer says that no request of the rate limit is left."""
    return any(remaining <= 0 for remaining in _remaining(response))


def _is_left(response: Response) -> bool:
    told = _remaining(response)
    return bool(told) and min(told) > 0


def _remaining(response: Response) -> list[float]:
    texts = [(response.header(name) or "").strip() for name in _REMAINING]
    told = [float(text) for text in texts if _NUMBER.fullmatch(text.removeprefix("-"))]
    structured = _structured(response).get("remaining")
    return told if structured is None else [*told, float(structured)]


def reset_s(response: Response, now: datetime) -> float | None:
    """Seconds until the rate limit is reset: told as a delta, an epoch (seconds, milliseconds) or a date."""
    for name in _RESET:
        text = (response.header(name) or "").strip()
        if text and (wait := _until(text, _server_now(response, now))) is not None:
            return wait
    reset = _structured(response).get("reset")
    return None if reset is None else _until(str(reset), _server_now(response, now))


def pause_s(response: Response, now: datetime) -> float:
    """How long to wait before the next request although this was served: 0, or until the limit is reset."""
    return (reset_s(response, now) or 0.0) if is_exhausted(response) else 0.0


def _until(text: str, now: datetime) -> float | None:
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MS:
            number /= 1000
        return _bounded(number - now.timestamp() if number >= _EPOCH_S else number)
    moment = _date(text)
    return None if moment is None else _bounded((moment - now).total_seconds())


def _structured(response: Response) -> dict[str, int]:
    """The IETF `RateLimit` field in its forms: `limit=10, remaining=0, reset=30` and `"name";r=0;t=30`."""
    found: dict[str, int] = {}
    for text in response.header_values("ratelimit"):
        for name, value in _STRUCTURED.findall(text[:1000]):
            found.setdefault({"r": "remaining", "t": "reset"}.get(name, name), int(value))
    return found


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
