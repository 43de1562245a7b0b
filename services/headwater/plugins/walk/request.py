"""From a stream's definition and a place to the request: what is public, and what is secret beside it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from headwater.contracts.codec import dumps
from headwater.contracts.pagination import Pagination, pages_of
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import (
    Credentials,
    HttpRequest,
    Pairs,
    SecretPairs,
    origin_of,
    parse_url,
    with_query_text,
)
from headwater.model.secret import Secret
from headwater.plugins.auth import Authenticator
from headwater.plugins.conversions import CannotBeError
from headwater.plugins.paginators import Asked, Parameter
from headwater.plugins.secret_text import Secrets, fill, names_in
from headwater.plugins.walk.replacing import Replacing
from headwater.plugins.walk.sending import (
    TYPES,
    escaped,
    holds_secret,
    kind_of,
    query_text,
    text_of,
    with_secrets,
    written,
)
from headwater.plugins.walk.templates import (
    ABSENT,
    PARAMETERS,
    WALK,
    Parts,
    Values,
    expressions_of,
    filled,
    parameters_of,
    walk_words_of,
)

_EVERYWHERE = frozenset({"accept", "accept-language"})
_TEMPLATE = re.compile(r"\{([A-Za-z0-9_.-]+)\}")


class Requester:
    """Makes the requests of one stream.

    `hidden_names` are the query parameters that carry secrets; `origin` is where credentials may go; `words` are what
    the request names of the walk.
    """

    def __init__(self, definition: StreamDefinition, authenticator: Authenticator) -> None:
        request = definition.stream.request
        self._method = request.method
        self._base_url = definition.base_url
        self._path = request.path
        self._kind = kind_of(request)
        self._body: Any = next(
            (body for body in (request.body, request.form, request.text) if body is not None), None
        )
        if request.graphql is not None:
            self._method = "POST"
            self._body = {"query": request.graphql.query, "variables": request.graphql.variables}
        if self._body is None and self._method == "POST" and _is_paged_in_body(definition.stream.pagination):
            self._body = {}  # what pages are asked by stands in a body from the first one on
        self._authenticator = authenticator
        self.origin = origin_of(definition.base_url)
        headers = {**definition.headers, **request.headers}
        self._headers = tuple((name, text) for name, text in headers.items() if not names_in(text))
        self._secret_headers = tuple((name, text) for name, text in headers.items() if names_in(text))
        self._params = {name: value for name, value in request.params.items() if not _is_secret(value)}
        self._secret_params = tuple(
            (name, str(value)) for name, value in request.params.items() if _is_secret(value)
        )
        self._has_secret_body = holds_secret(self._kind, self._body)
        self._parts = Parts(
            self._path,
            self._params,
            self._headers,
            self._body,
            self._secret_params,
            self._secret_headers,
            escaped(self._kind),
            request.url,
        )
        self._hosts = frozenset(host.lower() for host in request.hosts)
        has_parent = definition.stream.parent is not None and bool(expressions_of(request))
        self._needs_values = has_parent or bool(parameters_of(request))
        self.words = frozenset(name.removeprefix(WALK) for name in walk_words_of(request))
        self._instead = Replacing(definition.stream)
        has_secrets = bool(self._secret_headers or self._secret_params) or self._has_secret_body
        self._may_name_secrets = has_secrets  # then what an API says must not
        self.hidden_names = authenticator.query_names | {name for name, _ in self._secret_params}
        _check_path(self._path)
        if request.url is not None and names_in(request.url):
            raise ConfigError("request.url cannot hold a secret: give it in auth, params or headers")

    def request(
        self,
        asked: Asked,
        since: tuple[Parameter, ...],
        secrets: Secrets,
        now: datetime,
        parent: Values | None = None,
    ) -> HttpRequest:
        """The request for what a place asks, with `since` (the cursor's parameters) where the stream has them.

        `parent`: the values for its templates. Raises: SecretError when a named secret is not there; SourceError
        `bad_url`.
        """
        parameters = (*since, *asked.parameters)
        if self._may_name_secrets:
            _check_said(parameters)
        parts, parameters = self._instead.applied(self._parts, parameters)
        parts = self._parts_for(parent, parts, parameters)
        sent = tuple(one for one in parameters if one.name and one.word not in self.words)
        if asked.url is not None:
            request = self._request_of_url(asked.url, sent, parts)
        else:
            request = self._request_of_parameters(sent, parts)
        return self._authenticator.apply(self._with_secrets(request, secrets, parts), secrets, now)

    def fits(self, parent: Values) -> None:
        """Raises: CannotBeError when no request can be made of the values."""
        if self._needs_values:
            filled(self._parts, {**parent, **{WALK + word: 0 for word in self.words}})

    def _parts_for(self, parent: Values | None, parts: Parts, parameters: tuple[Parameter, ...]) -> Parts:
        if self._needs_values and parent is None:
            return parts
        if not (self._needs_values or self.words):
            return parts
        there = {one.word: one.value for one in parameters}
        of_walk = {WALK + word: there.get(word, ABSENT) for word in self.words}
        try:
            return filled(parts, {**(parent or {}), **of_walk})
        except (CannotBeError, KeyError) as error:
            raise SourceError("bad_request", f"its values make no request: {error}") from error

    def _request_of_url(self, url: str, parameters: tuple[Parameter, ...], parts: Parts) -> HttpRequest:
        """The next page by a URL the API gave: its query is complete. Headers stay at the source's origin."""
        is_home = origin_of(url) == self.origin
        beside = tuple(one for one in parameters if one.place != "query")
        if is_home and beside:
            return self._request_of_parameters(beside, parts)._replace(url=url)
        headers = tuple(pair for pair in parts.headers if is_home or pair[0].lower() in _EVERYWHERE)
        body = written(self._kind, parts.body) if parts.body is not None and is_home else None
        method = self._method if is_home else "GET"
        return HttpRequest(method, url, self._typed(headers, body), body, Credentials(self.origin))

    def _request_of_parameters(self, parameters: tuple[Parameter, ...], parts: Parts) -> HttpRequest:
        query: dict[str, Any] = dict(parts.params)
        headers: Pairs = parts.headers
        document = deepcopy(parts.body) if any(one.place == "json" for one in parameters) else parts.body
        in_path: dict[str, Any] = {}
        for place, name, value, word in parameters:
            match place:
                case "query":
                    query[name] = value
                case "header":
                    headers += ((name, text_of(value)),)
                case "path":
                    in_path[name] = value
                case _:
                    document = {} if document is None else document
                    put(document, name.split("."), value, is_typed=word == "cursor")
        body = None if document is None else written(self._kind, document)
        if parts.url is not None:
            return self._request_elsewhere(parts.url, query, headers, body)
        url = self._url(_filled(parts.path, in_path), query)
        return HttpRequest(self._method, url, self._typed(headers, body), body, Credentials(self.origin))

    def _request_elsewhere(
        self, url: str, query: Mapping[str, Any], headers: Pairs, body: bytes | None
    ) -> HttpRequest:
        """The request at an address of its own. What another host is asked by says nothing of who asks."""
        target = parse_url(url)
        is_home = origin_of(url) == self.origin
        if not is_home and (target.host or "").lower() not in self._hosts:
            mend = "request.hosts: [that host] allows it, without credentials"
            raise SourceError("foreign_url", f"request.url leads to the host {target.host!s:.80}; {mend}")
        whole = str(with_query_text(target, query_text(query))) if query else str(target)
        if not is_home:
            headers = tuple(pair for pair in headers if pair[0].lower() in _EVERYWHERE)
            body = None
        method = self._method if is_home else "GET"
        return HttpRequest(method, whole, self._typed(headers, body), body, Credentials(self.origin))

    def _typed(self, headers: Pairs, body: bytes | None) -> Pairs:
        if body is None or any(name.lower() == "content-type" for name, _ in headers):
            return headers
        return (*headers, ("Content-Type", TYPES[self._kind]))

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        base, _, base_query = self._base_url.partition("?")
        path, _, path_query = path.partition("?")
        url = f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base
        text = "&".join(part for part in (base_query, path_query, query_text(query)) if part)
        address, fragment = _parts_of(url)
        return f"{address}{'?' if text else ''}{text}{fragment}"

    def _with_secrets(self, request: HttpRequest, secrets: Secrets, parts: Parts) -> HttpRequest:
        if not (self._secret_headers or self._secret_params or self._has_secret_body):
            return request
        body = request.body
        secret_body: Secret | None = None
        if body is not None and self._has_secret_body:
            secret_body = with_secrets(self._kind, body, secrets)
            body = None
        credentials = Credentials(
            self.origin,
            headers=_filled_pairs(parts.secret_headers, secrets),
            query=_filled_pairs(parts.secret_params, secrets),
            body=secret_body,
        )
        return HttpRequest(request.method, request.url, request.headers, body, credentials)


@lru_cache(maxsize=1024)
def _parts_of(url: str) -> tuple[str, str]:
    """A URL without a query, well-formed, and its fragment. Of most streams it is always the same one."""
    whole = parse_url(url)
    return str(whole.with_fragment(None)), f"#{whole.raw_fragment}" if whole.raw_fragment else ""


def _is_paged_in_body(pagination: Pagination) -> bool:
    pages = pages_of(pagination)
    return "json" in {getattr(each, "place", None) for each in (pagination, pages)}


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and bool(names_in(value))


def _filled_pairs(pairs: Iterable[tuple[str, str]], secrets: Secrets) -> SecretPairs:
    return tuple((name, fill(text, secrets)) for name, text in pairs)


def _check_said(parameters: Iterable[Parameter]) -> None:
    """What an API says must not name our secrets, which would be filled in where others stand."""
    for one in parameters:
        if names_in(dumps(one.value).decode()):
            raise SourceError("bad_request", "the API's own value looks like a reference to a secret")


def _check_path(path: str) -> None:
    if path.startswith(("http://", "https://", "//")):
        raise ConfigError(f"request.path {path[:60]!r} names a host: give it in base_url")
    if names_in(path):
        raise ConfigError("request.path cannot hold a secret: give it in auth, params or headers")


def names_in_path(path: str) -> frozenset[str]:
    """The names for which a path has a place, written `{name}`; fields of a parent and parameters of a run are none."""
    return frozenset(
        name for name in _TEMPLATE.findall(path) if not name.startswith(("parent.", PARAMETERS, WALK))
    )


def _filled(path: str, params: Mapping[str, Any]) -> str:
    def value_of(match: re.Match[str]) -> str:
        return quote(text_of(params[match[1]]), safe="") if match[1] in params else match[0]

    return _TEMPLATE.sub(value_of, path)


def put(document: Any, names: Sequence[str], value: Any, *, is_typed: bool = False) -> None:
    """Put `value` where `names` lead to in `document`; a number is a place in a list that is there. `is_typed`: where a
    whole number stands there, a text of digits becomes one (headers hold texts alone).

    Raises: SourceError `bad_request` when they lead nowhere.
    """
    for name, following in zip(names, [*names[1:], None], strict=True):
        if isinstance(document, list):
            if not (name.isdigit() and int(name) < len(document)):
                raise SourceError(
                    "bad_request", f"request.json: there is no {name!r} in a list of {len(document)}"
                )
            place: Any = int(name)
        elif isinstance(document, dict):
            place = name
            if following is not None:
                document.setdefault(name, {})
        else:
            raise SourceError("bad_request", f"request.json: what {name!r} is to be put in is no object")
        if following is None:
            before = document.get(place) if isinstance(document, dict) else document[place]
            is_number = is_typed and type(before) is int and isinstance(value, str) and value.isdecimal()
            document[place] = int(value) if is_number else value
        else:
            document = document[place]
