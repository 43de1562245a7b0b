"""What people do with schedules through the API, what they see of them, and statistics."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.support.office import MANIFEST, Office, open_office

from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.runs import Outcome
from headwater.telemetry.metrics import Metrics
from headwater.timer.relay import Relay

MORE = MANIFEST.replace(
    "schedules:\n",
    """schedules:
  - {name: by-hand, description: The great refund, streams: [shop.orders, shop.refunds], parameters: {a: 1, b: 2},
     timeout_s: 90, retries: 2}
""",
)


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        applied = await opened.post("/config/import", data=MORE, headers={"Content-Type": "application/yaml"})
        assert applied.status == 200, applied.body
        yield opened


async def _relay(office: Office) -> None:
    relay = Relay(office.worker, office.bus, Metrics())
    while await relay.work():
        pass


async def _end(office: Office, run_id: str, state: RunState, **more: Any) -> None:
    async with office.worker.transaction() as connection:
        row = await runs.get(connection, UUID(run_id))
        await connection.execute("UPDATE run SET admitted_at = now() WHERE id = $1", row["id"])
        await runs.begin(connection, row["id"], row["attempt"])
        assert await runs.finish(connection, row["id"], Outcome(state, **more))


async def test_a_schedule_is_run_by_hand_with_parameters_of_ones_own(office: Office):
    started = await office.post("/schedules/by-hand/run", {"parameters": {"b": 3}, "mode": "full"})

    assert started.status == 202, started.body
    told = started.json
    assert [run["stream"] for run in told["runs"]] == ["shop.orders", "shop.refunds"]
    run = (await office.get(f"/runs/{told['id']}")).json
    assert (run["schedule"], run["trigger"], run["mode"]) == ("by-hand", "api", "full")
    assert run["parameters"] == {"a": 1, "b": 3}
    assert (run["attempts_max"], run["started_by"]) == (3, "key admin")


async def test_the_same_key_starts_a_schedule_once(office: Office):
    headers = {"Idempotency-Key": "k"}
    first = await office.post("/schedules/by-hand/run", headers=headers)
    again = await office.post("/schedules/by-hand/run", headers=headers)
    other = await office.post("/schedules/by-hand/run", {"parameters": {"x": 1}}, headers=headers)

    assert first.json == again.json
    assert other.status == 422
    assert len((await office.get("/schedules/by-hand/history")).json["items"]) == 2


async def test_a_pause_has_a_note_an_actor_and_an_end(office: Office):
    until = datetime.now(UTC) + timedelta(hours=1)
    paused = await office.post(
        "/schedules/nightly/pause", {"note": "moving house", "until": until.isoformat()}
    )

    assert paused.status == 200, paused.body
    told = paused.json
    assert (told["state"], told["state_reason"], told["paused_by"]) == ("paused", "moving house", "key admin")
    assert datetime.fromisoformat(told["paused_until"]) == until
    assert told["next_at"] is None
    assert told["enabled"] is True

    await office.worker.execute(
        "UPDATE schedule SET paused_until = clock_timestamp() - interval '1 s' WHERE state = 'paused'"
    )
    await _relay(office)

    told = (await office.get("/schedules/nightly")).json
    assert (told["state"], told["state_reason"], told["paused_by"]) == ("active", None, None)
    assert told["next_at"] is not None


async def test_a_pause_that_ends_in_the_past_is_refused(office: Office):
    refused = await office.post("/schedules/nightly/pause", {"until": "2020-01-01T00:00:00Z"})

    assert (refused.status, refused.pointers) == (422, ["/until"])
    assert (await office.get("/schedules/nightly")).json["state"] == "active"


async def test_a_wrong_expression_is_told_by_field_position_cause_and_mend_where_a_schedule_is_written(
    office: Office,
):
    refused = await office.ask("PATCH", "/schedules/nightly", json={"cron": "0 25 * * *"})

    (error,) = refused.json["errors"]
    assert {name: error[name] for name in ("pointer", "field", "position", "cause", "mend")} == {
        "pointer": "/cron", "field": "hour", "position": 3, "cause": "25 is outside 0 to 23", "mend": "write 0 to 23",
    }  # fmt: skip


async def test_a_preview_ends_with_the_last_run_that_is_wanted(office: Office):
    window = {"days": ["mon"], "from": "00:00", "to": "24:00"}
    asked = {"interval": "12h", "after": "2026-01-04T00:00:00Z", "max_runs": 2, "windows": [window]}
    told = await office.post("/schedules/preview", asked)

    assert [(each["utc"][8:13], each["marks"]) for each in told.json["next"]] == [
        ("04T12", ["outside_window"]), ("05T00", []), ("05T12", []),
    ]  # fmt: skip


async def test_resume_goes_on_from_now(office: Office):
    await office.post("/schedules/nightly/pause")
    resumed = await office.post("/schedules/nightly/resume")

    assert (resumed.json["state"], resumed.status) == ("active", 200)
    assert datetime.fromisoformat(resumed.json["next_at"]) > datetime.now(UTC)


async def test_disable_and_enable(office: Office):
    disabled = (await office.post("/schedules/nightly/disable", {"note": "for good"})).json
    assert (disabled["state"], disabled["enabled"], disabled["next_at"]) == ("disabled", False, None)
    assert (await office.post("/schedules/nightly/resume")).status == 409
    assert (await office.post("/schedules/nightly/pause")).status == 409

    enabled = (await office.post("/schedules/nightly/enable")).json

    assert (enabled["state"], enabled["enabled"]) == ("active", True)
    assert enabled["next_at"] is not None


async def test_what_does_not_run_is_not_due_when_its_definition_changes(office: Office):
    await office.post("/schedules/nightly/pause")
    for change in ({"cron": "0 3 * * *"}, {"enabled": False}):
        changed = (await office.ask("PATCH", "/schedules/nightly", json=change)).json
        assert (changed["state"], changed["next_at"]) == (
            "disabled" if "enabled" in change else "paused",
            None,
        )


async def test_a_schedule_says_in_words_when_it_starts(office: Office):
    await office.post("/calendars", {"name": "off", "dates": ["2030-12-25"]})
    window = {"days": "MON-FRI", "from": "08:00", "to": "18:00"}
    await office.ask("PATCH", "/schedules/nightly", json={"exclude": ["off"], "windows": [window]})
    chain = {"all_of": ["nightly", "by-hand"], "debounce": "5m"}
    await office.post("/schedules", {"name": "then", "streams": ["shop.orders"], "after": chain})

    told = {each["name"]: each["timing"] for each in (await office.get("/schedules")).json["items"]}

    assert told == {
        "by-hand": None,
        "nightly": "At 02:00, every day, but not on the days of off, only within Monday to Friday 08:00 to 18:00 "
        "(else it is skipped) (Europe/Berlin)",
        "then": "After nightly and by-hand have succeeded, and nothing more for 5m",
    }
    assert (await office.get("/schedules/then/next-runs")).json["description"] == told["then"]


async def test_a_schedule_that_stopped_by_itself_goes_on_when_its_failures_are_reset(office: Office):
    for _ in range(5):
        started = (await office.post("/schedules/by-hand/run")).json
        for run in started["runs"]:
            await _end(office, run["id"], RunState.FAILED, error_kind="http", error_message="500")
    await _relay(office)
    told = (await office.get("/schedules/by-hand")).json
    assert (told["state"], told["consecutive_failures"]) == ("failed", 5)
    assert "5 failures in a row" in told["state_reason"]

    reset = (await office.post("/schedules/by-hand/reset-failures")).json

    assert (reset["state"], reset["consecutive_failures"], reset["state_reason"]) == ("active", 0, None)
    assert reset["counts"]["failed"] == 10


async def test_a_configuration_with_a_schedule_that_is_over_can_be_brought_back_elsewhere(office: Office):
    over = {"cron": "0 2 * * *", "timezone": "Europe/Berlin", "ends_at": "2026-01-01T00:00:00"}
    made = await office.ask("PUT", "/schedules/over", json={"streams": ["shop.orders"], **over})
    exported = (await office.get("/config/export")).json
    await office.post("/tenants", {"name": "elsewhere"})
    sources = [{key: each[key] for key in each if key != "auth"} for each in exported["sources"]]
    elsewhere = {**exported, "tenant": "elsewhere", "endpoints": [], "sources": sources}
    there = {"X-Tenant": "elsewhere"}
    imported = await office.post("/config/import", elsewhere, headers=there)

    assert (made.status, imported.status) == (201, 200), imported.body
    assert (made.json["state"], made.json["state_reason"]) == ("expired", "ends_at")
    assert (await office.get("/schedules/over", headers=there)).json["state"] == "expired"
    assert not (await office.post("/config/plan", elsewhere, headers=there)).json["has_changes"]
    assert (await office.post("/schedules/preview", over)).status == 422


async def test_a_schedule_keeps_who_made_it(office: Office):
    other = await office.key_of("default", "write", "read")
    await other.post("/schedules", {"name": "theirs", "streams": ["shop.orders"]})
    await office.ask("PATCH", "/schedules/theirs", json={"cron": "0 3 * * *"})

    told = {each["name"]: each["created_by"] for each in (await office.get("/schedules")).json["items"]}

    assert told["nightly"] == "key admin"
    assert told["theirs"].startswith("key ")
    assert told["theirs"] != "key admin"


async def test_a_schedule_tells_its_last_run_its_counts_and_its_last_success(office: Office):
    started = (await office.post("/schedules/by-hand/run")).json
    for run, state in zip(started["runs"], (RunState.SUCCEEDED, RunState.PARTIAL), strict=True):
        await _end(office, run["id"], state)
    await _relay(office)

    told = (await office.get("/schedules/by-hand")).json

    assert told["last_run"]["id"] in {run["id"] for run in started["runs"]}
    assert told["last_success_at"] is not None
    assert told["counts"] == {
        "total": 2,
        "succeeded": 1,
        "failed": 0,
        "skipped": 0,
        "partial": 1,
        "cancelled": 0,
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("stream=shop.refunds", ["by-hand"]),
        ("source=shop", ["by-hand", "nightly"]),
        ("source=sho", []),
        ("q=GREAT", ["by-hand"]),
        ("q=night", ["nightly"]),
        ("enabled=false", []),
        ("enabled=true&state=active", ["by-hand", "nightly"]),
    ],
)
async def test_schedules_are_found_by_what_they_are(office: Office, query: str, names: list[str]):
    found = await office.get(f"/schedules?{query}")

    assert [each["name"] for each in found.json["items"]] == names


async def test_the_next_runs_of_a_schedule(office: Office):
    told = (await office.get("/schedules/nightly/next-runs?count=3")).json["next"]

    assert len(told) == 3
    assert all("T02:00:00+0" in each["at"] for each in told)
    assert (await office.get("/schedules/by-hand/next-runs")).json["next"] == []


async def test_verbs_of_a_schedule_that_is_not_there_are_404(office: Office):
    for verb in ("enable", "disable", "pause", "resume", "run", "reset-failures"):
        assert (await office.post(f"/schedules/none/{verb}")).status == 404, verb
    for verb in ("history", "next-runs"):
        assert (await office.get(f"/schedules/none/{verb}")).status == 404, verb
    assert (await office.get("/stats/schedules/none")).status == 404


async def test_runs_are_found_by_schedule_stream_state_trigger_and_time(office: Office):
    started = (await office.post("/schedules/by-hand/run")).json
    lone = (await office.post("/runs", {"stream": "shop.refunds"})).json["id"]
    ids = [run["id"] for run in started["runs"]]

    async def found(query: str) -> set[str]:
        return {run["id"] for run in (await office.get(f"/runs?{query}")).json["items"]}

    assert await found("schedule=by-hand") == set(ids)
    assert await found("stream=shop.refunds") == {ids[1], lone}
    assert await found("source=shop&state=queued") == {*ids, lone}
    assert await found("trigger=cli") == set()
    assert await found("since=2020-01-01") == {*ids, lone}
    assert await found("until=2020-01-01") == set()


async def test_a_report_tells_all_of_a_run(office: Office):
    run_id = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]

    report = await office.get(f"/runs/{run_id}/report")

    assert report.status == 200
    told = report.json
    assert told["run"]["id"] == run_id
    assert (told["pages"], told["page_count"], told["rejected"], told["rejected_count"]) == ([], 0, [], 0)


async def test_statistics_of_tenant_and_schedule(office: Office):
    started = (await office.post("/schedules/by-hand/run")).json
    for run, state in zip(started["runs"], (RunState.SUCCEEDED, RunState.FAILED), strict=True):
        await _end(office, run["id"], state)
    await office.post("/runs", {"stream": "shop.orders"})
    await _relay(office)

    tenant = (await office.get("/stats")).json
    schedule = (await office.get("/stats/schedules/by-hand")).json

    assert (tenant["runs"]["total"], tenant["runs"]["queued"]) == (3, 1)
    assert (tenant["success_rate"], tenant["failure_rate"]) == (0.5, 0.5)
    assert tenant["schedules"] == {
        "total": 2, "active": 2, "paused": 0, "disabled": 0, "failed": 0, "expired": 0, "error": 0,
    }  # fmt: skip
    assert schedule["runs"]["total"] == 2
    assert schedule["durations"]["p95_s"] >= 0
    assert schedule["consecutive_failures"] == 1
    assert schedule["ever"]["failed"] == 1
    assert schedule["last_success_at"] is not None
    empty = (await office.get("/stats?until=2020-01-01&since=2019-01-01")).json
    assert (empty["runs"]["total"], empty["success_rate"], empty["durations"]["avg_s"]) == (0, None, None)


async def test_a_run_again_keeps_what_the_first_one_was_under(office: Office):
    run_id = (await office.post("/schedules/by-hand/run")).json["id"]
    await office.post(f"/runs/{run_id}/cancel")

    again = (await office.post(f"/runs/{run_id}/rerun")).json["id"]

    run = (await office.get(f"/runs/{again}")).json
    assert (run["generation"], run["attempts_max"], run["parameters"]) == (2, 3, {"a": 1, "b": 2})
    assert (await office.get(f"/runs/{run_id}")).json["ended_by"] == "key admin"


async def test_the_tenants_limit_of_runs_is_set_and_taken_away(office: Office):
    changed = await office.ask("PATCH", "/tenants/default", json={"max_running": 1})
    assert (changed.status, changed.json["max_running"]) == (200, 1), changed.body
    await office.post("/schedules/by-hand/run")
    await _relay(office)

    waiting = [run["waits_for"] for run in (await office.get("/runs")).json["items"]]

    assert sorted(waiting) == ["fetcher", "tenant_limit"]
    taken = await office.ask("PATCH", "/tenants/default", json={"max_running": None})
    assert (taken.json["max_running"], taken.json["minimum_interval_s"]) == (None, 60)
    assert (await office.ask("PATCH", "/tenants/none", json={"max_running": 1})).status == 404
