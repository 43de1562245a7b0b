"""Errors that hide in successful answers: what the stream declares, and GraphQL's own."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from headwater.contracts.source import Stream
from headwater.model.errors import SourceError
from headwater.plugins.expressions import MISSING, compile_path
from headwater.plugins.paginators.base import truth_of
from headwater.plugins.secret_text import Secrets, masked
from headwater.plugins.walk.body import words_in
from headwater.plugins.walk.judge import speaks_of_limit

_TEXT_CHARACTERS = 200
_LIMITED = ("THROTTLED", "RATE_LIMIT", "TOO_MANY", "MAX_COST", "EXHAUSTED")
_PASSING = ("INTERNAL", "TIMEOUT", "UNAVAILABLE")
_MAX_COST = 1e9
WARNING_GRAPHQL = "graphql_partial"
WARNING_BESIDE = "error_beside_records"


class HiddenErrors:
    """Finds them in the documents of one stream."""

    def __init__(self, stream: Stream) -> None:
        rules = stream.errors
        self._when = compile_path(rules.when) if rules.when else None
        self._message = compile_path(rules.message) if rules.message else None
        self._retry = rules.retry
        self._pending = compile_path(rules.pending) if rules.pending else None
        self._pending_s = rules.pending_s
        graphql = stream.request.graphql
        self._is_graphql = graphql is not None
        self._keeps_partial = graphql is not None and graphql.partial == "keep"
        self._is_told = rules.when is not None or self._is_graphql

    def check(self, document: Any, secrets: Secrets) -> SourceError | None:
        """What is wrong with `document` beside records that the stream keeps all the same, if it has any.

        Raises: SourceError `error_in_answer`, `graphql_error` or `rate_limited` when `document` is an error,
        `not_ready` when it is none yet.
        """
        if self._when is not None and _is_true(self._when(document)):
            said = self._message(document) if self._message else MISSING
            text = f": {_shown(said, secrets)}" if said else ""
            raise SourceError(
                "error_in_answer", f"the API answered with an error{text}", retryable=self._retry
            )
        if self._pending is not None and _is_true(self._pending(document)):
            text = "what was asked for is not ready (errors.pending)"
            raise SourceError("not_ready", text, retryable=True, delay_s=self._pending_s)
        if not self._is_graphql:
            return None
        error = _graphql_error(document, secrets)
        if error is not None and (not self._keeps_partial or error.kind == "rate_limited"):
            raise error
        return error

    def beside(self, document: Any, secrets: Secrets) -> tuple[str, ...]:
        """A warning where `document`, which has records, has an error where most APIs say so, or says that parts are
        missing, and the stream says nothing of errors.
        """
        if self._is_told or not isinstance(document, dict):
            return ()
        for name, is_error in _BESIDE.items():
            if name in document and is_error(document[name]):
                said = words_in({name: document[name]}) or str(document[name])
                mend = "tell what is an error by errors.if, or that this is none by errors.if: '`false`'"
                return (f"{WARNING_BESIDE}: records came, and {name} says {_shown(said, secrets)}; {mend}",)
        return ()

    def check_empty(self, document: Any, secrets: Secrets) -> None:
        """Raises: SourceError `error_in_answer` when `document`, which has no records, has an error where most APIs say
        so, and the stream says nothing of errors: what came is no empty page.
        """
        if self._is_told or not isinstance(document, dict):
            return
        document = _out_of_envelope(document)
        name = next(
            (name for name, is_error in _SIGNS.items() if name in document and is_error(document[name])), None
        )
        if name is not None:
            text = _shown(words_in(document) or document[name], secrets)
            if speaks_of_limit(text.encode("utf-8", "replace")):
                raise SourceError("rate_limited", f"the API asks for fewer requests: {text}", retryable=True)
            raise SourceError(
                "error_in_answer",
                f"the answer has no records, and {name} says that it is an error: {text}; "
                "tell what is one by errors.if, or that this is none by errors.if: '`false`'",
            )


def _is_fault(value: Any) -> bool:
    """Whether what stands under `error` or the like is one."""
    if isinstance(value, str):
        text = value.strip().lower()
        return bool(text.strip("0")) and text not in _NO_FAULT and _NOTHING_THERE.search(value) is None
    if isinstance(value, dict):
        codes = [value[name] for name in ("code", "status", "errcode") if name in value]
        return bool(value) and (not codes or any(_is_fault(code) for code in codes))
    return value not in (None, False, 0, 200, [])


def _out_of_envelope(document: dict[str, Any]) -> dict[str, Any]:
    """What stands in SOAP's envelope, or within the one element of an XML answer; names of faults in lower case."""
    for _ in range(3):
        inner = [value for name, value in document.items() if name[:1] != "@" and name != "Header"]
        if len(inner) != 1 or not isinstance(inner[0], dict):
            break
        if "Fault" in inner[0] or "fault" in inner[0]:
            return {name.lower(): value for name, value in inner[0].items()}
        if "Body" not in inner[0]:
            break
        document = inner[0]
    return document


