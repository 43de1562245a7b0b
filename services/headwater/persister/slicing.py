"""Runs that walk slices of time: what their end does to the cursor, and the gaps that are left (DESIGN.md §2.3, §7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.contracts.source import StreamDefinition
from headwater.model.run import StopReason
from headwater.plugins.walk.boundary import MOST_SEEN, joined
from headwater.plugins.walk.hidden import WARNING_GRAPHQL
from headwater.plugins.walk.slices import Gap, gaps_of, joined_gaps, kept, moment
from headwater.plugins.walk.token import is_slice
from headwater.store import cursors, slices

_SHOWN = 3  # gaps named in a message
CURSOR_CHANGED = "cursor_changed_meanwhile"
WARNING_MANY_ALIKE = "cursor_ties"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the first slice failed that did."""

    kind: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices of an attempt. `gaps` are what did not come, in order; `fault` is that of the first that failed."""

    walks: Sequence[Mapping[str, Any]]
    gaps: tuple[Gap, ...]
    fault: Fault | None

    @property
    def has_failed(self) -> bool:
        """Whether not one of them came through."""
        return self.fault is not None and not any(_is_complete(walk) for walk in self.walks)

    @property
    def are_all_absent(self) -> bool:
        """Whether the API says by its status of each of them that there is nothing."""
        return all(
            walk["stop_reason"] == StopReason.STATUS_END and not walk["record_count"] for walk in self.walks
        )

    @property
    def told(self) -> str | None:
        """What people are told of slices that failed."""
        if self.fault is None:
            return None
        spans = joined_gaps(Gap(gap.start, gap.end, gap.why) for gap in self.gaps)
        named = ", ".join(f"{gap.start} to {gap.end}" for gap in spans[:_SHOWN])
        more = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
        return f"did not come: {named}{more}: {self.fault.message}"


async def slices_of_attempt(
    connection: Any, walks: Sequence[Mapping[str, Any]], run: Mapping[str, Any]
) -> Slices | None:
    """The slices of the run's attempt, whose walks are `walks`; None when it has none."""
    if not walks or not is_slice(walks[0]["first_token"]):
        return None
    rows = await slices.of_attempt(connection, run["id"], run["attempt"])
    version = str(run["stream_version"])
    gaps = tuple(
        sorted(
            (_gap(row, version) for row in rows if not _is_complete(row)), key=lambda gap: moment(gap.start)
        )
    )
    faults = [row["resume"]["error"] for row in rows if "error" in (row["resume"] or {})]
    fault = Fault(faults[0]["kind"], faults[0]["message"], faults[0]["retryable"]) if faults else None
    return Slices(rows, gaps, fault)


def _is_complete(walk: Mapping[str, Any]) -> bool:
    return StopReason(walk["stop_reason"]).is_complete and walk["shortfall"] is None


def _gap(walk: Mapping[str, Any], version: str) -> Gap:
    """What the walk left: all of its slice, or what follows the place where a limit ended it."""
    known, bounds = walk["resume"] or {}, walk["parent"]
    if "error" in known:
        token = known.get("token")
        return Gap(
            known["from"], bounds["to"], known["error"]["kind"], token, None if token is None else version
        )
    if walk["stop_reason"] == StopReason.LIMIT and "place" in known:
        return Gap(known["place"]["from"], bounds["to"], "limit", known, version)
    return Gap(bounds["from"], bounds["to"], walk["shortfall"] or walk["stop_reason"])


def may_move(run: Mapping[str, Any]) -> bool:
    """Whether the run may move its stream's cursor: not for a window of time, without loading anything, or where parts
    of its records are missing.
    """
    return run["mode"] != "dry_run" and run["time_window"] is None and WARNING_GRAPHQL not in run["warnings"]


def many_alike(definition: StreamDefinition, mark: Any) -> frozenset[str]:
    """A warning where the next run cannot know the records at the cursor, which are mostly given to it again."""
    destination, rule = definition.stream.destination, definition.stream.cursor_rule
    is_added = (
        destination is not None
        and destination.mode == "append"
        and rule is not None
        and definition.stream.asks_for_new
    )
    if not is_added or not isinstance(mark, Mapping) or mark["seen"] is not None:
        return frozenset()
    what = f"more than {MOST_SEEN} records have the cursor's value, and are not known when they come again"
    mend = "use mode merge with a key, or a cursor field that tells them apart"
    text = f"{WARNING_MANY_ALIKE}: {what}: the next run appends them once more; {mend}"
    return frozenset({text})


async def move_past_slices(
    connection: Any, definition: StreamDefinition, run: Mapping[str, Any], ended: Slices
) -> frozenset[str]:
    """Move the stream's cursor up to the first gap, or where there is none to the highest value seen; gives warnings.

    Gaps are kept with the cursor, with the highest value behind them. A run of mode full keeps none: the next one
    reads from where the cursor stood.
    """
    rule = definition.stream.cursor_rule
    if rule is None or not may_move(run):
        return frozenset()
    of = (run["tenant"], run["source"], run["stream"])
    is_rebuilt = run["mode"] == "full" and run["force"]
    before = [] if is_rebuilt or run["cursor_from"] is None else [run["cursor_from"]]
    stored = await cursors.get_resume(connection, of)
    behind = None if run["mode"] == "full" else gaps_of(stored)[1]
    highest = joined([*before, behind, *(walk["highest"] for walk in ended.walks)])
    if not ended.gaps:
        if highest is None:
            return frozenset()
        is_right = await cursors.move(connection, of, highest, run["id"], run["cursor_version"])
        return many_alike(definition, highest) if is_right else frozenset({CURSOR_CHANGED})
    if run["mode"] == "full":
        return frozenset()
    first = moment(ended.gaps[0].start)
    there = [walk["highest"] for walk in ended.walks if moment(walk["parent"]["to"]) <= first]
    is_right = await cursors.keep_gaps(
        connection,
        of,
        joined([*before, *there]),
        kept(ended.gaps, highest),
        run["id"],
        run["cursor_version"],
    )
    return frozenset() if is_right else frozenset({CURSOR_CHANGED})
