"""Pages that are asked for by less than the first one: a cursor that takes the place of other parameters, and goes to a
path of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater.contracts.pagination import CursorPagination, pages_of
from headwater.contracts.source import Stream
from headwater.plugins.paginators import Parameter
from headwater.plugins.walk.templates import Parts

ALL = "all"
_OWN = frozenset({"cursor", "from", "to"})  # of the slice too, whose pages these are


class Replacing:
    """What of one stream's requests cursors take the place of: the next page's, and the one that a run goes on from."""

    def __init__(self, stream: Stream) -> None:
        pages = pages_of(stream.pagination)
        rule = stream.cursor_rule
        self._pages = pages if isinstance(pages, CursorPagination) else None
        self._is_graphql = stream.request.graphql is not None
        self._of_next: Sequence[str] | str = () if self._pages is None else self._pages.replaces
        self._of_since: Sequence[str] | str = () if rule is None else rule.replaces

    def applied(self, parts: Parts, parameters: tuple[Parameter, ...]) -> tuple[Parts, tuple[Parameter, ...]]:
        """The parts and parameters that are left for a page."""
        words = {one.word for one in parameters}
        if self._of_since and "since" in words:
            parts = self._without(parts, self._of_since)
        if self._pages is None or "cursor" not in words:
            return parts, parameters
        if self._pages.continue_path is not None:
            parts = replace(parts, path=self._pages.continue_path)
        if self._of_next:
            parts = self._without(parts, self._of_next)
            parameters = tuple(
                one for one in parameters if one.word in _OWN or not _is_named(one.name, self._of_next)
            )
        return parts, parameters

    def _without(self, parts: Parts, names: Sequence[str] | str) -> Parts:
        """`parts` without what is named; of all the secrets stay, which say who asks, and a GraphQL query."""
        params = {name: value for name, value in parts.params.items() if not _is_named(name, names)}
        secret = tuple(pair for pair in parts.secret_params if names == ALL or pair[0] not in names)
        body: Any = parts.body
        if isinstance(body, Mapping) and names == ALL:
            body = {**body, "variables": {}} if self._is_graphql else {}
        elif isinstance(body, Mapping):
            body = _less(body, [name.split(".") for name in names])
        return replace(parts, params=params, secret_params=secret, body=body)


def _is_named(name: str, names: Sequence[str] | str) -> bool:
    return names == ALL or name in names


def _less(body: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """`body` without what the paths lead to."""
    gone = {path[0] for path in paths if len(path) == 1}
    found = {}
    for name, value in body.items():
        deeper = [path[1:] for path in paths if len(path) > 1 and path[0] == name]
        if name not in gone:
            found[name] = _less(value, deeper) if deeper and isinstance(value, Mapping) else value
    return found
