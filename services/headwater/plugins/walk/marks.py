"""How far the records of a walk reach: the boundaries of its cursor, and the records that were loaded already."""

from datetime import datetime
from typing import Any

from headwater.contracts.source import Stream
from headwater.plugins.expressions import Getter, compile_path
from headwater.plugins.walk.boundary import boundary_at, digest_of, joined
from headwater.plugins.walk.cursor import CursorField, order_of
from headwater.plugins.walk.token import Token

WARNING_UNHEEDED = "cursor_unheeded"
WARNING_OVERLAP = "slices_overlap"
ENOUGH = 5  # records that are older than asked for, before the API is taken not to heed it
_DAY_S = 86_400.0  # cursors that are asked for by the day, in any zone


class Marks:
    """The marks of one stream's records. `cursor` is None where it has none. Raises: ConfigError."""

    def __init__(self, stream: Stream) -> None:
        self.cursor = CursorField(stream.cursor_rule) if stream.cursor_rule else None
        self._rule = stream.cursor_rule
        self._is_asked = stream.asks_for_new
        self._identity = _identity_of(stream)
        self._keeps_seen = stream.destination is not None and stream.destination.mode == "append"

    def of(self, records: list[Any], told: Token, now: datetime) -> tuple[Any, Any]:
        """The highest boundary among `records`, and the one below it where they ascend."""
        if self.cursor is None or (self._rule is not None and self._rule.is_token):
            return None, None
        top = self.cursor.highest(records, now)
        below = self.cursor.below(records, top)
        if self._identity is None and not self._keeps_seen:
            return top, below
        marks = self.cursor.marks(records)
        found = [
            None
            if mark is None
            else boundary_at(mark, records, marks, self._identity, keeps_seen=self._keeps_seen)
            for mark in (top, below)
        ]
        if found[0] is not None and told.since is not None and told.seen:
            known = {"value": told.since, "id": told.since_id, "seen": list(told.seen)}
            if order_of(told.since) == order_of(found[0]["value"]):
                found[0] = joined((found[0], known))
        return found[0], found[1]

    def new(self, records: list[Any], told: Token) -> list[Any]:
        """Those of `records` that were not loaded already, as far as that is known. Where each record would be added
        once more, those older than the cursor are not if nothing in the request asks for what is new, or if they come
        again since it names the day or second of the cursor only.
        """
        is_asked = self._rule is None or self._is_asked
        if self.cursor is not None and self._keeps_seen and told.since is not None:
            known = self.cursor.not_again if is_asked else self.cursor.not_older
            records = known(records, told.since)
        return _unseen(records, told)

    def unheeded(self, records: list[Any], told: Token) -> tuple[str, ...]:
        """A warning where most records of the first page are more than a day older than what was asked for."""
        if self._rule is None or not self._is_asked or self.cursor is None or told.since is None:
            return ()
        count = len(records) - len(self.cursor.not_older(records, told.since, slack_s=_DAY_S))
        if count < ENOUGH or 2 * count <= len(records):
            return ()
        what = (
            f"{count} of the {len(records)} records of the first page are older than {str(told.since)[:40]!r}"
        )
        name = self._rule.param
        mend = f"the API may know no {name!r}: correct incremental.param, or leave it out"
        if name is None:
            mend = "the API may read what stands around {walk.since} otherwise: correct it"
        return (f"{WARNING_UNHEEDED}: {what}, which was asked for; {mend}",)

    def overlaps(self, records: list[Any], told: Token) -> tuple[str, ...]:
        """A warning where a slice of time has records of the next one, and both would be added."""
        end = None if self.cursor is None or not self._keeps_seen else told.place.get("to")
        if self.cursor is None or end is None:
            return ()
        is_last = (
            datetime.fromisoformat(end).timestamp() >= told.began_s - 1
        )  # what is behind now is another matter
        if is_last or not self.cursor.is_any_from(records, end):
            return ()
        mend = "set pagination.end_before_s (86400 where bounds are days), or use mode merge with a key"
        return (
            f"{WARNING_OVERLAP}: the API gives the end of a slice too, and the next one begins there; {mend}",
        )


def _unseen(records: list[Any], told: Token) -> list[Any]:
    if not (told.seen or told.edge):
        return records
    seen = {*told.seen, *told.edge}
    return [record for record in records if digest_of(record) not in seen]


def _identity_of(stream: Stream) -> Getter | None:
    """What tells a stream's records of the same cursor value apart; None when nothing does."""
    rule, destination = stream.cursor_rule, stream.destination
    if rule is None:
        return None
    if rule.id is not None:
        return compile_path(rule.id)
    if destination is None or len(destination.key) != 1 or stream.fields:
        return None
    key = destination.key[0]
    return lambda record: record.get(key) if isinstance(record, dict) else None
