"""What an API says of the whole walk, through the whole product: what has not been seen is not taken from the table."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.support.processes import free_port
from tests.support.spine import Spine, open_spine, working

from headwater.app.hostile import Behaviour, Fault, HostileApi
from headwater.store import runs
from headwater.store.runs import NewRun


def manifest(port: int, **destination: Any) -> str:
    stream = {
        "name": "items",
        "request": {"path": "items", "headers": {"If-None-Match": '"1"'}},
        "pagination": {"type": "offset", "total": "total"},
        "records": {"path": "items"},
        "destination": {"table": "items", **destination},
    }
    source = {
        "name": "shop",
        "base_url": f"http://127.0.0.1:{port}/shop",
        "network": {"allow": ["127.0.0.0/8"]},
        "streams": [stream],
    }
    return json.dumps({"version": 1, "sources": [source]})


async def walked(spine: Spine, port: int, behaviour: Behaviour) -> Any:
    """The run of a full walk of the API with that behaviour."""
    async with HostileApi({"shop": behaviour}, port=port):
        async with spine.worker.transaction() as connection:
            run = NewRun("default", "shop", "items", datetime.now(UTC), "api", mode="full")
            run_id = await runs.insert(connection, run)
        return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def test_a_walk_whose_total_shrank_deletes_nothing(database: str) -> None:
    port = free_port()
    async with open_spine(database) as spine, working(spine):
        await spine.apply(manifest(port, mode="merge", key="id", delete_missing=0.5))
        await walked(spine, port, Behaviour(total="number", count=240))

        run = await walked(spine, port, Behaviour(total="shrinks", count=230))

        assert (run["state"], run["deleted"]) == ("succeeded", 0)
        assert set(run["warnings"]) == {"total_shrank", "deletions_held_back"}
        assert len(await spine.rows_of("items", "id")) == 240


async def test_an_answer_that_nothing_changed_replaces_nothing(database: str) -> None:
    port = free_port()
    async with open_spine(database) as spine, working(spine):
        await spine.apply(manifest(port, mode="replace"))
        await walked(spine, port, Behaviour())

        run = await walked(spine, port, Behaviour(faults=(Fault(1, 304, 9, {}, ""),)))

        assert (run["state"], run["received"]) == ("succeeded", 0)
        assert set(run["warnings"]) == {"not_modified", "replacement_held_back"}
        assert len(await spine.rows_of("items", "id")) == 230
