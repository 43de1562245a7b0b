"""Parents whose children an API does not give: which of them a stream passes over, and what is said of the others."""

from typing import Final

from headwater.contracts.source import StreamDefinition
from headwater.model.errors import SourceError
from headwater.model.http import Response
from headwater.model.run import StopReason
from headwater.plugins.secret_text import Secrets, masked
from headwater.plugins.walk.judge import names_invalid_token
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.templates import expressions_of
from headwater.plugins.walk.token import Token

WARNING_SKIPPED: Final = "parents_skipped"
WARNING_REFUSED: Final = "parents_refused"  # passed over, although they are not said to be gone
WARNING_PAGES: Final = "pages_skipped"
_GONE = frozenset({404, 410})
_MOST_NAMED, _LONGEST = 3, 60


def doubt_of_skipped(status: int) -> tuple[str, ...]:
    """A warning for a page that `errors.status` passes over, unless its status says that nothing is there."""
    return () if status in _GONE else (WARNING_PAGES,)


class Skipping:
    """The rule of one stream. `stops`: the statuses that end its walks, the first page of which they can only be where
    it is the only one, or that of a slice. `renews`: those that say as 401 does that a token is over.
    """

    def __init__(self, definition: StreamDefinition, stops: tuple[int, ...], renews: frozenset[int]) -> None:
        stream = definition.stream
        self._parent = stream.parent
        self._asked = expressions_of(stream.request)
        self._skips = frozenset(() if self._parent is None else self._parent.skip_on_status)
        pages = stream.pagination
        self._elsewhere = {
            *map(int, stream.errors.status),
            *(stops if pages.type in {"none", "window"} else ()),
        }
        self._stops = frozenset(stops)
        self._renews = renews

    def passed(self, told: Token, response: Response, *, may_renew: bool) -> Page | None:
        """The page that stands for a parent's whole walk when its first answer says that it is to be passed over.
        `may_renew`: a new token may help.
        """
        status = response.status
        if told.progress.number or status not in self._skips - self._elsewhere:
            return None
        if told.since is not None and status in self._stops:
            return None  # nothing is new
        if names_invalid_token(response) or (may_renew and status in self._renews):
            return None
        warnings = (WARNING_SKIPPED,) if status in _GONE else (WARNING_SKIPPED, WARNING_REFUSED)
        return Page(1, [], 0, None, StopReason.NOT_FOUND, warnings)

    def of_child(self, error: SourceError, told: Token, status: int, secrets: Secrets) -> SourceError:
        """`error` with the parent that was asked for; where it is a status, with how such parents are passed over."""
        if self._parent is None or error.retryable or error.kind == "unauthorized":
            return error
        values = told.parent or {}
        named = [f"{name}={values.get(name)!s:.{_LONGEST}}" for name in self._asked[:_MOST_NAMED]]
        text = masked(f"{self._parent.stream} with {', '.join(named)}", secrets.values())
        error.message += f" (asked for the child of {text})"
        if error.kind == f"http_{status}" and not told.progress.number and status not in self._elsewhere:
            shown = ", ".join(str(one) for one in sorted({*self._skips, status}))
            error.message += f"; parent.skip_on_status: [{shown}] passes such parents over"
        error.args = (error.message,)
        return error
