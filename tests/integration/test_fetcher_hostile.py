"""The catalogue of hostile behaviours through the whole product: each has its one right table and run record."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pprint import pformat
from typing import Any

import pytest
from tests.support.fast_timer import FastTimer
from tests.support.spine import Spine, open_spine, working

from headwater.app.hostile import CASES, Behaviour, Case, Fault, HostileApi
from headwater.bus.memory import MemoryBus
from headwater.store import runs
from headwater.store.runs import NewRun

_CUT = frozenset({"loop", "limit", "error"})
_PARTS_MISSING = {"total_not_met", "graphql_partial", "partial_content"}
_ELSEWHERE = {"redirect_of_credentials_to_another_host": 1}  # requests to the other host
_SHORT = {"Retry-After": "1", "X-RateLimit-Reset": "1"}
# Where pages are planned ahead, a hole counts as full; among positions it may hide records: not called complete.
_IN_PARALLEL = {
    "offset_hole_with_total": {"state": "partial", "warnings": {"total_not_met"}},
    "page_hole_with_total": {"stop_reason": "total_reached"},
    **{
        f"offset_total_{what}": {"warnings": {"parallel_unused"}}
        for what in ("is_a_word", "minus_one", "null")
    },
}


def impatient(case: Case) -> Behaviour:
    """The behaviour with waits of a second, whatever it asks for."""
    faults = tuple(
        Fault(one.page, one.kind, one.times, {k: _SHORT.get(k, v) for k, v in one.headers.items()}, one.body)
        for one in case.behaviour.faults
    )
    return dataclasses.replace(case.behaviour, faults=faults)


def source(api: HostileApi, name: str, case: Case, more: Mapping[str, Any]) -> dict[str, Any]:
    stream = {"name": "items", "destination": {"table": name}, **case.stream()}
    if case.pagination["type"] in {"offset", "page"}:
        stream["pagination"] = {**stream["pagination"], **more}
    return {
        "name": name,
        "base_url": api.url(name),
        "network": {"allow": ["127.0.0.0/8"]},
        **case.source_options(api.url(name)),
        "streams": [stream],
    }


async def outcomes(database: str, cases: Mapping[str, Case], more: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is wrong, by case."""
    behaviours = {name: impatient(case) for name, case in cases.items()}
    async with (
        HostileApi(behaviours) as api,
        open_spine(database, MemoryBus(timer=FastTimer())) as spine,
    ):
        sources = [source(api, name, case, more) for name, case in cases.items()]
        await spine.apply(json.dumps({"version": 1, "sources": sources}))
        async with working(spine):
            async with spine.worker.transaction() as connection:
                for name in cases:
                    await runs.insert(connection, NewRun("default", name, "items", datetime.now(UTC), "api"))
            await spine.until(
                "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM run WHERE finished_at IS NULL)", timeout_s=120
            )
        return {
            name: faults
            for name, case in cases.items()
            if (faults := await _faults(spine, api, name, case, bool(more)))
        }


async def _faults(spine: Spine, api: HostileApi, name: str, case: Case, in_parallel: bool) -> list[str]:
    run = await spine.row("SELECT * FROM run WHERE source = $1", name)
    exists = await spine.row(
        "SELECT 1 FROM pg_tables WHERE schemaname = 'hw_default' AND tablename = $1", name
    )
    rows = await spine.rows_of(name, "id") if exists else []
    ids = sorted(int(row["id"]) for row in rows)  # what comes as text is text
    wanted = sorted(set(case.wanted_ids) - set(case.unstorable))
    rejected = case.rejected + len(case.unstorable)
    expected: dict[str, Any] = {"stop_reason": case.ends.partition(":")[0]}
    warnings = set(case.warnings) | ({"rows_rejected"} if rejected else set())
    if case.ends.startswith("error:"):
        expected |= {"state": "failed", "error_kind": case.ends.partition(":")[2]}
        if in_parallel and (set(ids) - set(wanted) or len(set(ids)) != len(ids)):
            return [f"rows {ids} are not of {wanted}"]
    else:
        is_cut = case.ends in _CUT or bool(_PARTS_MISSING & warnings)
        expected |= {
            "state": "partial" if is_cut else "succeeded",
            "error_kind": None,
            "rejected": rejected,
            "inserted": len(wanted),
            "warnings": warnings,
        }
        if case.received is not None:
            expected["received"] = case.received
    if in_parallel:
        expected |= _IN_PARALLEL.get(name, {})
        if case.ends == "loop":
            expected.pop("received", None)  # how many pages were under way is chance
    found = {key: set(run[key]) if key == "warnings" else run[key] for key in expected}
    faults = [f"{key} is {found[key]}, not {value}" for key, value in expected.items() if found[key] != value]
    if not (in_parallel and expected["state"] == "failed") and ids != wanted:
        faults.append(f"rows {ids[:10]}… ({len(ids)}) are not {wanted[:10]}… ({len(wanted)})")
    asked = len(api.asked_of(name))
    if not in_parallel and case.requests is not None and asked != case.requests:
        faults.append(f"{asked} requests, not {case.requests}")
    if not in_parallel and run["requests"] != asked + _ELSEWHERE.get(name, 0):
        faults.append(f"{run['requests']} requests are counted of {asked}")
    return faults


@pytest.mark.parametrize("more", [{}, {"parallel": 8}], ids=["page by page", "in parallel"])
async def test_each_hostile_behaviour_has_its_one_right_table_and_run_record(
    database: str, more: dict[str, Any]
) -> None:
    # pages are only planned ahead where a total is told
    planned = {"total", "total_pages", "total_header", "total_pages_header"}
    cases = {name: case for name, case in CASES.items() if not more or planned & set(case.pagination)}

    faults = await outcomes(database, cases, more)

    assert not faults, pformat(faults, width=150)
