"""Secrets at work: windows, rotation under load, last use, and which may go."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from tests.support.receiving import Door, manifest, receiving
from tests.support.spine import Spine, open_spine

from headwater.store import config, endpoints
from headwater.store.secret_status import SecretState, status_of

ORDERS = "/in/default/orders"


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_secret_counts_within_its_window_only(database: str) -> None:
    secrets = [
        {"value": "now", "not_before": at(-60), "not_after": at(60)},
        {"value": "past", "not_after": at(-60)},
        {"value": "future", "not_before": at(60)},
    ]
    async with open_spine(database) as spine:
        await spine.apply(manifest(secrets=secrets))

        async with receiving(spine) as door:
            found = {name: (await door.send(ORDERS, secret=name))[0] for name in ("now", "past", "future")}

        assert found == {"now": 202, "past": 401, "future": 401}


async def test_a_window_opens_and_closes_without_anybody_touching_the_configuration(database: str) -> None:
    edge = at(1.0)
    async with open_spine(database) as spine:
        await spine.apply(
            manifest(secrets=[{"value": "old", "not_after": edge}, {"value": "new", "not_before": edge}])
        )

        async with receiving(spine) as door:
            before = [(await door.send(ORDERS, secret=name))[0] for name in ("old", "new")]
            async with asyncio.timeout(10):
                while (await door.send(ORDERS, secret="new"))[0] != 202:
                    await asyncio.sleep(0.05)
            after = (await door.send(ORDERS, secret="old"))[0]

        assert before == [202, 401]
        assert after == 401


async def test_a_rotation_under_load_refuses_nothing(database: str) -> None:
    """Both secrets, then the sender changes the moment that is in force, then the old one goes."""
    answers: list[int] = []
    current = "old"

    async def load(door: Door, stop: asyncio.Event) -> None:
        while not stop.is_set():
            answers.append((await door.send(ORDERS, secret=current))[0])

    async with open_spine(database) as spine:
        await spine.apply(manifest(secrets=["old"]))

        async with receiving(spine) as door:
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(load(door, stop))
                for _ in range(3):
                    previous, current_next = current, current + "+"
                    await spine.apply(manifest(secrets=[current_next, previous]))
                    current = current_next
                    sent = len(answers)
                    async with asyncio.timeout(10):
                        while len(answers) < sent + 50:
                            await asyncio.sleep(0.01)
                    await spine.apply(manifest(secrets=[current]))
                stop.set()

        assert set(answers) == {202}
        assert len(answers) > 150


async def status(spine: Spine, **more: Any) -> list[SecretState]:
    async with spine.api.as_tenant("default") as connection:
        (row,) = await config.list_endpoints(connection, "default")
        return await status_of(connection, "default", row["name"], row["definition"], **more)


async def test_a_secret_that_is_not_used_while_another_is_may_go(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(secrets=["new", "old"]))

        async with receiving(spine) as door:
            await door.send(ORDERS, secret="old")
            await door.send(ORDERS, secret="new")
        used = await status(spine)
        later = await status(spine, now=datetime.now(UTC) + timedelta(hours=30))
        async with receiving(spine) as door:
            await door.send(ORDERS, secret="new")
        owner = await asyncpg.connect(spine.url)
        await owner.execute(
            "UPDATE headwater.secret SET updated_at = updated_at - interval '30 hours';"
            "UPDATE headwater.secret_use SET last_used_at = last_used_at - interval '29 hours' WHERE secret LIKE '%1'"
        )
        await owner.close()
        new, old = await status(spine)

        assert [each.state for each in used] == ["active", "active"]
        assert [each.is_safe_to_retire for each in used] == [False, False]
        assert [each.is_safe_to_retire for each in later] == [False, False], "nothing else verified since"
        assert (new.is_safe_to_retire, old.is_safe_to_retire) == (False, True)
        assert new.use_count == 2
        assert "new" not in repr(new)
        assert "value" not in repr(new)


async def test_applying_the_same_manifest_again_does_not_forget_when_a_secret_was_used(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(secrets=["same"]))
        (before,) = await spine.fetch("SELECT sealed, updated_at FROM secret")

        await spine.apply(manifest(secrets=["same"]))

        (after,) = await spine.fetch("SELECT sealed, updated_at FROM secret")
        assert (bytes(before["sealed"]), before["updated_at"]) == (
            bytes(after["sealed"]),
            after["updated_at"],
        )


async def test_an_endpoint_that_goes_leaves_no_secret_behind(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(secrets=["one"]))
        await spine.apply(manifest(name="orders-2", secrets=["two"]))
        async with receiving(spine) as door:
            await door.send(ORDERS, secret="one")

        async with spine.api.as_tenant("default") as connection:
            await endpoints.forget(connection, "default", "orders")

        assert [row["name"] for row in await spine.fetch("SELECT name FROM secret")] == [
            "endpoint/orders-2/secrets/0"
        ]
        assert await spine.fetch("SELECT 1 FROM secret_use") == []
        assert await spine.fetch("SELECT 1 FROM endpoint_count") == []
