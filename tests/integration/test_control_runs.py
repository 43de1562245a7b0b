"""Runs, streams and schedules through the API."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from tests.support.office import MANIFEST, Office, open_office

from headwater.model.ids import time_of
from headwater.model.run import RunState
from headwater.store import cursors, runs
from headwater.store.runs import Outcome


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        applied = await opened.post(
            "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
        )
        assert applied.status == 200
        yield opened


async def finish(office: Office, run: str, state: RunState = RunState.SUCCEEDED) -> None:
    async with office.worker.transaction() as connection:
        assert await runs.finish(connection, UUID(run), Outcome(state))


async def test_a_run_that_is_started_is_queued_with_all_that_was_asked(office: Office) -> None:
    asked = {
        "stream": "shop.orders",
        "mode": "full",
        "force": False,
        "parameters": {"day": "2026-01-01", "n": 10**30},
    }

    started = await office.post("/runs", asked)

    assert started.status == 202
    assert started.headers["Location"] == f"/api/v1/runs/{started.json['id']}"
    run = (await office.get(f"/runs/{started.json['id']}")).json
    assert {name: run[name] for name in asked} == asked
    assert run["state"] == "queued"
    assert run["trigger"] == "api"
    assert run["started_by"] == "key admin"
    assert run["attempt"] == 1
    assert run["error"] is None
    assert run["counts"] == dict.fromkeys(  # fmt: skip
        (
            "pages",
            "requests",
            "received",
            "inserted",
            "updated",
            "unchanged",
            "rejected",
            "deleted",
            "late",
            "parents",
            "skipped",
        ),
        0,
    )
    assert run["timings"]["created_at"] is not None
    assert run["timings"]["ran_s"] is None


async def test_what_would_have_no_effect_is_not_accepted(office: Office) -> None:
    for place, value in {"window/from": 1, "force": True, "parameters": {"a": "x" * 70_000}}.items():
        name, _, inner = place.partition("/")
        answered = await office.post(
            "/runs", {"stream": "shop.orders", name: {inner: value} if inner else value}
        )
        assert (answered.status, answered.pointers) == (422, [f"/{place}"])


async def test_incremental_is_refused_where_no_cursor_is_defined(office: Office) -> None:
    refused = await office.post("/runs", {"stream": "shop.refunds", "mode": "incremental"})

    assert (refused.status, refused.pointers) == (422, ["/mode"])


async def test_a_full_run_may_be_forced(office: Office) -> None:
    started = await office.post("/runs", {"stream": "shop.orders", "mode": "full", "force": True})

    run = (await office.get(f"/runs/{started.json['id']}")).json
    assert (started.status, run["mode"], run["force"]) == (202, "full", True)


async def test_the_same_idempotency_key_gives_the_same_run_also_at_once(office: Office) -> None:
    asked = {"stream": "shop.orders", "parameters": {"a": 1}}
    headers = {"Idempotency-Key": "order-4711"}

    answers = await asyncio.gather(*(office.post("/runs", asked, headers=headers) for _ in range(6)))

    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len((await office.get("/runs")).json["items"]) == 1
    other = await office.post("/runs", asked, headers={"Idempotency-Key": "order-4712"})
    assert other.json["id"] != answers[0].json["id"]


async def test_an_idempotency_key_with_another_body_is_422(office: Office) -> None:
    headers = {"Idempotency-Key": "once"}
    await office.post("/runs", {"stream": "shop.orders"}, headers=headers)

    answered = await office.post("/runs", {"stream": "shop.refunds"}, headers=headers)

    assert answered.status == 422
    assert answered.json["errors"][0]["header"] == "Idempotency-Key"
    assert len((await office.get("/runs")).json["items"]) == 1


async def test_an_idempotency_key_is_the_tenants_own(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = office.with_key(office.key, **{"X-Tenant": "acme"})
    await acme.post("/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"})
    headers = {"Idempotency-Key": "once"}

    mine = await office.post("/runs", {"stream": "shop.orders"}, headers=headers)
    theirs = await acme.post("/runs", {"stream": "shop.refunds"}, headers=headers)

    assert (mine.status, theirs.status) == (202, 202)
    assert mine.json["id"] != theirs.json["id"]


async def test_a_malformed_idempotency_key_is_400(office: Office) -> None:
    for key in ("", "a b", "x" * 256):
        answered = await office.post("/runs", {"stream": "shop.orders"}, headers={"Idempotency-Key": key})
        assert answered.status == 400, key


async def test_a_request_that_failed_leaves_its_idempotency_key_free(office: Office) -> None:
    headers = {"Idempotency-Key": "once"}
    assert (await office.post("/runs", {"stream": "shop.none"}, headers=headers)).status == 422

    assert (await office.post("/runs", {"stream": "shop.orders"}, headers=headers)).status == 202


async def test_a_runs_id_carries_its_due_time(office: Office) -> None:
    run_id = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]

    due_at = (await office.get(f"/runs/{run_id}")).json["due_at"]

    assert time_of(UUID(run_id)).isoformat() == due_at


async def test_runs_are_filtered_by_stream_state_and_time(office: Office) -> None:
    first = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]
    second = (await office.post("/runs", {"stream": "shop.refunds"})).json["id"]
    await finish(office, first, RunState.FAILED)

    async def ids(query: str) -> list[str]:
        return [run["id"] for run in (await office.get(f"/runs?{query}")).json["items"]]

    assert await ids("stream=shop.orders") == [first]
    assert await ids("state=queued") == [second]
    assert await ids("state=failed") == [first]
    assert await ids("schedule=nightly") == []
    assert set(await ids("since=2020-01-01T00:00:00Z")) == {first, second}
    assert await ids("since=2999-01-01T00:00:00 02:00") == []


async def test_a_cancelled_run_is_final_and_cancelling_again_changes_nothing(office: Office) -> None:
    run = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]

    cancelled = await office.post(f"/runs/{run}/cancel")
    again = await office.post(f"/runs/{run}/cancel")

    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert (again.status, again.json["timings"]) == (200, cancelled.json["timings"])
    assert await office.worker.fetchval("SELECT count(*) FROM outbox WHERE type = 'run.finished'") == 1


async def test_a_run_that_has_ended_cannot_be_cancelled(office: Office) -> None:
    run = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]
    await finish(office, run)

    assert (await office.post(f"/runs/{run}/cancel")).status == 409


async def test_a_rerun_keeps_the_boundary_and_raises_the_generation(office: Office) -> None:
    run = (await office.post("/runs", {"stream": "shop.orders", "parameters": {"a": 1}})).json["id"]
    assert (await office.post(f"/runs/{run}/rerun")).status == 409
    await finish(office, run, RunState.FAILED)

    answered = await office.post(f"/runs/{run}/rerun")

    first = (await office.get(f"/runs/{run}")).json
    second = (await office.get(f"/runs/{answered.json['id']}")).json
    assert answered.status == 202
    assert (second["due_at"], second["parameters"]) == (first["due_at"], first["parameters"])
    assert (first["generation"], second["generation"]) == (1, 2)
    await finish(office, second["id"])
    third = (await office.post(f"/runs/{second['id']}/rerun")).json["id"]
    assert (await office.get(f"/runs/{third}")).json["generation"] == 3


async def test_a_rerun_with_a_key_is_made_once(office: Office) -> None:
    run = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]
    await finish(office, run)
    headers = {"Idempotency-Key": "again"}

    answers = [await office.post(f"/runs/{run}/rerun", headers=headers) for _ in range(2)]

    assert len({answer.json["id"] for answer in answers}) == 1
    assert len((await office.get("/runs")).json["items"]) == 2


async def test_the_pages_of_a_run_come_in_order_and_in_parts(office: Office) -> None:
    run = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]
    for number in range(1, 6):
        await office.worker.execute(
            "INSERT INTO page (run_at, run_id, attempt, walk, number, tenant, token_digest, status, received)"
            " VALUES ($1, $2, 1, 0, $3, 'default', $4, 200, 10)",
            time_of(UUID(run)), UUID(run), number, bytes([number]),
        )  # fmt: skip

    first = (await office.get(f"/runs/{run}/pages?limit=3")).json
    rest = (await office.get(f"/runs/{run}/pages?limit=3&cursor={first['next']}")).json

    assert [page["number"] for page in first["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert rest["next"] is None


async def test_sources_and_streams_show_their_definitions_without_secrets(office: Office) -> None:
    source = (await office.get("/sources/shop")).json
    streams = (await office.get("/sources/shop/streams")).json["items"]
    one = await office.get("/sources/shop/streams/orders")

    assert source["definition"]["auth"]["token"] == "${secret:source/shop/auth/token}"
    assert [stream["name"] for stream in streams] == ["shop.orders", "shop.refunds"]
    assert one.json == streams[0]
    assert one.json["definition"]["destination"]["table"] == "orders"
    assert b"very-secret-token" not in (await office.get("/sources")).body


async def test_a_cursor_is_shown_set_and_reset(office: Office) -> None:
    path = "/sources/shop/streams/orders/cursor"
    empty = await office.get(path)

    put = await office.ask("PUT", path, json={"value": "2026-01-01T00:00:00Z"})
    shown = await office.get(path)
    gone = await office.ask("DELETE", path)

    assert (empty.json["value"], empty.headers["ETag"]) == (None, '"0"')
    assert (put.status, put.json["value"]) == (200, "2026-01-01T00:00:00Z")
    assert (shown.json, shown.headers["ETag"]) == (put.json, '"1"')
    assert gone.status == 204
    assert (await office.get(path)).json["value"] is None
    assert (await office.ask("PUT", path, json={"value": None})).status == 422
    assert (await office.get("/sources/shop/streams/none/cursor")).status == 404


async def test_a_cursor_is_shown_while_the_next_run_is_to_go_on_where_a_limit_cut(office: Office) -> None:
    resume = {"token": {"place": {"cursor": "b"}}, "highest": 7, "stream_version": "1"}
    async with office.worker.transaction() as connection:
        await cursors.keep_resume(connection, ("default", "shop", "orders"), resume, 0)

    shown = await office.get("/sources/shop/streams/orders/cursor")

    assert (shown.status, shown.json["value"], shown.json["gaps"]) == (200, None, [])


async def test_a_cursor_that_was_changed_meanwhile_is_not_overwritten(office: Office) -> None:
    path = "/sources/shop/streams/orders/cursor"
    await office.ask("PUT", path, json={"value": 1})

    tries = await asyncio.gather(
        *(office.ask("PUT", path, json={"value": n}, headers={"If-Match": '"1"'}) for n in (2, 3, 4))
    )

    assert sorted(answer.status for answer in tries) == [200, 412, 412]
    assert (await office.ask("DELETE", path, headers={"If-Match": '"1"'})).status == 412
    assert (await office.ask("DELETE", path, headers={"If-Match": "*"})).status == 204


async def test_a_cursor_that_a_person_reset_is_not_moved_by_a_run_that_read_the_old_one(
    office: Office,
) -> None:
    path, of = "/sources/shop/streams/orders/cursor", ("default", "shop", "orders")
    await office.ask("PUT", path, json={"value": 5})
    version = (await office.ask("GET", path)).json["version"]
    run = UUID((await office.post("/runs", {"stream": "shop.orders"})).json["id"])

    await office.ask("DELETE", path)

    async with office.worker.transaction() as connection:
        assert not await cursors.move(connection, of, 9, run, version)
        assert await cursors.move(connection, of, 9, run, version + 1)


async def test_schedules_tell_when_they_are_due_next_and_of_their_last_run(office: Office) -> None:
    await office.worker.execute("UPDATE schedule SET last_due_at = '2026-01-05T01:00:00Z'")
    async with office.worker.transaction() as connection:
        from datetime import UTC, datetime

        from headwater.store.runs import NewRun

        new = NewRun(
            "default", "shop", "orders", datetime(2026, 1, 5, 1, tzinfo=UTC), "schedule", schedule="nightly"
        )
        run = await runs.insert(connection, new)

    (schedule,) = (await office.get("/schedules?state=active")).json["items"]

    assert schedule["name"] == "nightly"
    assert schedule["streams"] == ["shop.orders"]
    assert schedule["next_at"] is not None
    assert "02:00" in schedule["timing"]
    assert schedule["last_run"]["id"] == str(run)
    assert (await office.get("/schedules?state=paused")).json["items"] == []


async def test_a_preview_tells_the_next_times_with_offset_across_a_change_of_the_clock(
    office: Office,
) -> None:
    asked = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "after": "2026-03-27T12:00:00Z", "count": 3}

    told = (await office.post("/schedules/preview", asked)).json

    assert [each["at"] for each in told["next"]] == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert told["next"][1] == {
        "at": "2026-03-29T03:00:00+02:00",
        "utc": "2026-03-29T01:00:00+00:00",
        "marks": ["moved"],
        "begins_at": None,
    }
    assert "Europe/Berlin" in told["description"]


async def test_a_preview_only_warns_about_the_tenants_minimum(office: Office) -> None:
    told = await office.post("/schedules/preview", {"interval": "10s", "count": 1})

    assert told.status == 200
    assert any("minimum is 1m" in warning for warning in told.json["warnings"])


async def test_a_wrong_specification_is_told_with_field_position_cause_and_mend(office: Office) -> None:
    wrong = {
        "/cron": {"cron": "0 25 * * *"},
        "/crons/1": {"crons": ["0 1 * * *", "0 25 * * *"]},
        "/interval": {"interval": "1.5h"},
        "/timezone": {"cron": "0 1 * * *", "timezone": "Mars/Olympus"},
        "/preset": {"preset": "dayly_2am"},
        "/count": {"cron": "0 1 * * *", "count": 0},
        "/after": {"cron": "0 1 * * *", "after": "2026-01-01T00:00:00"},
        "/once": {"once": "2026-01-01T00:00:00"},
        "/starts_at": {"cron": "0 1 * * *", "starts_at": 1_800_000_000},
        "/interval/every": {"interval": {"every": 90}},
        "/interval/anchor": {"interval": {"every": "90m", "anchor": "2026-01-01T00:00:00"}},
    }
    for pointer, asked in wrong.items():
        answered = await office.post("/schedules/preview", asked)
        assert answered.status == 422, asked
        assert answered.pointers == [pointer], asked
        assert answered.json["cause"], asked
        assert answered.json["mend"], asked
        assert "position" in answered.json["errors"][0], asked
    told = (await office.post("/schedules/preview", {"cron": "0 25 * * *"})).json
    assert told["field"] == "hour"
    assert told["position"] == 3
    assert told["cause"]
    assert told["mend"]
    assert (
        await office.post("/schedules/preview", {"cron": "0 1 * * *", "after": "0001-01-01T00:00:00+14:00"})
    ).status == 422


async def test_a_key_gives_its_run_also_when_the_stream_has_gone_since(office: Office) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await office.post("/runs", {"stream": "shop.refunds"}, headers=headers)
    without = MANIFEST.replace("- name: refunds", "- name: returns")
    await office.post("/config/import", data=without, headers={"Content-Type": "application/yaml"})

    again = await office.post("/runs", {"stream": "shop.refunds"}, headers=headers)

    assert (again.status, again.json) == (202, first.json)
    assert (await office.post("/runs", {"stream": "shop.refunds"})).status == 422


async def test_the_cursors_of_parents_are_listed_and_a_reset_forgets_them(office: Office) -> None:
    path = "/sources/shop/streams/orders/cursor"
    for number in range(3):
        await office.worker.execute(
            "INSERT INTO parent_cursor (tenant, source, stream, parent_key, parent, value) "
            "VALUES ('default', 'shop', 'orders', $1, $2, $3)",
            bytes([number]) * 32,
            {"id": number},
            f"2024-01-0{number + 1}",
        )

    shown = (await office.get(path)).json
    first = (await office.get(f"{path}/parents?limit=2")).json
    rest = (await office.get(f"{path}/parents?limit=2&cursor={first['next']}")).json
    wrong = await office.get(f"{path}/parents?cursor=nonsense")
    await office.ask("DELETE", path)

    assert shown["parents"] == 3
    assert [(each["parent"], each["value"]) for each in first["items"] + rest["items"]] == [
        ({"id": number}, f"2024-01-0{number + 1}") for number in range(3)
    ]
    assert (rest["next"], wrong.status) == (None, 422)
    assert (await office.get(path)).json["parents"] == 0
