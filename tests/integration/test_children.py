"""Streams that are asked for once for each record of another stream."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.family_api import COMMENTS, PAGES, POSTS, USERS, FamilyApi, manifest
from tests.support.spine import Spine, open_spine, working

from headwater.model.run import RunState
from headwater.store import cursors, runs
from headwater.store.runs import NewRun, Outcome

OF = ("default", "blog", "posts")
_number = iter(range(10**6))


def posts(**parts: Any) -> dict[str, Any]:
    """The stream of posts with some parts changed; those of `parent` are merged."""
    parent = POSTS["parent"] | parts.pop("parent", {})  # type: ignore[operator]
    return POSTS | {"parent": parent} | parts


async def apply(spine: Spine, api: FamilyApi, *streams: dict[str, Any]) -> None:
    await spine.apply(json.dumps(manifest(api.url, *streams)))


async def started(spine: Spine, stream: str = "posts", mode: str = "auto", **parts: Any) -> Any:
    made = NewRun(
        "default", "blog", stream, datetime.now(UTC), "api", key=str(next(_number)), mode=mode, **parts
    )
    async with spine.worker.transaction() as connection:
        return await runs.insert(connection, made)


async def finished(spine: Spine, run_id: Any) -> Any:
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def run_once(spine: Spine, stream: str = "posts", mode: str = "auto", **parts: Any) -> Any:
    return await finished(spine, await started(spine, stream, mode, **parts))


async def pairs(spine: Spine) -> list[tuple[int, int]]:
    return [(row["parent_id"], row["id"]) for row in await spine.rows_of("posts", "parent_id, id")]


def every(api: FamilyApi) -> list[tuple[int, int]]:
    return sorted((int(user), post["id"]) for user, found in api.posts.items() for post in found)


async def test_each_record_of_the_parent_is_a_walk_of_its_own_and_the_parent_is_not_loaded(
    database: str,
) -> None:
    async with FamilyApi(users=7, posts=4) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts())
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["stop_reason"], run["warnings"]) == ("succeeded", "cursor_end", [])
        assert await pairs(spine) == every(api)
        # three pages of users, two of posts for each of them
        assert (run["pages"], run["requests"], run["received"]) == (17, 17, 28)
        assert (run["inserted"], run["parents"], run["skipped"]) == (28, 7, 0)
        assert await spine.row("SELECT 1 FROM pg_tables WHERE tablename = 'users'") is None


async def test_a_parent_that_is_gone_is_skipped_and_counted(database: str) -> None:
    async with FamilyApi(users=5) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts())
        api.status = {"/users/2/posts": 404, "/users/4/posts": 410}
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["skipped"], run["warnings"]) == ("succeeded", 2, ["parents_skipped"])
        assert {user for user, _ in await pairs(spine)} == {1, 3, 5}


async def test_a_parent_that_is_gone_is_skipped_where_the_same_status_ends_the_walks_of_others(
    database: str,
) -> None:
    async with FamilyApi(users=4, posts=2) as api, open_spine(database) as spine:
        api.status["/users/3/posts"] = 404
        await apply(spine, api, USERS, posts(pagination=PAGES | {"stop_on_status": 404}))
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["skipped"], run["warnings"]) == ("succeeded", 1, ["parents_skipped"])
        assert {parent for parent, _ in await pairs(spine)} == {1, 2, 4}


async def test_when_not_one_parent_is_there_the_run_is_not_called_complete_and_nothing_is_replaced(
    database: str,
) -> None:
    destination = {"table": "posts", "mode": "replace"}
    async with FamilyApi(users=2) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(destination=destination))
        async with working(spine):
            await run_once(spine)
            api.status = {"/users/1/posts": 404, "/users/2/posts": 404}
            run = await run_once(spine)

        assert (run["state"], run["skipped"]) == ("partial", 2)
        assert run["warnings"] == ["all_parents_skipped", "parents_skipped", "replacement_held_back"]
        assert await pairs(spine) == every(api)


async def test_an_error_of_one_child_fails_the_run_and_the_next_attempt_is_whole(database: str) -> None:
    async with FamilyApi(users=5) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(destination={"table": "posts"}))
        api.status = {"/users/3/posts": 403}
        async with working(spine):
            failed = await run_once(spine)
            api.status = {}
            whole = await run_once(spine)

        assert (failed["state"], failed["error_kind"]) == ("failed", "http_403")
        assert whole["state"] == "succeeded"
        assert await pairs(spine) == every(api)


async def test_an_error_of_one_child_says_whose_it_is_and_how_such_parents_are_passed_over(
    database: str,
) -> None:
    async with FamilyApi(users=3) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts())
        api.status = {"/users/3/posts": 403}
        async with working(spine):
            failed = await run_once(spine)

        assert (failed["state"], failed["error_kind"]) == ("failed", "http_403")
        assert "(asked for the child of users with id=3)" in failed["error_message"]
        assert "parent.skip_on_status: [403, 404, 410] passes such parents over" in failed["error_message"]


async def test_a_parent_that_is_refused_is_passed_over_where_that_is_wanted_and_its_rows_are_not_taken_for_deleted(
    database: str,
) -> None:
    destination = POSTS["destination"] | {"delete_missing": 1.0}  # type: ignore[operator]
    async with FamilyApi(users=3) as api, open_spine(database) as spine:
        parent = {"skip_on_status": [403, 404, 410]}
        await apply(spine, api, USERS, posts(parent=parent, destination=destination))
        async with working(spine):
            await run_once(spine)
            before = every(api)
            api.status = {"/users/2/posts": 403}
            api.posts["1"].append({"id": 199, "title": "new", "at": "2024-02-01T00:00:00Z"})
            refused = await run_once(spine)
            rows = await pairs(spine)
            api.status = {"/users/2/posts": 404}
            gone = await run_once(spine)

        assert (refused["state"], refused["skipped"], refused["deleted"]) == ("succeeded", 1, 0)
        assert refused["warnings"] == ["deletions_held_back", "parents_refused", "parents_skipped"]
        assert rows == sorted([*before, (1, 199)])
        assert (gone["state"], gone["deleted"], gone["warnings"]) == ("succeeded", 4, ["parents_skipped"])
        assert {user for user, _ in await pairs(spine)} == {1, 3}


async def test_a_replacement_waits_where_a_parent_was_refused_and_goes_through_where_it_is_gone(
    database: str,
) -> None:
    async with FamilyApi(users=3) as api, open_spine(database) as spine:
        parent = {"skip_on_status": [403, 404, 410]}
        destination = {"table": "posts", "mode": "replace"}
        await apply(spine, api, USERS, posts(parent=parent, destination=destination))
        async with working(spine):
            await run_once(spine)
            before = every(api)
            api.status = {"/users/2/posts": 403}
            refused = await run_once(spine)
            rows = await pairs(spine)
            api.status = {"/users/2/posts": 404}
            gone = await run_once(spine)

        assert (refused["state"], refused["skipped"]) == ("partial", 1)
        assert refused["warnings"] == ["parents_refused", "parents_skipped", "replacement_held_back"]
        assert rows == before
        assert (gone["state"], gone["warnings"]) == ("succeeded", ["parents_skipped"])
        assert {user for user, _ in await pairs(spine)} == {1, 3}


async def test_no_more_walks_than_wanted_are_under_way_at_once(database: str) -> None:
    met = asyncio.Barrier(2)

    async def in_pairs(path: str) -> None:
        if path.endswith("/posts"):
            async with asyncio.timeout(20):
                await met.wait()  # passes only when two are there at once

    async with FamilyApi(users=6, posts=2) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(parent={"parallel": 2}))
        api.before = in_pairs
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["parents"], api.most) == ("succeeded", 6, 2)


async def test_a_parent_that_comes_twice_is_asked_for_once(database: str) -> None:
    async with FamilyApi(users=5) as api, open_spine(database) as spine:
        api.users.append(dict(api.users[0]))
        api.users.insert(1, dict(api.users[0]))
        await apply(spine, api, USERS, posts())
        async with working(spine):
            run = await run_once(spine)

        asked = [path for path in api.asked if path.startswith("/users/1/posts")]
        assert (run["parents"], len(asked)) == (5, 2)  # of two pages
        assert await pairs(spine) == every(api)


@pytest.mark.parametrize("wanted", [None, "id > `0`"])
async def test_a_run_takes_so_many_parents_and_says_that_there_are_more(
    database: str, wanted: str | None
) -> None:
    async with FamilyApi(users=9) as api, open_spine(database) as spine:
        parent = USERS | {"records": {"path": "items", "filter": wanted}}
        await apply(spine, api, parent, posts(parent={"max_parents": 2}))
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["stop_reason"], run["warnings"]) == ("partial", "limit", ["limit_reached"])
        taken = {user for user, _ in await pairs(spine)}
        assert len(taken) == run["parents"] == 2
        assert wanted is not None or taken == {1, 2}


async def test_a_cancelled_run_begins_no_more_walks_and_takes_no_more_rows(database: str) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(path: str) -> None:
        if path == "/users/2/posts":
            reached.set()
            async with asyncio.timeout(20):
                await go_on.wait()

    async with FamilyApi(users=9) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(parent={"parallel": 1}))
        api.before = hold
        async with working(spine):
            run_id = await started(spine)
            async with asyncio.timeout(20):
                await reached.wait()
            async with spine.worker.transaction() as connection:
                assert await runs.finish(connection, run_id, Outcome(RunState.CANCELLED))
            go_on.set()
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND late > 0", run_id)
            after = await run_once(spine, mode="dry_run")

        assert (run["state"], after["state"]) == ("cancelled", "succeeded")
        assert {user for user, _ in await pairs(spine)} == {1}


async def test_each_parent_has_a_cursor_of_its_own_that_a_reset_forgets(database: str) -> None:
    incremental = {"field": "at", "param": "since"}
    async with FamilyApi(users=3, posts=2) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(incremental=incremental))
        async with working(spine):
            await run_once(spine)
            api.posts["2"].append({"id": 290, "title": "new", "at": "2024-02-01T00:00:00Z"})
            await run_once(spine)
            api.asked.clear()
            await run_once(spine)
            assert sorted(path for path in api.asked if "posts" in path) == [
                "/users/1/posts?since=2024-01-02T00%3A00%3A00Z",
                "/users/2/posts?since=2024-02-01T00%3A00%3A00Z",
                "/users/3/posts?since=2024-01-02T00%3A00%3A00Z",
            ]
            async with spine.worker.transaction() as connection:
                await cursors.reset(connection, *OF)
            api.asked.clear()
            again = await run_once(spine)

        assert not any("since" in path for path in api.asked)
        assert (again["inserted"], again["unchanged"]) == (0, 7)


async def test_the_cursor_of_a_parent_moves_only_when_its_walk_saw_everything(database: str) -> None:
    incremental, limits = {"field": "at", "param": "since"}, {"max_pages": 1}
    async with FamilyApi(users=2, posts=2) as api, open_spine(database) as spine:
        api.posts["2"] += [
            {"id": 200 + n, "title": "p", "at": f"2024-01-0{n}T00:00:00Z"} for n in range(3, 9)
        ]
        await apply(spine, api, USERS, posts(incremental=incremental, limits=limits))
        async with working(spine):
            cut = await run_once(spine)
            kept = await spine.fetch("SELECT parent, value, resume IS NOT NULL AS resumes FROM parent_cursor")
            while (await run_once(spine))["state"] == "partial":
                pass

        assert (cut["state"], cut["stop_reason"]) == ("partial", "limit")
        assert sorted((row["parent"]["id"], row["value"], row["resumes"]) for row in kept) == [
            (1, "2024-01-02T00:00:00Z", False),
            (2, None, True),
        ]
        assert await pairs(spine) == every(api)


async def test_a_parent_whose_walk_brought_less_than_there_is_is_asked_for_again(database: str) -> None:
    pages = {"type": "offset", "size": 3, "total": "total"}
    async with FamilyApi(users=2, posts=5) as api, open_spine(database) as spine:
        api.posts["1"].reverse()
        api.holes.add("3")
        await apply(spine, api, USERS, posts(pagination=pages, incremental={"field": "at", "param": "since"}))
        async with working(spine):
            short = await run_once(spine)
            kept = [row["parent"]["id"] for row in await spine.fetch("SELECT parent FROM parent_cursor")]
            api.holes.clear()
            again = await run_once(spine)

        assert (short["state"], short["warnings"]) == ("partial", ["total_not_met"])
        assert kept == []
        assert again["state"] == "succeeded"
        assert await pairs(spine) == every(api)


async def test_the_walk_of_a_parent_that_goes_on_and_does_not_come_to_an_end_is_begun_anew_by_the_next_run(
    database: str,
) -> None:
    async with FamilyApi(users=1, posts=8) as api, open_spine(database) as spine:
        api.circles.add("3")
        limits = {"max_pages": 1}
        await apply(spine, api, USERS, posts(incremental={"field": "at", "param": "since"}, limits=limits))
        async with working(spine):
            reasons = [(await run_once(spine))["stop_reason"] for _ in range(2)]
            api.asked.clear()
            await run_once(spine)

        assert reasons == ["limit", "loop"]
        assert [path for path in api.asked if "posts" in path] == ["/users/1/posts"]


async def test_more_children_of_one_moment_than_a_limit_takes_are_all_read_and_none_twice(
    database: str,
) -> None:
    incremental = {"field": "at", "param": "since", "order": "asc"}
    async with FamilyApi(users=2, posts=2) as api, open_spine(database) as spine:
        for user in ("1", "2"):
            api.posts[user] = [
                {"id": int(user) * 100 + n, "title": "p", "at": f"2024-01-0{1 + n // 7}T00:00:00Z"}
                for n in range(12)
            ]
        destination = {"table": "posts", "mode": "append"}
        limits = {"max_pages": 1}
        await apply(spine, api, USERS, posts(incremental=incremental, limits=limits, destination=destination))
        async with working(spine):
            states = []
            while "succeeded" not in states and len(states) < 20:
                states.append((await run_once(spine))["state"])

        assert states[-1] == "succeeded"
        assert await pairs(spine) == every(api)


async def test_a_cursor_that_was_reset_while_a_run_was_under_way_stays_so(database: str) -> None:
    async with FamilyApi(users=2, posts=1) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(incremental={"field": "at", "param": "since"}))

        async def reset(path: str) -> None:
            if path == "/users/1/posts":
                async with spine.worker.transaction() as connection:
                    await cursors.reset(connection, *OF)

        api.before = reset
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["warnings"]) == ("succeeded", ["cursor_changed_meanwhile"])
        assert await spine.fetch("SELECT 1 FROM parent_cursor") == []


async def test_children_of_children_know_both_parents(database: str) -> None:
    async with FamilyApi(users=3, posts=4) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(), COMMENTS)
        async with working(spine):
            run = await run_once(spine, "comments")

        rows = await spine.rows_of("comments", "id")
        wanted = [(f"{u}-{p}-{n}", p, u) for u, p in every(api) for n in range(2)]
        assert [(row["id"], row["post"], row["user"]) for row in rows] == sorted(wanted)
        assert (run["state"], run["parents"], run["received"]) == ("succeeded", 15, 24)
        assert await spine.row("SELECT 1 FROM pg_tables WHERE tablename IN ('posts', 'users')") is None


async def test_fields_of_the_parent_go_into_body_query_and_headers_with_their_types(database: str) -> None:
    search = {
        "name": "found",
        "parent": {"stream": "users", "include": {"user": "id"}},
        "request": {
            "path": "search",
            "method": "POST",
            "params": {"of": "{parent.id}", "code": "{parent.team.code}&x=1"},
            "headers": {"X-Tag": "user-{parent.id}"},
            "json": {"id": "{parent.id}", "text": "about {parent.name}", "all": ["{parent.team}"]},
        },
        "records": {"path": "items"},
        "fields": [
            {"name": "id"},
            {"name": "body"},
            {"name": "query"},
            {"name": "tag"},
            {"name": "n", "path": "_parent.name"},
        ],
        "destination": {"table": "found"},
    }
    async with FamilyApi(users=1) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, search)
        async with working(spine):
            run = await run_once(spine, "found")

        (row,) = await spine.rows_of("found", "id")
        assert (run["state"], run["warnings"]) == ("succeeded", [])
        assert row["body"] == {"id": 1, "text": "about user 1", "all": [{"code": "t/1"}]}
        assert (row["query"], row["tag"]) == ({"of": "1", "code": "t/1&x=1"}, "user-1")
        assert (row["user"], row["n"]) == (1, "user 1")


async def test_a_value_in_a_path_cannot_lead_elsewhere(database: str) -> None:
    async with FamilyApi(users=1) as api, open_spine(database) as spine:
        api.users += [{"id": value} for value in ("..", "a/b", "", None, "x?y=1", "${secret:KEY}", ["no"])]
        await apply(spine, api, USERS, posts())
        async with working(spine):
            run = await run_once(spine)

        asked = sorted(path for path in api.asked if "posts" in path)
        assert asked == [
            "/users/1/posts",
            "/users/1/posts?cursor=3",
            "/users/a%2Fb/posts",
            "/users/x%3Fy%3D1/posts",
        ]
        assert (run["state"], run["rejected"], run["parents"]) == ("succeeded", 5, 3)
        assert run["warnings"] == ["parents_rejected", "rows_rejected"]


async def test_a_field_that_no_parent_has_fails_the_run_with_what_there_is(database: str) -> None:
    async with FamilyApi(users=2) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(request={"path": "users/{parent.uid}/posts"}))
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["error_kind"]) == ("failed", "parent_field_missing")
        assert "uid" in run["error_message"]
        assert "id, name, team" in run["error_message"]


async def test_a_dry_run_walks_the_children_and_loads_nothing(database: str) -> None:
    async with FamilyApi(users=3) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts(incremental={"field": "at", "param": "since"}))
        async with working(spine):
            run = await run_once(spine, mode="dry_run")

        assert (run["state"], run["received"], run["inserted"], run["parents"]) == ("succeeded", 12, 0, 3)
        assert await spine.fetch("SELECT 1 FROM parent_cursor") == []


async def test_parents_without_records_make_a_complete_run(database: str) -> None:
    async with FamilyApi(users=0) as api, open_spine(database) as spine:
        await apply(spine, api, USERS, posts())
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["parents"], run["warnings"]) == ("succeeded", 0, [])
