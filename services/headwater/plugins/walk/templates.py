"""Requests that name what differs from run to run, from record to record and from page to page, in path, params,
headers, json, form, text, GraphQL variables: `{parameters.region}`, one of the run's parameters, `{parent.id}`, a field
of a parent's record, and `{walk.offset}`, what the page is asked by.

Behind `parent.` stands JMESPath over the parent's record, without braces. A text that is nothing but one template
becomes the value itself in JSON; anywhere else it becomes text. In paths values are quoted. What a page is not asked by
(the first one has no cursor) leaves out the parameter, header or member whose text names it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from headwater.contracts.codec import dumps
from headwater.contracts.walking import Request
from headwater.model.errors import ConfigError
from headwater.plugins.conversions import CannotBeError
from headwater.plugins.secret_text import names_in

PARAMETERS = "parameters."  # what their names begin with among the values
PARAMETER = re.compile(r"\{(parameters\.[A-Za-z_][A-Za-z0-9_-]{0,127}(?:\.[A-Za-z0-9_-]{1,128}){0,8})\}")
WALK = "walk."  # likewise
OF_WALK = re.compile(r"\{(walk\.[a-z_]{1,40})\}")
LIKE_WALK = re.compile(r"\{walk\.([^{}\s]{0,80})\}")  # meant as one, whatever its name
TEMPLATE = re.compile(r'\{parent\.((?:[^{}"]|"[^"]*")+)\}')
_ANY = re.compile(f"{TEMPLATE.pattern}|{PARAMETER.pattern}|{OF_WALK.pattern}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST = 1024  # characters of a value in a request
_MOST_OF_WALK = 8192  # cursors are long
Values = Mapping[str, Any]
ABSENT: Final = object()  # a value that a page is not asked by


class _AbsentError(Exception):
    """What names this value is left out."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a request that may hold templates. `write`: how a value stands within a body that is a text."""

    path: str
    params: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...]
    body: Any
    secret_params: tuple[tuple[str, str], ...] = ()
    secret_headers: tuple[tuple[str, str], ...] = ()
    write: Callable[[str], str] = str
    url: str | None = None


def expressions_in(value: Any) -> Iterator[str]:
    """The expressions of the parent's templates in a text, or in the texts of a document."""
    for text in _texts_in(value):
        yield from TEMPLATE.findall(text)


def expressions_of(request: Request) -> tuple[str, ...]:
    """The expressions of all the parent's templates of a request, each once, in their order."""
    return tuple(dict.fromkeys(one for place in _places(request) for one in expressions_in(place)))


def _places(request: Request) -> tuple[Any, ...]:
    variables = request.graphql.variables if request.graphql is not None else None
    bodies = (request.body, request.form, request.text, variables)
    return (request.path, request.url, request.params, request.headers, *bodies)


def texts_of(request: Request) -> Iterator[str]:
    """The texts of a request that may hold templates."""
    for place in _places(request):
        yield from _texts_in(place)


def parameters_of(request: Request) -> tuple[str, ...]:
    """The parameters that a request names, as `parameters.name`, each once, in their order."""
    return tuple(dict.fromkeys(name for text in texts_of(request) for name in PARAMETER.findall(text)))


def walk_words_of(request: Request) -> frozenset[str]:
    """What the request names of the walk, as `walk.name`."""
    return frozenset(name for text in texts_of(request) for name in OF_WALK.findall(text))


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
    try:
        path = _text(parts.path, values, _in_path)
    except _AbsentError as error:
        raise CannotBeError(f"{error} is not there, which the path names") from error
    if any(segment in {".", ".."} for segment in path.partition("?")[0].split("/")):
        raise CannotBeError("its values make a path that leads elsewhere")
    return replace(
        parts,
        path=path,
        url=_url(parts.url, values),
        params=_members(parts.params, values, _param),
        headers=_pairs(parts.headers, values, _in_header),
        body=_body(parts, values),
        secret_params=_pairs(parts.secret_params, values, _plain),
        secret_headers=_pairs(parts.secret_headers, values, _in_header),
    )


def _url(text: str | None, values: Values) -> str | None:
    """An address that is nothing but a template is the value; within one values are quoted."""
    if text is None:
        return None
    try:
        return _text(text, values, _plain if _ANY.fullmatch(text) else _in_path)
    except _AbsentError as error:
        raise CannotBeError(f"{error} is not there, which the address names") from error


def _pairs(
    pairs: tuple[tuple[str, str], ...], values: Values, write: Callable[[str, str], str]
) -> tuple[tuple[str, str], ...]:
    found = []
    for name, text in pairs:
        with suppress(_AbsentError):
            found.append((name, _text(text, values, write)))
    return tuple(found)


def _items(there: Sequence[Any], values: Values, fill: Callable[[Any, Values], Any]) -> list[Any]:
    """As `_members`, of a list."""
    found = []
    for value in there:
        with suppress(_AbsentError):
            found.append(fill(value, values))
    return found


def _members(there: Mapping[str, Any], values: Values, fill: Callable[[Any, Values], Any]) -> dict[str, Any]:
    found = {}
    for name, value in there.items():
        with suppress(_AbsentError):
            found[name] = fill(value, values)
    return found


def _body(parts: Parts, values: Values) -> Any:
    if not isinstance(parts.body, str):
        return _document(parts.body, values)
    try:
        return _text(parts.body, values, lambda _, text: parts.write(text))
    except _AbsentError as error:
        raise CannotBeError(f"{error} is not there, which the text names") from error


def _text(text: str, values: Values, write: Callable[[str, str], str]) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        return write(name, _word(name, values))

    return _ANY.sub(value_of, text)


def _param(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return _text(value, values, _plain)
    if not isinstance(value, list | tuple):
        return value
    return tuple(_items(value, values, _param))


def _document(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        whole = _ANY.fullmatch(value)
        return _value(whole[1] or whole[2] or whole[3], values) if whole else _text(value, values, _plain)
    if isinstance(value, Mapping):
        return _members(value, values, _document)
    if not isinstance(value, list | tuple):
        return value
    return _items(value, values, _document)


def _value(expression: str, values: Values) -> Any:
    value = values[expression]
    if value is ABSENT:
        raise _AbsentError(expression)
    return value


def _word(expression: str, values: Values) -> str:
    value = _value(expression, values)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal):
        text = str(value)
    elif isinstance(value, float):
        text = dumps(value).decode()
    else:
        raise CannotBeError(f"{expression} is no single value but {type(value).__name__}")
    most = _MOST_OF_WALK if expression.startswith(WALK) or text.startswith(("http://", "https://")) else _MOST
    if len(text) > most:
        raise CannotBeError(f"{expression} is longer than {most} characters")
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
