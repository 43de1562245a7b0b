"""Streams that are asked for once for each record of another stream."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.support.family_api import POSTS, USERS, FamilyApi, manifest
from tests.support.spine import Spine, open_spine, working

from headwater.store import runs
from headwater.store.runs import NewRun

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
