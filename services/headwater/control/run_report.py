"""The report of a run: what there is to know of it in one document."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.runs import Run, RunPage, run_view
from headwater.store import catalogue, runs
from headwater.store.catalogue import Row

PAGES = 1000  # the first ones; the others are in `pages`
REJECTED = 100


class TimeSlice(Answer):
    """From `from` (which belongs to it) to `to` (which does not)."""

    begin: Annotated[datetime, Field(alias="from")]
    to: datetime


class RunWalk(Answer):
    """The pages of a run in order; a run has one walk, or one for each slice or parent.

    `slice`: the slice of time that it is for; `parent`: what tells the record that it is for from others. `is_waiting`:
    its turn has not come.
    """

    attempt: int
    number: int
    last_number: int | None
    settled_count: int
    record_count: int
    stop_reason: str | None
    highest: Any
    started_at: datetime
    is_waiting: bool
    slice: TimeSlice | None
    parent: dict[str, Any] | None


class RejectedRecord(Answer):
    """A record that was not taken. `record` is its JSON text, cut to 64 KiB."""

    attempt: int
    walk: int
    page: int
    position: int
    reason: str
    record: str


class RunReport(Answer):
    """`pages` are the first 1,000 and `rejected` the first 100; `page_count` and `rejected_count` are all."""

    run: Run
    cursor_from: Any
    walks: list[RunWalk]
    pages: list[RunPage]
    page_count: int
    rejected: list[RejectedRecord]
    rejected_count: int


def _plain(row: Mapping[str, Any], kind: type[Answer]) -> dict[str, Any]:
    return {name: row[name] for name in kind.model_fields}


async def report_of(connection: Any, row: Row) -> dict[str, Any]:
    """The report of a run, by its row."""
    run_id = row["id"]
    pages = await catalogue.list_pages(connection, run_id, after=(0, -1, 0), limit=PAGES)
    counted = await catalogue.run_extent(connection, run_id)
    return {
        "run": run_view(row),
        "cursor_from": row["cursor_from"],
        "walks": [_plain(each, RunWalk) for each in await catalogue.list_walks(connection, run_id, PAGES)],
        "pages": [_plain(each, RunPage) for each in pages],
        "page_count": counted["page_count"],
        "rejected": [
            _plain(each, RejectedRecord)
            for each in await catalogue.list_rejected(connection, run_id, REJECTED)
        ],
        "rejected_count": counted["rejected_count"],
    }


async def show_report(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        row = await runs.get(connection, call.id("run"))
        if row is None:
            raise not_found("run")
        return Reply(await report_of(connection, row))
