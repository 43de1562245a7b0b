"""Requests that name fields of a parent's record: `{parent.id}` in path, params, headers, json, GraphQL variables.

Behind `parent.` stands JMESPath over the parent's record, without braces. A text that is nothing but one template
becomes the value itself in JSON; anywhere else it becomes text. In paths values are quoted.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from headwater.contracts.codec import dumps
from headwater.contracts.walking import Request
from headwater.plugins.conversions import CannotBeError

TEMPLATE = re.compile(r'\{parent\.((?:[^{}"]|"[^"]*")+)\}')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST = 1024  # characters of a value in a request
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a request that may name a parent's fields."""

    path: str
    params: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...]
    body: Any
    secret_params: tuple[tuple[str, str], ...] = ()
    secret_headers: tuple[tuple[str, str], ...] = ()


def expressions_in(value: Any) -> Iterator[str]:
    """The expressions of the templates in a text, or in the texts of a document."""
    if isinstance(value, str):
        yield from TEMPLATE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from expressions_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from expressions_in(item)


def expressions_of(request: Request) -> tuple[str, ...]:
    """The expressions of all templates of a request, each once, in their order."""
    variables = request.graphql.variables if request.graphql is not None else None
    places = (request.path, request.params, request.headers, request.body, variables)
    return tuple(dict.fromkeys(one for place in places for one in expressions_in(place)))


def filled(parts: Parts, values: Values) -> Parts:
    """`parts` with `values` (by expression) for its templates. Raises: CannotBeError for a value that does not fit."""
    path = _text(parts.path, values, _in_path)
    if any(segment in {".", ".."} for segment in path.partition("?")[0].split("/")):
        raise CannotBeError("its values make a path that leads elsewhere")
    return replace(
        parts,
        path=path,
        params={name: _param(value, values) for name, value in parts.params.items()},
        headers=_pairs(parts.headers, values, _in_header),
        body=_document(parts.body, values),
        secret_params=_pairs(parts.secret_params, values, _plain),
        secret_headers=_pairs(parts.secret_headers, values, _in_header),
    )


def _pairs(
    pairs: tuple[tuple[str, str], ...], values: Values, write: Callable[[str, str], str]
) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(text, values, write)) for name, text in pairs)


def _text(text: str, values: Values, write: Callable[[str, str], str]) -> str:
    return TEMPLATE.sub(lambda match: write(match[1], _word(match[1], values)), text)


def _param(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return _text(value, values, _plain)
    return tuple(_param(one, values) for one in value) if isinstance(value, list | tuple) else value


def _document(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        whole = TEMPLATE.fullmatch(value)
        return values[whole[1]] if whole else _text(value, values, _plain)
    if isinstance(value, Mapping):
        return {name: _document(item, values) for name, item in value.items()}
    return [_document(item, values) for item in value] if isinstance(value, list | tuple) else value


def _word(expression: str, values: Values) -> str:
    value = values[expression]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal):
        text = str(value)
    elif isinstance(value, float):
        text = dumps(value).decode()
    else:
        raise CannotBeError(f"{expression} is no single value but {type(value).__name__}")
    if len(text) > _MOST:
        raise CannotBeError(f"{expression} is longer than {_MOST} characters")
    return text


def _plain(_: str, text: str) -> str:
    return text


def _in_path(expression: str, text: str) -> str:
    if not text:
        raise CannotBeError(f"{expression} is empty, which no path can hold")
    return quote(text, safe="")


def _in_header(expression: str, text: str) -> str:
    if _CONTROL.search(text) or text != text.strip() or not text.isascii():
        raise CannotBeError(f"{expression} holds what no header can carry")
    return text