_NOTHING_THERE = re.compile(  # how some APIs say that a list is empty
    r"\bno (?:more |matching )?(?:results?|records?|data|items?|rows|entries|matches|content)\b|\bno\b.*\bfound\b"
    r"|\b(?:nothing|none) found\b|\bempty\b",
    re.IGNORECASE,
)
_NO_FAULT = frozenset({"", "0", "200", "ok", "none", "null", "no", "false", "success", "no error"})
_SIGNS: Mapping[str, Callable[[Any], bool]] = {
    "error": _is_fault,
    "errors": _is_fault,
    "fault": _is_fault,
    "errcode": _is_fault,
    "error_code": _is_fault,
    "errorCode": _is_fault,
    "success": lambda value: truth_of(value) is False,
    "ok": lambda value: truth_of(value) is False,
    "status": lambda value: (
        isinstance(value, str) and value.strip().lower() in {"error", "fail", "failed", "failure"}
    ),
}
_BESIDE: Mapping[str, Callable[[Any], bool]] = {
    **_SIGNS,
    "timed_out": lambda value: truth_of(value) is True,  # Elasticsearch
    "incomplete_results": lambda value: truth_of(value) is True,  # GitHub
    "_shards": lambda value: isinstance(value, dict) and bool(value.get("failed")),
}


def cost_wait_s(document: Any) -> float:
    """Seconds until the next query of this cost can be paid, by GraphQL's `extensions.cost`; 0 when it can be."""
    cost = _inner(document, "extensions", "cost")
    status = _inner(cost, "throttleStatus")
    wanted = _number(_inner(cost, "requestedQueryCost"))
    there, rate = _number(_inner(status, "currentlyAvailable")), _number(_inner(status, "restoreRate"))
    if wanted is None or there is None or not rate or wanted <= there:
        return 0.0
    return min((wanted - there) / rate, 3600.0)


def _graphql_error(document: Any, secrets: Secrets) -> SourceError | None:
    errors = _inner(document, "errors")
    errors = [errors] if errors and isinstance(errors, dict | str) else errors  # of servers of one's own
    if not isinstance(errors, list) or not errors:
        return None
    codes = " ".join(_code(error) for error in errors[:20])
    said = (error if isinstance(error, str) else str(_inner(error, "message")) for error in errors[:3])
    text = _shown("; ".join(said), secrets)
    if any(word in codes for word in _LIMITED):
        wait_s = cost_wait_s(document) or None
        return SourceError("rate_limited", f"the API throttles: {text}", retryable=True, delay_s=wait_s)
    passing = any(word in codes for word in _PASSING)
    data = _inner(document, "data")
    has_data = isinstance(data, dict) and any(data.values()) and not passing
    mend = "; graphql.partial: keep keeps what came with it" if has_data else ""
    return SourceError("graphql_error", f"the query failed: {text}{mend}", retryable=passing)


def _code(error: Any) -> str:
    return f"{_inner(error, 'extensions', 'code')} {_inner(error, 'type')}".upper()


def _inner(document: Any, *names: str) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _MAX_COST else None


def _is_true(value: Any) -> bool:
    return bool(value) and truth_of(value) is not False


def _shown(value: Any, secrets: Secrets) -> str:
    text = masked(str(value)[: 10 * _TEXT_CHARACTERS], secrets.values())
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"
