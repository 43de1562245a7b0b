"""How far the records of a walk reach: the boundaries of its cursor, and the records that were loaded already."""

from datetime import datetime
from typing import Any

from headwater.contracts.source import Stream
from headwater.plugins.expressions import Getter, compile_path
from headwater.plugins.walk.boundary import boundary_at, digest_of, joined
from headwater.plugins.walk.cursor import CursorField, order_of
from headwater.plugins.walk.token import Token


class Marks:
    """The marks of one stream's records. `cursor` is None where it has none. Raises: ConfigError."""

    def __init__(self, stream: Stream) -> None:
        self.cursor = CursorField(stream.cursor_rule) if stream.cursor_rule else None
        self._identity = _identity_of(stream)
        self._keeps_seen = stream.destination is not None and stream.destination.mode == "append"

    def of(self, records: list[Any], told: Token, now: datetime) -> tuple[Any, Any]:
        """The highest boundary among `records`, and the one below it where they ascend."""
        if self.cursor is None:
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


def unseen(records: list[Any], told: Token) -> list[Any]:
    """Those of `records` that were not loaded already."""
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
