"""How the API says no: RFC 9457 problem documents. What was given never stands in them, since it may be secret."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from headwater.contracts.codec import dumps
from headwater.contracts.problem import Problem, pointer
from headwater.contracts.problem_words import KINDS, plain_words, unknown_word
from headwater.model.schedule import ScheduleError

RETRY_AFTER_S = 5
MAX_FAULTS = 100
Fault = Mapping[str, Any]  # {"pointer" | "parameter" | "header", "detail", …}


class Refusal(Exception):
    """Ends a request with this status. `faults` become `errors`, `more` extension members of the document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)[:MAX_FAULTS]
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def problem_response(refusal: Refusal) -> web.Response:
    """The refusal as it goes over the wire."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        **refusal.more,
    }
    if refusal.faults:
        document["errors"] = refusal.faults
    return web.Response(
        status=refusal.status,
        body=dumps(document),
        content_type="application/problem+json",
        headers={**SAFE_HEADERS, **refusal.headers},
    )


SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def unreadable(detail: str, *, faults: Sequence[Fault] = ()) -> Refusal:
    return Refusal(400, detail, faults=faults)


def unauthorised(detail: str) -> Refusal:
    return Refusal(401, detail, headers={"WWW-Authenticate": 'Bearer realm="headwater"'})


def forbidden(detail: str) -> Refusal:
    return Refusal(403, detail)


def not_found(what: str) -> Refusal:
    """Also for what belongs to another tenant."""
    return Refusal(404, f"There is no such {what}")


def conflict(detail: str) -> Refusal:
    return Refusal(409, detail)


def invalid(detail: str, faults: Sequence[Fault] = (), *, more: Mapping[str, Any] | None = None) -> Refusal:
    return Refusal(422, detail, faults=faults, more=more)


def invalid_at(place: str, detail: str) -> Refusal:
    """One thing of the body is wrong; `place` is its RFC 6901 pointer."""
    return invalid("The body is not valid", [{"pointer": place, "detail": detail}])


def unavailable() -> Refusal:
    return Refusal(
        503,
        "headwater cannot do this now; send it again",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def body_faults(error: ValidationError, value: Any, known: Sequence[str] = ()) -> list[Fault]:
    """The faults of a body, by their places in it. `known`: the keys that it may have."""
    found: list[Fault] = []
    for item in _told(error):
        path = path_in(value, item["loc"])
        found.append(
            {"pointer": pointer(path), "detail": _sentence(item, path, known if len(path) == 1 else ())}
        )
    return found


def parameter_faults(error: ValidationError, known: Sequence[str] = ()) -> list[Fault]:
    """The faults of a query; `known`: the parameters that there are."""
    found: list[Fault] = []
    for item in _told(error):
        name = str(item["loc"][0]) if item["loc"] else ""
        found.append({"parameter": name, "detail": _sentence(item, (name,), known)})
    return found


def names_of(model: type[BaseModel]) -> list[str]:
    """What a document of this model may have, as it is written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _told(error: ValidationError) -> list[Any]:
    """The errors, without that of a list which is short because its items are wrong."""
    items = error.errors(include_url=False, include_input=False)[:MAX_FAULTS]
    wrong = [item["loc"] for item in items]
    return [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(len(loc) > len(item["loc"]) and loc[: len(item["loc"])] == item["loc"] for loc in wrong)
    ]


_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "cron": "write a text of 5 to 7 fields, `30 6 * * MON-FRI`",
        "crons": "write a list of texts, [`0 6 * * *`, `0 18 * * *`]",
        "interval": "write for example 45s, 90m, 1h30m or PT15M",
        "preset": "write a name such as daily_2am",
        "timezone": "write an IANA zone such as Europe/Berlin",
        "count": "write a whole number from 1 to 1000",
        "day_match": "write any or all",
    }
)


def with_causes(faults: Sequence[Fault]) -> list[Fault]:
    """The same faults as those of expressions are told: with field, position, cause and mend."""
    told: list[Fault] = []
    for fault in faults:
        field = str(fault["pointer"]).partition("/")[2].partition("/")[0]
        cause, _, mend = str(fault["detail"]).rpartition("; ")
        if not cause:
            cause, mend = mend, _EXAMPLES.get(field, "see /docs for what stands here")
        told.append({**fault, "field": field, "position": None, "cause": cause, "mend": mend})
    return told


def _sentence(item: Any, path: Sequence[str | int], known: Sequence[str]) -> str:
    if item["type"] == "extra_forbidden":
        return unknown_word(str(path[-1]) if path else "", known)
    if item["type"] == "missing":
        return "is missing"
    if item["type"] in KINDS:
        return KINDS[item["type"]]
    if item["type"].startswith(("datetime_", "timezone_")):
        return "is no time; write one such as 2026-12-04T18:00:00Z"
    return plain_words(item, tuple(path)) or str(item["msg"]).removeprefix("Value error, ")


def path_in(value: Any, loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """The path of a validation error in the document; the names of union members are no part of it."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if _has(value, part):
            value = value[part]
        elif isinstance(value, dict) and index == len(loc) - 1 and isinstance(part, str):
            value = None  # a key that is missing
        else:
            continue
        path.append(part)
    return tuple(path)


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def manifest_faults(problems: Sequence[Problem]) -> list[Fault]:
    """The problems of a manifest with their places in its text."""
    return [
        {
            "pointer": problem.pointer,
            "detail": f"{problem.what}; {problem.mend}" if problem.mend else problem.what,
            "line": problem.line,
            "column": problem.column,
            "what": problem.what,
            "mend": problem.mend,
            **problem.of_part,
        }
        for problem in problems
    ]


def schedule_refusal(error: ScheduleError) -> Refusal:
    """A time specification that cannot be kept: field, position, cause, mend."""
    told = {"field": error.field, "position": error.position, "cause": error.cause, "mend": error.mend}
    place = "/" + error.specification.replace("[", "/").replace("]", "")
    detail = f"{error.cause}; {error.mend}"
    return invalid(str(error), [{"pointer": place, "detail": detail, **told}], more=told)
