"""History: what goes by whole days, what goes row by row, and what stays because it is not done with."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.support.office import open_office
from tests.support.spine import Spine, open_spine

from headwater.store import maintenance, retention
from headwater.store.retention import Keep, Removal

KEEP = Keep(runs_days=30, notifications_days=30, dead_letters_days=30, audit_days=30)
NOW = datetime.now(UTC)


async def old_day(spine: Spine, days: int) -> date:
    """Partitions for the day `days` ago, as there would be if headwater had run then."""
    await spine.worker.execute("SELECT make_partitions($1, 0)", days)
    return (NOW - timedelta(days=days)).date()


async def old_run(spine: Spine, days: int, *, tenant: str = "default", state: str = "succeeded") -> None:
    at = NOW - timedelta(days=days)
    at = at.replace(microsecond=0)
    finished = None if state == "running" else at
    row = await spine.row(
        "INSERT INTO run (id, due_at, created_at, tenant, source, stream, trigger, state, finished_at) "
        "VALUES (gen_random_uuid(), $1, $1, $2, 'shop', 'orders', 'api', $3, $4) RETURNING id",
        at,
        tenant,
        state,
        finished,
    )
    await spine.worker.execute(
        "INSERT INTO page (run_id, run_at, attempt, walk, number, tenant, token_digest) VALUES ($1, $2, 1, 0, 1, $3, '')",
        row["id"],
        at,
        tenant,
    )


async def planned(spine: Spine) -> list[Removal]:
    async with spine.worker.connection() as connection:
        return await retention.plan(connection, KEEP)


async def count(spine: Spine, table: str) -> int:
    return int((await spine.row(f"SELECT count(*) AS n FROM {table}"))["n"])


async def tenant(spine: Spine, name: str, settings: dict[str, Any]) -> None:
    async with spine.api.as_tenant(name, admin=True) as connection:
        await connection.execute("INSERT INTO tenant (name, settings) VALUES ($1, $2)", name, settings)


async def test_a_day_that_nobody_keeps_goes_as_a_whole_and_a_dry_run_counts_it_first(database: str) -> None:
    async with open_spine(database) as spine:
        await tenant(spine, "default", {})
        day = await old_day(spine, 40)
        await old_run(spine, 40)
        await old_run(spine, 10)

        foreseen = await planned(spine)
        before = await count(spine, "run")
        gone = await retention.clean(spine.worker, KEEP)
        again = await retention.clean(spine.worker, KEEP)

        on_that_day = {each.table: each.count for each in foreseen if each.day == day}
        assert on_that_day == {
            "run": 1, "page": 1, "walk": 0, "rejected_record": 0, "notification": 0, "notification_attempt": 0,
            "delivery": 0, "delivery_duplicate": 0,
        }  # fmt: skip
        assert before == 2
        assert {(each.table, each.day, each.count) for each in gone} == {
            (each.table, each.day, each.count) for each in foreseen
        }
        assert again == []
        assert (await count(spine, "run"), await count(spine, "page")) == (1, 1)
        assert await spine.row("SELECT to_regclass($1) AS there", f"run_{day:%Y%m%d}") == (None,)


async def test_a_tenant_that_keeps_less_loses_its_rows_and_one_that_keeps_more_keeps_the_day(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await tenant(spine, "short", {"retention": {"runs_days": 5}})
        await tenant(spine, "long", {"retention": {"runs_days": 100}})
        await old_day(spine, 40)
        for name in ("short", "long"):
            for days in (40, 10, 1):
                await old_run(spine, days, tenant=name)

        foreseen = [
            (each.table, each.tenant, each.count) for each in await planned(spine) if each.what == "rows"
        ]
        await retention.clean(spine.worker, KEEP)

        assert foreseen == [("run", "short", 2)]
        kept = await spine.fetch("SELECT tenant, count(*) AS n FROM run GROUP BY tenant ORDER BY tenant")
        assert [(row["tenant"], row["n"]) for row in kept] == [("long", 3), ("short", 1)]
        assert await count(spine, "page") == 4


async def test_a_day_with_something_under_way_stays_whatever_its_age(database: str) -> None:
    async with open_spine(database) as spine:
        await tenant(spine, "default", {})
        day = await old_day(spine, 40)
        await old_run(spine, 40, state="running")
        await old_run(spine, 40)

        gone = await retention.clean(spine.worker, KEEP)

        assert not [each for each in gone if each.day == day and each.table in {"run", "page", "walk"}]
        assert [(row["state"]) for row in await spine.fetch("SELECT state FROM run")] == ["running"]


async def test_dead_letters_that_nobody_has_looked_at_are_kept(database: str) -> None:
    async with open_spine(database) as spine:
        await tenant(spine, "default", {})
        for state in ("open", "discarded", "replayed"):
            await spine.worker.execute(
                "INSERT INTO dead_letter (id, tenant, queue, type, message_id, reason, body, state, dead_at) "
                "VALUES (gen_random_uuid(), 'default', 'q', 't', 'm', 'r', '', $1, clock_timestamp() - interval '50 days')",
                state,
            )

        await retention.clean(spine.worker, KEEP)

        assert [row["state"] for row in await spine.fetch("SELECT state FROM dead_letter")] == ["open"]


async def test_rows_that_no_day_took_are_told_of(database: str) -> None:
    async with open_spine(database) as spine:
        await tenant(spine, "default", {})
        await old_run(spine, -400)
        await old_run(spine, 400)  # older than every day that is kept: it belongs beside them

        async with spine.worker.connection() as connection:
            outside = await maintenance.default_rows(connection)

        assert outside == {"run": 1, "page": 1}


@pytest.mark.parametrize("days", [0, 40_000])
async def test_a_tenant_says_how_long_its_history_is_kept(database: str, days: int) -> None:
    async with open_office(database) as office:
        first = await office.get("/tenants/default/retention")
        wrong = await office.ask("PUT", "/tenants/default/retention", json={"runs_days": days})
        set_ = await office.ask("PUT", "/tenants/default/retention", json={"runs_days": 7})
        gone = await office.ask("PUT", "/tenants/nobody/retention", json={"runs_days": 7})

    assert first.json == {
        "runs_days": 90,
        "notifications_days": 90,
        "dead_letters_days": 90,
        "audit_days": 365,
        "own": [],
    }
    assert wrong.status == 422
    assert set_.json == {
        "runs_days": 7,
        "notifications_days": 90,
        "dead_letters_days": 90,
        "audit_days": 365,
        "own": ["runs_days"],
    }
    assert gone.status == 404
