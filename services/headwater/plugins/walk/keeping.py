"""Tokens that an API gives for the next run: sync tokens, delta links, validators such as an ETag."""

from typing import Any

from headwater.contracts.source import Stream
from headwater.model.http import Response
from headwater.plugins.expressions import MISSING, compile_path
from headwater.plugins.paginators import Answer, Paginator, Place
from headwater.plugins.paginators.base import Resuming
from headwater.plugins.paginators.following import fits, is_no_pointer
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.token import Token

WARNING_EXPIRED = "cursor_expired"
WARNING_NONE = "token_missing"
_FIRST = "first"
_VALIDATORS = frozenset({"etag", "last-modified"})  # of the first page alone


class Keeping:
    """What one stream keeps of its answers. Raises: ConfigError for a wrong expression."""

    def __init__(self, stream: Stream, paginator: Paginator) -> None:
        rule = stream.cursor_rule
        self._rule = rule if rule is not None and rule.is_token else None
        self._resuming = paginator if isinstance(paginator, Resuming) else None
        self.begins_there = self._rule is not None and not stream.asks_for_new
        self._path = self._header = None
        if self._rule is None:
            return
        self._path = compile_path(self._rule.token_path) if self._rule.token_path else None
        self._header = (self._rule.token_header or "").lower()
        is_of_first = self._rule.token_of == _FIRST or (
            self._rule.token_of is None and self._header in _VALIDATORS
        )
        self._is_of_last = not is_of_first

    def place(self, since: Any, first: Place) -> Place:
        """Where a walk begins: at the token, where nothing else asks by it."""
        if self._resuming is None or not self.begins_there or since is None:
            return first
        return self._resuming.going_on(since)

    def kept(self, told: Token, answer: Answer, number: int) -> Token:
        """`told` with the token that this answer has."""
        if self._rule is None or not (self._is_of_last or number == 1):
            return told
        found = self._found(answer)
        return told if found is None else told._replace(kept=found)

    def _found(self, answer: Answer) -> Any:
        assert self._rule is not None
        if self._path is not None:
            found = self._path(answer.document)
        else:
            values = answer.headers.get(self._header or "")
            found = values[0].strip() if values else MISSING
        if is_no_pointer(found) or isinstance(found, bool):
            return None
        if self.begins_there:
            return None if self._resuming is None else self._resuming.to_go_on(found, answer)
        return found if fits(found, self._rule.place) and not isinstance(found, dict | list) else None

    def expired(self, told: Token, response: Response, first: Place) -> Page | None:
        """The page that stands for an answer by which the token of the last run is over: everything follows it."""
        rule = self._rule
        if rule is None or told.since is None or told.progress.number:
            return None
        if response.status not in rule.reset_on_status:
            return None
        progress = told.progress._replace(number=1)
        anew = told._replace(place={**first, "anew": True}, since=None, progress=progress)
        what = f"the API no longer takes the token of the last run (status {response.status})"
        told_of = (
            "everything was read again; what was deleted meanwhile is deleted by a run of mode full alone"
        )
        return Page(1, [], 0, anew.to_wire(), warnings=(f"{WARNING_EXPIRED}: {what}: {told_of}",))

    def doubts(self, told: Token) -> tuple[str, ...]:
        """A warning where the walk is over and no answer had a token."""
        if self._rule is None or told.kept is not None or told.since is not None:
            return ()
        place = self._rule.token_path or self._rule.token_header
        name = "token_path" if self._rule.token_path else "token_header"
        what = f"incremental.{name} {place!r} leads to nothing in the last page's answer"
        return (f"{WARNING_NONE}: {what}: the next run reads everything again; correct it",)
