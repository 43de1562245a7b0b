"""Runs as the fetcher sees them: the parameters that fill their requests, and pages that are tried again."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.support.family_api import POSTS, USERS, FamilyApi, manifest
from tests.support.spine import Spine, open_spine, working

from headwater.model.run_policy import Retry
from headwater.store import runs
from headwater.store.runs import NewRun

_number = iter(range(10**6))
SEARCH = {
    "name": "search",
    "parameters": {"region": "eu", "limits": {"most": 5}},
    "request": {
        "method": "POST",
        "path": "search",
        "params": {"region": "{parameters.region}", "since": "from-{parameters.day}"},
        "headers": {"X-Tag": "{parameters.region}"},
        "json": {"most": "{parameters.limits.most}", "days": "{parameters.days}"},
    },
    "records": {"path": "items"},
}


async def run_once(spine: Spine, stream: str, **parameters: Any) -> Any:
    made = NewRun(
        "default", "blog", stream, datetime.now(UTC), "api", key=str(next(_number)), parameters=parameters
    )
    async with spine.worker.transaction() as connection:
        run_id = await runs.insert(connection, made)
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def test_the_parameters_of_a_run_fill_its_requests_and_the_streams_are_the_defaults(
    database: str,
) -> None:
    stream = {**SEARCH, "destination": {"table": "found", "mode": "append"}}
    async with FamilyApi() as api, open_spine(database) as spine:
        await spine.apply(json.dumps(manifest(api.url, stream)))
        async with working(spine):
            first = await run_once(spine, "search", day="2026-01-01", days=[1, 2], region="a&b=ü")
            second = await run_once(spine, "search", day="x", days={"n": 1})

        rows = await spine.rows_of("found", "query, body, tag")
    assert (first["state"], second["state"]) == ("failed", "succeeded")  # a header carries no ü
    assert "no header can carry" in first["error_message"]
    assert [row["query"] for row in rows] == [{"region": "eu", "since": "from-x"}]
    assert [row["body"] for row in rows] == [{"most": 5, "days": {"n": 1}}]
    assert [row["tag"] for row in rows] == ["eu"]


async def test_a_parameter_that_nobody_gave_fails_the_run_and_says_how_to_give_it(database: str) -> None:
    async with FamilyApi() as api, open_spine(database) as spine:
        await spine.apply(json.dumps(manifest(api.url, SEARCH)))
        async with working(spine):
            run = await run_once(spine, "search", days=[1])
            leak = await run_once(spine, "search", days=[1], day="${secret:source/blog/auth/token}")

    assert (run["state"], run["error_kind"]) == ("failed", "config")
    assert "parameters.day" in run["error_message"]
    assert "parameters: {day: …}" in run["error_message"]
    assert leak["state"] == "failed"
    assert "reference to a secret" in leak["error_message"]
    assert api.asked == []


async def test_parameters_reach_the_pages_of_a_walk_and_those_of_its_parents(database: str) -> None:
    users = {**USERS, "request": {"path": "users", "params": {"team": "{parameters.team}"}}}
    posts = {**POSTS, "request": {**POSTS["request"], "params": {"since": "{parameters.since}"}}}  # type: ignore[dict-item]
    async with FamilyApi(users=4, posts=4) as api, open_spine(database) as spine:
        await spine.apply(json.dumps(manifest(api.url, users, posts)))
        async with working(spine):
            run = await run_once(spine, "posts", team="red/1", since="2024-01-03")

        rows = await spine.rows_of("posts", "parent_id, id")
    assert (run["state"], run["error_message"]) == ("succeeded", None)
    assert len(rows) == 4 * 2
    asked_users = [path for path in api.asked if path.startswith("/users?")]
    assert len(asked_users) == 2
    assert all("team=red/1" in path or "team=red%2F1" in path for path in asked_users)
    assert all("since=2024-01-03" in path for path in api.asked if "/posts" in path)


async def test_a_run_whose_page_is_tried_again_says_so_and_why(database: str) -> None:
    async with FamilyApi() as api, open_spine(database) as spine:
        api.status["/users"] = 500
        stream = {**USERS, "destination": {"table": "users"}}
        await spine.apply(json.dumps(manifest(api.url, stream)))
        async with working(spine):
            made = NewRun("default", "blog", "users", datetime.now(UTC), "api", key="again", timeout_s=3600)
            async with spine.worker.transaction() as connection:
                run_id = await runs.insert(connection, made)
            waiting = await spine.until(
                "SELECT * FROM run WHERE id = $1 AND waits_for = 'page_retry'", run_id
            )
            await spine.worker.execute("UPDATE run SET deadline_at = clock_timestamp() WHERE id = $1", run_id)
            ended = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

    assert (waiting["state"], waiting["error_kind"]) == ("running", "http_500")
    assert waiting["parked_until"] is not None
    assert "500" in waiting["error_message"]
    assert (ended["state"], ended["error_kind"]) == ("failed", "deadline")
    assert "what it met last: http_500" in ended["error_message"]


async def test_a_page_is_tried_again_no_longer_than_its_limit_says(database: str) -> None:
    async with FamilyApi() as api, open_spine(database) as spine:
        api.status["/users"] = 500
        stream = {**USERS, "destination": {"table": "users"}, "limits": {"request_seconds": 1}}
        await spine.apply(json.dumps(manifest(api.url, stream)))
        async with working(spine):
            run = await run_once(spine, "users")

    assert (run["state"], run["error_kind"]) == ("failed", "http_500")
    assert len(api.asked) == 2


async def test_a_first_page_that_fails_is_tried_again_when_the_runs_own_retries_say(database: str) -> None:
    async with FamilyApi() as api, open_spine(database) as spine:
        api.status["/users"] = 500
        await spine.apply(json.dumps(manifest(api.url, {**USERS, "destination": {"table": "users"}})))
        made = NewRun(
            "default",
            "blog",
            "users",
            datetime.now(UTC),
            "api",
            key="own",
            attempts_max=3,
            retry=Retry(delay_s=0.05),
        )
        async with spine.worker.transaction() as connection:
            run_id = await runs.insert(connection, made)
        async with working(spine):
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

    assert (run["state"], run["error_kind"], run["attempt"]) == ("failed", "http_500", 3)
    assert [each["class"] for each in run["failures"]] == ["http_500", "http_500"]
    assert len(api.asked) == 3
