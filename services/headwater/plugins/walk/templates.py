"""Requests that name what differs from run to run and from record to record, in path, params, headers, json, GraphQL
variables: `{parameters.region}`, one of the run's parameters, and `{parent.id}`, a field of a parent's record.

Behind `parent.` stands JMESPath over the parent's record, without braces. A text that is nothing but one template
becomes the value itself in JSON; anywhere else it becomes text. In paths values are quoted.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from headwater.contracts.codec import dumps
from headwater.contracts.walking import Request
from headwater.model.errors import ConfigError
from headwater.plugins.conversions import CannotBeError
from headwater.plugins.secret_text import names_in

PARAMETERS = "parameters."  # what their names begin with among the values
PARAMETER = re.compile(r"\{(parameters\.[A-Za-z_][A-Za-z0-9_-]{0,127}(?:\.[A-Za-z0-9_-]{1,128}){0,8})\}")
TEMPLATE = re.compile(r'\{parent\.((?:[^{}"]|"[^"]*")+)\}')
_ANY = re.compile(f"{TEMPLATE.pattern}|{PARAMETER.pattern}")
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
    """The expressions of the parent's templates in a text, or in the texts of a document."""
    for text in _texts_in(value):
        yield from TEMPLATE.findall(text)


def expressions_of(request: Request) -> tuple[str, ...]:
    """The expressions of all the parent's templates of a request, each once, in their order."""
    variables = request.graphql.variables if request.graphql is not None else None
    places = (request.path, request.params, request.headers, request.body, variables)
    return tuple(dict.fromkeys(one for place in places for one in expressions_in(place)))


def parameters_of(request: Request) -> tuple[str, ...]:
    """The parameters that a request names, as `parameters.name`, each once, in their order."""
    variables = request.graphql.variables if request.graphql is not None else None
    found: dict[str, None] = {}
    for place in (request.path, request.params, request.headers, request.body, variables):
        for text in _texts_in(place):
            found |= dict.fromkeys(PARAMETER.findall(text))
    return tuple(found)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


def parameter_values(names: Iterable[str], *given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of these parameters (`parameters.name`), each from the first of `given` that has it.

    Raises: ConfigError, naming the one that none has.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = next((value for each in given if (value := _at(each, name)) is not None), None)
        if value is None:
            short = name.removeprefix(PARAMETERS)
            raise ConfigError(
                f"the request names {{{name}}} and the run has no parameter {short}; start it with one, or give the "
                f"stream a default: parameters: {{{short}: …}}"
            )
        if names_in(dumps(value).decode()):  # whoever starts a run must not name our secrets
            raise ConfigError(
                f"the parameter {name.removeprefix(PARAMETERS)} looks like a reference to a secret"
            )
        found[name] = value
    return found


def _at(given: Any, name: str) -> Any:
    for part in name.split(".")[1:]:
        given = given.get(part) if isinstance(given, Mapping) else None
    return given


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
    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return write(name, _word(name, values))

    return _ANY.sub(value_of, text)


def _param(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return _text(value, values, _plain)
    return tuple(_param(one, values) for one in value) if isinstance(value, list | tuple) else value


def _document(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        whole = _ANY.fullmatch(value)
        return values[whole[1] or whole[2]] if whole else _text(value, values, _plain)
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
