"""Records that became no row: kept with their reasons, told of by the run, minded where what is missing is deleted."""

from collections.abc import Sequence
from typing import Any

from headwater.contracts.codec import dumps
from headwater.contracts.messages import BatchReady
from headwater.model.errors import ContractError
from headwater.model.storable import storable
from headwater.plugins.destinations import Loaded, Plan
from headwater.plugins.destinations.selection import refusal
from headwater.store.ledger import PageKey

ROWS_REJECTED = "rows_rejected"
WITHOUT_KEY = (
    "records_without_key"  # whose rows these were cannot be said, so no row can be said to be missing
)
_SELECTED_OUT = 1_000_000  # positions of records that were rejected before they came here
_MAX_RECORD = 65_536
_MAX_REASON = 2_000

Kept = tuple[int, str, str]  # position on the page, reason, JSON text


def rejections_of(pages: Sequence[tuple[PageKey, BatchReady]], loaded: Loaded) -> dict[PageKey, list[Kept]]:
    """What is to be kept for each page, one entry a record; the pages are in the order in which they were loaded."""
    reasons: dict[tuple[int, int], list[str]] = {}
    records: dict[tuple[int, int], Any] = {}
    for row in loaded.rejected:  # a record occurs again for each of its elements that was rejected
        place = (row.batch, row.index)
        reasons.setdefault(place, []).append(row.reason)
        records[place] = row.record
    found: dict[PageKey, list[Kept]] = {
        key: [(_SELECTED_OUT + item.position, storable(item.reason), "") for item in batch.rejected]
        for key, batch in pages
    }
    for (number, index), why in sorted(reasons.items()):
        reason = storable("; ".join(dict.fromkeys(why)))[:_MAX_REASON]
        found[pages[number][0]].append((index, reason, _shown(records[number, index])))
    return found


def rejection_warnings(
    plan: Plan | None, pages: Sequence[tuple[PageKey, BatchReady]], loaded: Loaded, of: PageKey
) -> set[str]:
    """The warnings for what was rejected of one run, that of the page `of`; `pages` as for `rejections_of`."""
    selected_out = any(batch.rejected for key, batch in pages if key.run_id == of.run_id)
    rows = [row for row in loaded.rejected if pages[row.batch][0].run_id == of.run_id]
    if not selected_out and not rows:
        return set()
    warnings = {ROWS_REJECTED}
    deletes = plan is not None and plan.table.delete_missing is not None
    if deletes and (selected_out or any(_has_no_key(plan, row.record) for row in rows)):
        warnings.add(WITHOUT_KEY)
    return warnings


def _has_no_key(plan: Plan | None, record: Any) -> bool:
    return plan is not None and refusal(plan.table, record) is not None


def _shown(record: Any) -> str:
    """The record as JSON text that a row can hold."""
    try:
        text = dumps(record).decode()
    except ContractError:
        text = ascii(record)
    return text.replace("\0", "\\u0000")[:_MAX_RECORD]
