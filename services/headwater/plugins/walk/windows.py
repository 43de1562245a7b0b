"""Runs for a window of time: from `from` (which belongs to it) to `to` (which does not).

A window is asked for by the parameters of `incremental`, or by the slices of a `window` pagination; records outside it
are left out, whatever the API gives. Such a run never moves the cursor.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from headwater.contracts.source import Stream
from headwater.model.errors import HeadwaterError
from headwater.plugins.instants import iso

Bound = str | int


class WindowError(HeadwaterError):
    """A window that cannot be; `place` is the member of it, or empty."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(what)
        self.place = place


def check_window(stream: Stream) -> None:
    """Raises: WindowError when the stream's runs cannot be for a window."""
    has_time = stream.cursor_rule is not None and not stream.cursor_rule.is_token
    if not has_time and stream.pagination.type != "window":
        raise WindowError(
            "",
            "the stream says nothing of time: give it `incremental`, the field that tells when a record changed",
        )
    if stream.destination is not None and stream.destination.mode == "replace":
        raise WindowError("", "mode replace puts what a run brings in the place of all rows: use mode merge")


def window_of(window: Mapping[str, Any], stream: Stream, now: datetime) -> dict[str, Bound]:
    """The window in one form: `{"from", "to"}` as UTC instants with a Z, or as numbers for a cursor of whole numbers.

    `to` may be missing: then it is `now`. Raises: WindowError.
    """
    check_window(stream)
    unknown = sorted(set(window) - {"from", "to"})
    if unknown:
        raise WindowError(str(unknown[0])[:60], "is not known here: a window is {from, to}")
    if window.get("from") is None:
        raise WindowError("from", "is missing: a window is {from, to}, as dates or instants with a zone")
    if stream.incremental is not None and stream.incremental.format == "integer":
        return _numbers(window)
    start = _instant("from", window["from"])
    end = now if window.get("to") is None else _instant("to", window["to"])
    if start >= end:
        raise WindowError("to", f"must be after `from`: {iso(end)} is not after {iso(start)}")
    return {"from": iso(start), "to": iso(end)}


def _numbers(window: Mapping[str, Any]) -> dict[str, Bound]:
    for name in ("from", "to"):
        value = window.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise WindowError(name, "the stream's cursor is a whole number (format integer): give one")
    if window["from"] >= window["to"]:
        raise WindowError("to", "must be above `from`")
    return {"from": window["from"], "to": window["to"]}


def _instant(place: str, value: Any) -> datetime:
    mend = (
        "write a date (2024-01-31: its first instant in UTC) or an instant with a zone (2024-01-31T06:00:00Z)"
    )
    if not isinstance(value, str) or not 10 <= len(value) <= 40 or value[4:5] != "-":
        raise WindowError(place, f"{str(value)[:40]!r} is no instant: {mend}")
    try:
        if len(value) == 10:
            day = date.fromisoformat(value)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise WindowError(place, f"{value!r} has no zone: {mend}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WindowError(place, f"{value!r} is no instant: {mend}") from error
