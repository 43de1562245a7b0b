"""What the PostgreSQL bus alone must do: leases, wake-up, exact depths, roles."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from tests.support.buses import PATIENCE_S, Inbox, message, open_pool

from headwater.bus.port import Message
from headwater.bus.postgres import PostgresBus, consumer
from headwater.bus.postgres import bus as bus_module
from headwater.bus.postgres.statements import ALL, NOTIFY, PUT
from headwater.model.errors import BusUnavailable

RUN_DUE = "headwater.run.due"


@asynccontextmanager
async def opened(url: str, **options) -> AsyncIterator[PostgresBus]:
    async with AsyncExitStack() as stack:
        pool = await open_pool(url)
        stack.push_async_callback(pool.close)
        bus = PostgresBus(pool, **options)
        stack.push_async_callback(bus.close)
        await bus.open()
        yield bus


@pytest.fixture
async def plain(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the database's owner, to look behind the bus."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_every_statement_prepares_against_the_migrated_schema_under_the_workers_role(plain):
    await plain.execute("SET ROLE headwater_worker")

    for statement in ALL:
        await plain.prepare(statement)


async def test_the_api_role_may_publish_and_count_and_may_not_read_messages(database: str, plain):
    pool = await asyncpg.create_pool(
        database, min_size=1, max_size=6, server_settings={"role": "headwater_api"}
    )
    bus = PostgresBus(pool)
    await bus.open()
    await bus.publish(message())

    depth = await bus.depth()
    await bus.close()
    await pool.close()
    await plain.execute("SET ROLE headwater_api")

    assert depth[RUN_DUE] == 1
    for forbidden in ("SELECT body FROM headwater_bus.message", "DELETE FROM headwater_bus.message"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.execute(forbidden)


async def test_the_messages_of_a_killed_consumer_come_back_when_its_lease_ends(database: str, plain):
    inbox = Inbox()
    async with opened(database) as bus:
        await bus.publish(message())
        await plain.execute(
            "UPDATE headwater_bus.message SET lease = gen_random_uuid(), taken = 1,"
            " available_at = now() + interval '0.7 s'"
        )
        started = asyncio.get_running_loop().time()
        async with bus.consume(RUN_DUE, inbox):
            (got,) = await inbox.count(1)
        waited_s = asyncio.get_running_loop().time() - started

    assert (got.redelivered, got.attempt) == (1, 0)
    assert 0.5 <= waited_s < 5


async def test_a_message_in_hand_is_renewed_however_long_it_takes(database: str):
    finish = asyncio.Event()

    async def slow(messages: Sequence[Message]) -> None:
        await finish.wait()

    async with opened(database, lease_s=0.6) as one, opened(database, lease_s=0.6) as two:
        holder, other = Inbox(slow), Inbox()
        await one.publish(message())
        async with one.consume(RUN_DUE, holder, prefetch=1):
            await holder.count(1)
            async with two.consume(RUN_DUE, other):
                await asyncio.sleep(2.0)  # three leases: the thing to be shown is that nothing happens
                marker = message()
                await one.publish(marker)
                await other.count(1)
                finish.set()

    assert other.ids == [marker.id]
    assert len(holder.calls) == 1


async def test_a_process_killer_is_handled_alone_and_ends_as_a_dead_letter(database: str, plain):
    inbox, dead = Inbox(), Inbox()
    async with opened(database) as bus:
        sent = [message() for _ in range(4)]
        for one in sent:
            await bus.publish(one)
        await plain.execute("UPDATE headwater_bus.message SET taken = 3 WHERE message_id = $1", sent[1].id)
        await plain.execute("UPDATE headwater_bus.message SET taken = 50 WHERE message_id = $1", sent[2].id)
        async with (
            bus.consume(RUN_DUE, inbox, batch=10, linger_s=0.3, concurrency=1),
            bus.consume("headwater.dead", dead),
        ):
            await inbox.count(3)
            (letter,) = await dead.count(1)

    assert (sent[1].id,) in [tuple(one.id for one in call) for call in inbox.calls]
    assert letter.id == sent[2].id
    assert "50 times" in letter.headers["x-headwater-reason"]


async def test_a_publish_wakes_the_consumers_of_other_processes(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumer, "POLL_S", 600.0)  # without the wake-up, nobody would look
    inbox = Inbox()
    async with opened(database) as here, opened(database) as there, there.consume(RUN_DUE, inbox):
        marker = message()
        await there.publish(marker)
        await inbox.count(1)
        for number in range(2, 8):
            await here.publish(message())
            await inbox.count(number)

    assert len(inbox.ids) == 7


async def test_a_lost_wake_up_is_made_good_by_looking(database: str, plain):
    inbox = Inbox()
    async with opened(database) as bus, bus.consume(RUN_DUE, inbox):
        row = [["headwater.run.due"], ["run.due"], ["m"], ["{}"], [0], [None], [b"{}"], [2]]
        await plain.execute(PUT, *row)
        await inbox.count(1)

    assert inbox.ids == ["m"]


async def test_notifications_are_coalesced(database: str, plain):
    heard: list[str] = []
    await plain.add_listener("headwater_bus", lambda *arguments: heard.append(arguments[3]))
    async with opened(database) as bus:
        await asyncio.gather(*(bus.publish(message()) for _ in range(500)))
        inbox = Inbox()
        async with bus.consume(RUN_DUE, inbox):
            await inbox.count(500)
    await plain.execute(NOTIFY, "done")
    async with asyncio.timeout(PATIENCE_S):
        while "done" not in heard:
            await plain.fetchval("SELECT 1")

    assert 1 <= len(heard) - 1 <= 100


async def test_depths_are_exact_whatever_happens_at_once(
    database: str, plain, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bus_module, "REFRESH_S", 0.0)
    monkeypatch.setattr(bus_module, "FOLD_ABOVE_ROWS", 3)
    inbox = Inbox()
    async with opened(database) as one, opened(database) as two:
        async with two.consume(RUN_DUE, inbox):
            await asyncio.gather(
                *(bus.publish(message(body=b"x" * number)) for number in range(100) for bus in (one, two)),
                *(one.publish(message("run.close", b"kept")) for _ in range(7)),
            )
            await inbox.count(200)
        depth = await one.depth()
        tally = await plain.fetch("SELECT queue, sum(bytes)::int FROM headwater_bus.tally GROUP BY 1")
        rows = await plain.fetchval("SELECT count(*) FROM headwater_bus.message")

    assert (depth[RUN_DUE], depth["headwater.run.close"], rows) == (0, 7, 7)
    assert dict(tally) == {RUN_DUE: 0, "headwater.run.close": 28}


async def test_a_row_that_nobody_can_read_becomes_a_dead_letter(database: str, plain):
    inbox, dead = Inbox(), Inbox()
    async with opened(database) as bus:
        row = [[RUN_DUE], ["run.due"], ["broken"], ["not json"], [0], [None], [b"body"], [4]]
        await plain.execute(PUT, *row)
        await bus.publish(message(id="good"))
        async with bus.consume(RUN_DUE, inbox), bus.consume("headwater.dead", dead):
            (letter,) = await dead.count(1)
            await inbox.count(1)

    assert inbox.ids == ["good"]
    assert (letter.id, letter.body) == ("broken", b"body")


async def test_a_database_without_the_tables_is_refused_with_the_mend(bare_database: str):
    pool = await asyncpg.create_pool(bare_database, min_size=1, max_size=2)
    try:
        with pytest.raises(BusUnavailable, match="headwater db migrate"):
            await PostgresBus(pool).open()
    finally:
        await pool.close()


async def test_a_terminated_connection_is_told_once_and_made_good(
    database: str, plain, caplog: pytest.LogCaptureFixture
):
    inbox = Inbox()
    with caplog.at_level(logging.WARNING):
        async with opened(database) as bus, bus.consume(RUN_DUE, inbox):
            for number in range(1, 4):
                await plain.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                await _until_published(bus)
                await inbox.count(number)

    assert len(caplog.records) <= 6


async def _until_published(bus: PostgresBus) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.publish(message())
            except BusUnavailable:
                await asyncio.sleep(0.05)


async def test_what_waits_for_its_commit_is_told_when_the_bus_closes(database: str):
    async with opened(database) as bus:
        publishing = [asyncio.create_task(bus.publish(message())) for _ in range(50)]
        await asyncio.sleep(0)
        await bus.close()
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} <= {type(None), BusUnavailable}
    assert any(isinstance(outcome, BusUnavailable) for outcome in outcomes)
