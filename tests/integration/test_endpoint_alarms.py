"""Alarms of endpoints and the retention of what they received, over real counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.receipts import hand_in, receipt, settled
from tests.support.receiving import manifest
from tests.support.spine import Spine, open_spine, working

from headwater.store import alarms, endpoints, retention
from headwater.store.endpoints import Count
from headwater.store.retention import Keep
from headwater.timer.endpoints import watch

NOW = datetime.now(UTC)


async def heard(spine: Spine, outcome: str, *ago_s: float, count: int = 1) -> None:
    counts = [
        Count(
            "default",
            "orders",
            at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0),
            outcome,
            count,
            at,
        )
        for at in (NOW - timedelta(seconds=each) for each in ago_s)
    ]
    async with spine.worker.transaction() as connection:
        await endpoints.count(connection, counts)


async def alarmed(spine: Spine) -> list[tuple[str, Any]]:
    async with spine.worker.transaction() as connection:
        await watch(connection, spine.metrics)
        return [(row["kind"], row["detail"]) for row in await alarms.current(connection)]


async def test_an_endpoint_that_is_quiet_for_longer_than_its_habit_raises_an_alarm_once(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())
        await heard(spine, "accepted", *(3600 * hour + 7200 for hour in range(8)))
        before = await alarmed(spine)

        await heard(spine, "accepted", *(600 * step + 4000 for step in range(40)))
        await spine.worker.execute(
            "DELETE FROM endpoint_count WHERE last_at < $1", NOW - timedelta(seconds=28_000)
        )
        first, second = await alarmed(spine), await alarmed(spine)
        await heard(spine, "accepted", 1)
        after = await alarmed(spine)

        assert before == [], "two hours are within the habit of one an hour"
        assert [kind for kind, _ in first] == ["silence"]
        assert first == second
        assert after == []
        events = await spine.fetch("SELECT type, exchange, body FROM outbox ORDER BY created_at")
        assert [(row["type"], row["exchange"]) for row in events] == [
            ("default.endpoint.orders.silence", "headwater.events")
        ] * 2
        assert b'"state":"on"' in bytes(events[0]["body"])
        assert b'"state":"off"' in bytes(events[1]["body"])
        assert 'kind="silence"' not in spine.metrics.render().decode()


async def test_an_alarm_stays_on_when_the_silence_is_longer_than_what_is_known_of_the_habit(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())
        await heard(spine, "accepted", *(600 * step + 4000 for step in range(40)))
        [(_, first)] = await alarmed(spine)

        await spine.worker.execute("DELETE FROM endpoint_count")
        later = await alarmed(spine)
        await heard(spine, "accepted", 1)
        after = await alarmed(spine)

        assert later == [("silence", first)]
        assert after == []
        [on, off] = await spine.fetch("SELECT headers FROM outbox ORDER BY created_at")
        assert on["headers"]["cloudEvents:time"] < off["headers"]["cloudEvents:time"]


async def test_a_time_that_was_chosen_counts_also_for_an_endpoint_that_never_heard_anything(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(alarms={"silence_s": 60}))
        assert await alarmed(spine) == []

        await spine.api.execute("SELECT 1")
        async with spine.api.as_tenant("default") as connection:
            await connection.execute("UPDATE endpoint SET created_at = created_at - interval '2 minutes'")

        assert [kind for kind, _ in await alarmed(spine)] == ["silence"]
        await spine.apply(manifest(alarms={"silence_s": "off"}))
        assert await alarmed(spine) == []


async def test_refusing_more_than_its_share_raises_an_alarm(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(alarms={"refusal_rate": 0.2}))
        await heard(spine, "accepted", 1, count=16)
        await heard(spine, "refused:mismatch", 1, count=3)
        few = await alarmed(spine)

        await heard(spine, "refused:mismatch", 1, count=5)
        many = await alarmed(spine)

        assert few == []
        assert many == [("refusals", {"requests": 24, "refused": 8, "limit_rate": 0.2})]


async def test_each_endpoint_keeps_its_deliveries_for_as_long_as_it_says(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(retention={"days": 1}))
        await spine.apply(manifest(name="others"))
        async with working(spine, "persister"):
            await hand_in(
                spine,
                receipt("orders", {"n": 1}, ago_s=2 * 86_400),
                receipt("orders", {"n": 2}),
                receipt("others", {"n": 3}, ago_s=2 * 86_400),
            )
            await settled(spine, 3)

        await retention.clean(spine.worker, Keep())
        async with spine.worker.transaction() as connection:
            longest = await endpoints.longest_retention_days(connection)

        rows = await spine.fetch("SELECT body FROM delivery ORDER BY body")
        assert [bytes(row["body"]) for row in rows] == [b'{"n": 2}', b'{"n": 3}']
        assert longest == 30
