"""What a route does with a call once it is read: its parts checked, its handler asked, its answer shaped.

The frame comes here with what stood in an HTTP request, the web UI with what stood in a form: both mean the same.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from headwater.contracts.codec import dumps
from headwater.control.paging import run_id
from headwater.control.problems import (
    body_faults,
    forbidden,
    invalid,
    names_of,
    not_found,
    parameter_faults,
    with_causes,
)
from headwater.control.reading import refuse_unstorable
from headwater.control.route import Bytes, Call, Desk, Listing, Reply, Route
from headwater.model.errors import ContractError
from headwater.model.storable import text_fault

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
# What stands in a path, by the parameter's name: another form names nothing and costs no look-up.
PARAMETERS: Mapping[str, re.Pattern[str]] = {
    "run": _UUID,
    "backfill": _UUID,
    "delivery": _UUID,
    "letter": _UUID,
    "sent": _UUID,
    "entry": _UUID,
    "snapshot": _NAME,
    "key": re.compile(r"[a-z0-9]{1,32}"),
    "tenant": _NAME,
    "source": _NAME,
    "destination": _NAME,
    "stream": _NAME,
    "endpoint": _NAME,
    "refusal": _UUID,
    "replay": _UUID,
    "preset": re.compile(r"[a-z0-9_-]{1,64}"),
    "secret": re.compile(r"[A-Za-z0-9_./-]{1,200}"),  # with slashes (%2F): what was sealed in its place
    "schedule": _NAME,
    "calendar": _NAME,
    "notification": _NAME,
}

_NOUNS = {
    "letter": "dead letter",
    "sent": "notification that was sent",
}  # for parameters that are named otherwise


def checked_path(values: Mapping[str, str]) -> dict[str, str]:
    """The path's parameters. Raises: Refusal 404 for one that nothing can be named by."""
    for name, value in values.items():
        if PARAMETERS[name].fullmatch(value) is None:
            raise not_found(_NOUNS.get(name, name))
        if name == "run":
            try:
                run_id(value)
            except ContractError:
                raise not_found(_NOUNS.get(name, name)) from None
    return dict(values)


def checked_query(route: Route, given: Sequence[tuple[str, str]]) -> Any:
    """The route's query. Raises: Refusal 422, also for a parameter that is given twice or cannot be held."""
    values: dict[str, str] = {}
    for name, value in given:
        fault = "is given twice" if name in values else text_fault(name) or text_fault(value)
        if fault is not None:
            shown = name if text_fault(name) is None else "?"
            raise invalid("A parameter is not valid", [{"parameter": shown[:100], "detail": fault}])
        values[name] = value
    try:
        return route.query.model_validate(values)
    except ValidationError as error:
        raise invalid("A parameter is not valid", parameter_faults(error, names_of(route.query))) from None


def checked_body(route: Route, document: Any) -> tuple[Any, bytes]:
    """The route's body, and the digest of what it says. Raises: Refusal 422 with the places of what is wrong."""
    assert isinstance(route.body, type)
    assert issubclass(route.body, BaseModel)
    refuse_unstorable(document)
    try:
        body = route.body.model_validate(document)
    except ValidationError as error:
        faults = body_faults(error, document, names_of(route.body))
        if not route.causes or not faults:
            raise invalid("The body is not valid", faults) from None
        told = with_causes(faults)
        more = {name: told[0][name] for name in ("field", "position", "cause", "mend")}
        raise invalid("The body is not valid", told, more=more) from None
    return body, hashlib.sha256(dumps(body.model_dump(mode="python"))).digest()


def document_of(route: Route, reply: Reply) -> dict[str, Any]:
    """What the reply says, in the form that the route promises."""
    value = reply.value
    if isinstance(value, Listing):
        value = {"items": value.items, "next": value.next}
    assert route.answer is not None
    assert route.answer is not Bytes
    assert issubclass(route.answer, BaseModel)
    return route.answer.model_validate(value).model_dump(mode="python", by_alias=True)


async def perform(desk: Desk, route: Route, call: Call[Any, Any]) -> Reply:
    """Ask the route's handler, where the caller may. Raises: Refusal."""
    if route.scope is not None and not call.caller.may(route.scope):
        raise forbidden(f"The key's scopes do not include `{route.scope}`")
    return await route.handler(desk, call)
