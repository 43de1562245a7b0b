"""How far a stream has been read: what the end of a run does to its cursor (DESIGN.md §7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.contracts.pagination import OffsetPagination, PagePagination, pages_of
from headwater.contracts.source import StreamDefinition
from headwater.contracts.walking import Incremental
from headwater.model.run import StopReason
from headwater.persister.reckoning import SHORTFALLS
from headwater.persister.slicing import CURSOR_CHANGED, Slices, many_alike, may_move, slices_of_attempt
from headwater.plugins.paginators.base import WARNING_CAPPED, WARNING_LOOP, WARNING_SHRANK
from headwater.plugins.walk.boundary import joined, together, value_of
from headwater.plugins.walk.cursor import order_of
from headwater.plugins.walk.hidden import WARNING_BESIDE
from headwater.plugins.walk.judge import WARNING_UNCHANGED
from headwater.plugins.walk.parents import WARNING_PARENTS_REJECTED
from headwater.store import children, completion, cursors, ledger, slices

NONE_FOUND = "all_parents_skipped"
ALL_ABSENT = "all_slices_absent"
ALIKE = "slices_alike"
INCOMPLETE = SHORTFALLS | {
    "limit_reached",
    NONE_FOUND,
    WARNING_CAPPED,
}  # warnings which say that there was more than came

UNSEEN = frozenset(
    {WARNING_PARENTS_REJECTED, WARNING_SHRANK, WARNING_UNCHANGED, WARNING_BESIDE}
)  # not all was seen


@dataclass(frozen=True, slots=True)
class End:
    """How the walks of an attempt ended: whether they are known to have seen what they were to see, and whether that
    was everything there is. `walks` are there for a stream without a parent, `slices` where they are slices of time.
    """

    reason: StopReason
    is_complete: bool
    saw_all: bool
    warnings: frozenset[str] = frozenset()
    walks: Sequence[Mapping[str, Any]] = ()
    slices: Slices | None = None


async def end_of(connection: Any, definition: StreamDefinition, run: Mapping[str, Any]) -> End:
    """How the attempt of `run` ended, all of whose pages are settled."""
    codes = {warning.partition(":")[0] for warning in run["warnings"]}
    is_whole = run["time_window"] is None and not UNSEEN & codes
    if definition.lineage:
        told = await children.summary(connection, run["id"], run["attempt"], len(definition.lineage))
        # where not one of them is there any more, the path is likelier wrong than all parents gone
        new = {NONE_FOUND} if run["skipped"] and not told.found_count else set()
        cut, first, walks = told.cut, told.first, []
        is_whole = is_whole and not told.has_resumed
    else:
        walks = list(await completion.walks(connection, run["id"], run["attempt"]))
        reasons = [StopReason(walk["stop_reason"]) for walk in walks]
        cut, first, new = next((one for one in reasons if not one.is_complete), None), reasons[-1], set()
        is_whole = is_whole and all(_is_whole(walk) for walk in walks)
    if (
        cut is None
        and _is_planned(definition)
        and await completion.planned_alike(connection, run["id"], run["attempt"])
    ):
        cut, new = StopReason.LOOP, {*new, WARNING_LOOP}
    marks = INCOMPLETE & {*codes, *new}
    is_complete = cut is None and not marks
    reason = cut or (StopReason.LIMIT if "limit_reached" in marks else first)
    ended = await slices_of_attempt(connection, walks, run)
    if ended is not None and run["cursor_from"] is None and ended.are_all_absent:
        new = {ALL_ABSENT}  # likelier a wrong path than a time without anything
        return End(first, False, False, frozenset(new), walks, ended)
    if ended is not None and await slices.are_alike(connection, run["id"], run["attempt"]):
        new = {*new, ALIKE}
    return End(reason, is_complete, is_complete and is_whole, frozenset(new), walks, ended)


def _is_planned(definition: StreamDefinition) -> bool:
    """Whether pages may have been asked for side by side."""
    pagination = definition.stream.pagination
    pages = pages_of(pagination)
    return isinstance(pages, OffsetPagination | PagePagination) and pages.parallel > 1


def _is_whole(walk: Mapping[str, Any]) -> bool:
    """Whether the walk began at its beginning, and not where an earlier run was cut: behind a page, or within one."""
    token = walk["first_token"] or {}
    return not ((token.get("progress") or {}).get("number") or token.get("edge"))


async def move_cursor(
    connection: Any,
    definition: StreamDefinition,
    run: Mapping[str, Any],
    walks: Sequence[Mapping[str, Any]],
    *,
    is_complete: bool,
) -> frozenset[str]:
    """Move the stream's cursor in the transaction that ends the run; gives warnings.

    A complete walk moves it to the highest value seen, and never back, unless the table was rebuilt. One that a limit
    ended moves it to the value below which everything was seen, where the stream's records ascend; elsewhere, and where
    that is no further than it was, it stays, and the next run goes on where this one ended. One that went on so and
    ended otherwise has the next run begin at the cursor, and remove what was appended since. Somebody who set or reset
    the cursor meanwhile is right. Runs for a window of time, those that load nothing, and those with records of which
    parts are missing, leave it alone.
    """
    rule = definition.stream.cursor_rule
    if rule is None:
        return frozenset()
    of = (run["tenant"], run["source"], run["stream"])
    value = _value(rule, run, walks, is_complete=is_complete) if may_move(run) else None
    if value is None and not is_complete and _comes_again(run):
        await ledger.keep_since(connection, run["id"], of, run["cursor_version"])
    if not may_move(run):
        return frozenset()
    resume = None if is_complete else _resume(run, walks)
    if value is not None:
        is_right = await cursors.move(connection, of, value, run["id"], run["cursor_version"])
        return many_alike(definition, value) if is_right else frozenset({CURSOR_CHANGED})
    if resume is None:
        if not all(map(_is_whole, walks)):  # there is no way to the end from where it went on
            await cursors.forget_resume(connection, of)
        return frozenset()
    is_right = await cursors.keep_resume(connection, of, resume, run["cursor_version"])
    return frozenset() if is_right else frozenset({CURSOR_CHANGED})


def _comes_again(run: Mapping[str, Any]) -> bool:
    """Whether a run like this one brings its records again, where the cursor stays."""
    return run["time_window"] is None and run["mode"] in {"auto", "incremental"}


async def move_parents(
    connection: Any, definition: StreamDefinition, run: Mapping[str, Any]
) -> frozenset[str]:
    """Move the cursor of each parent whose walk saw everything, as `move_cursor` does for a stream."""
    rule = definition.stream.cursor_rule
    if rule is None or not may_move(run):
        return frozenset()
    of = (run["tenant"], run["source"], run["stream"])
    if not await cursors.touch(connection, of, run["id"], run["cursor_version"]):
        return frozenset({CURSOR_CHANGED})
    keeps_place = run["mode"] != "full"
    await children.move_cursors(
        connection,
        run["id"],
        run["attempt"],
        of,
        len(definition.lineage),
        str(run["stream_version"]) if keeps_place else None,
        ascends=rule.order == "asc",
    )
    return frozenset()


def _value(
    rule: Incremental, run: Mapping[str, Any], walks: Sequence[Mapping[str, Any]], *, is_complete: bool
) -> Any:
    """Where the cursor is to stand; None: where it is."""
    if rule.is_token:  # the last one counts, and there is no higher one
        return walks[-1]["highest"] if is_complete and walks else None
    is_rebuilt = run["mode"] == "full" and run["force"]
    seen = [] if is_rebuilt or run["cursor_from"] is None else [run["cursor_from"]]
    if is_complete:
        seen += [walk["highest"] for walk in walks]
    elif rule.order == "asc" and len(walks) == 1 and walks[0]["stop_reason"] == StopReason.LIMIT:
        below = walks[0]["below"]
        if below is None or (seen and order_of(value_of(below)) <= order_of(value_of(seen[0]))):
            return None  # that would read the same again and again
        seen.append(_below(walks[0]))
    else:
        return None
    return joined(seen)


def _below(walk: Mapping[str, Any]) -> Any:
    """Where a walk that a limit cut saw everything. What it saw beyond comes again, and is known then."""
    below, top = walk["below"], walk["highest"]
    if not (isinstance(below, Mapping) and isinstance(top, Mapping)):
        return below
    return {**below, "seen": together((below["seen"], top["seen"]))}


def _resume(run: Mapping[str, Any], walks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Where the next run of this version goes on; only where there is one walk, which a limit ended."""
    if len(walks) != 1 or run["mode"] == "full" or walks[0]["resume"] is None:
        return None
    return {
        "token": walks[0]["resume"],
        "highest": walks[0]["highest"],
        "stream_version": str(run["stream_version"]),
    }
