"""A tenant goes with all below it, and nothing of anybody else's; what is under way meanwhile leaves nothing behind."""

import asyncio
import base64
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from tests.support.office import MANIFEST, Office, open_office
from tests.support.receiving import manifest, queued, receiving
from tests.support.spine import open_spine, working
from tests.support.tenants import fill, rows_of, superuser

from headwater.app.server import serving
from headwater.bus.memory import MemoryBus
from headwater.cli import main
from headwater.control.removing import LATE_S, Removal
from headwater.model.secret import Secret

ACME = {"X-Tenant": "acme"}


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def made(office: Office, name: str = "acme") -> None:
    assert (await office.post("/tenants", {"name": name})).status == 201


async def applied(office: Office, text: str = MANIFEST) -> None:
    headers = {**ACME, "Content-Type": "application/yaml"}
    done = await office.ask("POST", "/config/import", data=text, headers=headers)
    assert done.status == 200, done.body


async def with_table(connection: asyncpg.Connection, tenant: str) -> None:
    """A table as the loader makes them, with a view of somebody's on it."""
    await connection.execute(
        f"SET ROLE headwater_loader; CREATE SCHEMA hw_{tenant}; CREATE TABLE hw_{tenant}.orders AS SELECT 1 AS id;"
        f"RESET ROLE; CREATE VIEW public.of_{tenant} AS SELECT * FROM hw_{tenant}.orders"
    )


async def has_schema(connection: asyncpg.Connection, tenant: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f"hw_{tenant}"))


@asynccontextmanager
async def control_at_work(office: Office) -> AsyncIterator[None]:
    """It drains the dead letters until the context ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.control.run(stop))
        try:
            yield
        finally:
            stop.set()


def never() -> bool:
    return False


def after(steps: int) -> Callable[[], bool]:
    """Over after so many steps."""
    count = itertools.count()
    return lambda: next(count) >= steps


async def test_every_table_is_emptied_of_the_tenant_and_keeps_what_is_another_ones(
    office: Office, database: str
) -> None:
    async with superuser(database) as connection:
        for name in ("acme", "other"):
            await made(office, name)
            await fill(connection, name)
            await with_table(connection, name)
        before = await rows_of(connection, "other")

        done = await office.ask("DELETE", "/tenants/acme?cascade=true")

        assert (done.status, done.body) == (204, b"")
        assert min(before.values()) >= 1
        assert set((await rows_of(connection, "acme")).values()) == {0}
        assert await rows_of(connection, "other") == before
        assert (await has_schema(connection, "acme"), await has_schema(connection, "other")) == (False, True)
    assert (await office.get("/tenants/acme")).status == 404
    assert (await office.get("/runs", headers=ACME)).status == 404
    assert (await office.ask("DELETE", "/tenants/acme?cascade=true")).status == 404
    assert [each["name"] for each in (await office.get("/tenants")).json["items"]] == ["default", "other"]


async def test_a_tenant_in_use_is_refused_with_what_is_in_it_and_nothing_changes(office: Office) -> None:
    await made(office)
    await applied(office)
    await office.key_of("acme")

    refused = await office.ask("DELETE", "/tenants/acme")

    assert refused.status == 409
    for told in ("1 source,", "1 schedule,", "1 endpoint,", "secrets,", "1 key;", "?cascade=true"):
        assert told in refused.json["detail"]
    assert (await office.get("/tenants/acme")).json["state"] == "active"
    assert len((await office.get("/endpoints", headers=ACME)).json["items"]) == 1


async def test_an_empty_tenant_goes_without_cascade_and_its_name_is_free_again(office: Office) -> None:
    await made(office)

    assert (await office.ask("DELETE", "/tenants/acme")).status == 204

    await made(office)
    assert (await office.get("/tenants/acme")).json["state"] == "active"


async def test_only_a_key_of_no_tenant_removes_one_and_nobody_removes_the_default(office: Office) -> None:
    await made(office)
    acme = await office.key_of("acme")

    assert (await acme.ask("DELETE", "/tenants/acme?cascade=true")).status == 403
    assert (await office.ask("DELETE", "/tenants/default?cascade=true")).status == 409
    assert (await office.ask("DELETE", "/tenants/nobody")).status == 404
    assert (await acme.get("/runs")).status == 200


async def test_what_is_interrupted_takes_nothing_new_says_so_and_is_finished_by_whoever_looks_next(
    database: str,
) -> None:
    async with open_office(database) as office, superuser(database) as connection:
        await made(office)
        await applied(office)
        acme = await office.key_of("acme")
        await fill(connection, "acme")
        await with_table(connection, "acme")
        async with office.api.as_tenant("acme", admin=True, actor="key admin") as ending:
            assert await ending.fetchval("SELECT end_tenant('acme')")

        is_done = await Removal(office.worker, None).remove("acme", after(3))

        left = await rows_of(connection, "acme")
        shown = (await office.get("/tenants/acme")).json
        assert not is_done
        assert left["schedule"] == left["run"] == left["backfill"] == 0
        assert left["stream"] > 0
        assert (shown["state"], shown["ending_at"] is None) == ("ending", False)
        assert (await office.post("/tenants", {"name": "acme"})).status == 409
        assert (await office.ask("PATCH", "/tenants/acme", json={"max_running": 1})).status == 404
        assert (await office.get("/runs", headers=ACME)).status == 404
        assert (await acme.get("/runs")).status == 401
    async with (
        open_office(database, works=True) as office,
        open_spine(database) as spine,
        superuser(database) as connection,
    ):
        await spine.until("SELECT 1 FROM ended_tenant WHERE name = 'acme'")

        assert set((await rows_of(connection, "acme")).values()) == {0}
        assert not await has_schema(connection, "acme")
        assert (await office.get("/tenants/acme")).status == 404


async def test_two_that_remove_the_same_tenant_both_come_to_the_end(office: Office, database: str) -> None:
    async with superuser(database) as connection:
        await made(office)
        await fill(connection, "acme")
        await with_table(connection, "acme")

        answers = await asyncio.gather(
            *(office.ask("DELETE", "/tenants/acme?cascade=true") for _ in range(3)), return_exceptions=False
        )

        removal = Removal(office.worker, None)
        await removal.look(never)
        assert {each.status for each in answers} <= {202, 204, 404}
        assert set((await rows_of(connection, "acme")).values()) == {0}
        assert (await office.get("/tenants/acme")).status == 404


async def test_what_came_behind_the_look_goes_by_a_second_one_unless_the_name_is_taken_again(
    office: Office, database: str
) -> None:
    removal = Removal(office.worker, None)
    async with superuser(database) as connection:
        for name in ("acme", "again"):
            await made(office, name)
            assert (await office.ask("DELETE", f"/tenants/{name}")).status == 204
            await connection.execute(
                "INSERT INTO run (id, due_at, tenant, source, stream, trigger)"
                " VALUES (gen_random_uuid(), now(), $1, 's', 't', 'api')", name,
            )  # fmt: skip
            await with_table(connection, name)
        await made(office, "again")
        await removal.look(never)
        too_early = (await rows_of(connection, "acme"))["run"], await has_schema(connection, "acme")
        await connection.execute(
            "UPDATE ended_tenant SET ended_at = now() - make_interval(secs => $1)", LATE_S + 1
        )

        await removal.look(never)

        assert too_early == (1, False)
        assert (await rows_of(connection, "acme"))["run"] == 0
        assert (await rows_of(connection, "again"))["run"] == 1
        assert (await has_schema(connection, "acme"), await has_schema(connection, "again")) == (False, True)
        assert await connection.fetchval("SELECT swept_at IS NOT NULL FROM ended_tenant")


async def test_a_table_that_somebody_reads_holds_the_removal_up_and_nothing_else(
    office: Office, database: str
) -> None:
    await made(office)
    async with superuser(database) as connection, superuser(database) as reader:
        await with_table(connection, "acme")
        async with reader.transaction():
            await reader.execute("SELECT * FROM hw_acme.orders")
            held = await office.ask("DELETE", "/tenants/acme?cascade=true")

        again = await office.ask("DELETE", "/tenants/acme")

        assert (held.status, held.json["state"]) == (202, "ending")
        assert held.headers["Location"] == "/api/v1/tenants/acme"
        assert again.status == 204
        assert not await has_schema(connection, "acme")


async def test_the_broker_user_goes_first_and_a_broker_that_is_away_is_waited_for(database: str) -> None:
    asked: list[str] = []
    answers = [503, 204, 404]

    async def management(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.raw_path}")
        return web.Response(status=answers.pop(0))

    async with (
        serving([web.route("*", "/{rest:.*}", management)], "127.0.0.1", 0) as port,
        open_office(database, management_url=Secret.of(f"http://boss:word@127.0.0.1:{port}")) as office,
    ):
        await made(office)
        away = await office.ask("DELETE", "/tenants/acme")
        done = await office.ask("DELETE", "/tenants/acme")
        await made(office)
        had_none = await office.ask("DELETE", "/tenants/acme")

    assert (away.status, done.status, had_none.status) == (202, 204, 204)
    assert asked == ["DELETE /api/users/headwater.acme"] * 3


async def test_the_audit_keeps_that_a_tenant_was_made_and_removed_and_by_whom(office: Office) -> None:
    await made(office)
    await applied(office)
    await office.ask("DELETE", "/tenants/acme?cascade=true")

    found = (await office.get("/audit?name=acme")).json["items"]

    assert [(each["verb"], each["kind"], each["tenant"], each["actor"]) for each in found] == [
        ("delete", "tenant", None, "key admin"),
        ("create", "tenant", None, "key admin"),
    ]
    assert (await office.get("/audit?kind=source")).json["items"] == []


async def test_a_removed_tenants_endpoint_is_not_found_and_what_it_had_accepted_leaves_nothing(
    database: str,
) -> None:
    async with AsyncExitStack() as stack:
        bus = MemoryBus()
        spine = await stack.enter_async_context(open_spine(database, bus))
        office = await stack.enter_async_context(open_office(database, bus))
        for name in ("acme", "other"):
            await made(office, name)
            await spine.apply(
                manifest(destination={"table": "orders"}).replace("{", f'{{"tenant": "{name}", ', 1)
            )
        door = await stack.enter_async_context(receiving(spine))
        for name in ("acme", "other"):
            assert (await door.send(f"/in/{name}/orders", {"id": 1}))[0] == 202
        assert await queued(spine) == 2

        assert (await office.ask("DELETE", "/tenants/acme?cascade=true")).status == 204

        async with asyncio.timeout(10):
            while (await door.send("/in/acme/orders", {"id": 2}))[0] != 404:
                await asyncio.sleep(0.02)
        await stack.enter_async_context(working(spine, "persister"))
        await stack.enter_async_context(control_at_work(office))
        await spine.until("SELECT 1 FROM delivery WHERE tenant = 'other' AND state = 'done'")
        await bus.idle()
        assert await spine.fetch("SELECT 1 FROM delivery WHERE tenant = 'acme'") == []
        assert await spine.fetch("SELECT 1 FROM dead_letter") == []
        assert await spine.row("SELECT to_regnamespace('hw_acme') AS there") == (None,)


async def test_a_run_of_a_removed_tenant_that_was_announced_ends_nowhere(database: str) -> None:
    async with AsyncExitStack() as stack:
        bus = MemoryBus()
        spine = await stack.enter_async_context(open_spine(database, bus))
        office = await stack.enter_async_context(open_office(database, bus))
        await made(office)
        await applied(office)
        async with working(spine, "timer"):
            assert (await office.post("/runs", {"stream": "shop.orders"}, headers=ACME)).status == 202
            await spine.until("SELECT 1 FROM run WHERE published_at IS NOT NULL")

        assert (await office.ask("DELETE", "/tenants/acme?cascade=true")).status == 204

        await stack.enter_async_context(working(spine, "fetcher", "persister", "timer"))
        await stack.enter_async_context(control_at_work(office))
        await bus.idle()
        async with superuser(database) as connection:
            assert set((await rows_of(connection, "acme")).values()) == {0}
            assert await connection.fetchval("SELECT count(*) FROM dead_letter") == 0


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database: str
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("HEADWATER_DATABASE_URL", database)
    monkeypatch.setenv("HEADWATER_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("HEADWATER_DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str) -> tuple[int, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return command


def test_the_command_removes_a_tenant_and_refuses_one_in_use(tmp_path: Path, run: Callable[..., Any]) -> None:
    path = tmp_path / "shop.yml"
    for tenant in ("default", "acme"):
        path.write_text(MANIFEST.replace("version: 1", f"version: 1\ntenant: {tenant}"))
        assert run("apply", str(path))[0] == 0

    refused = run("tenants", "delete", "acme")
    done = run("tenants", "delete", "acme", "--cascade")
    gone = run("tenants", "delete", "acme")

    assert (refused[0], done, gone[0]) == (4, (0, "tenant acme is removed\n"), 3)
    assert "1 source" in refused[1]
    assert "acme" not in run("tenants", "list")[1]


def test_a_manifest_is_refused_while_its_tenant_is_being_removed(
    tmp_path: Path, run: Callable[..., Any], database: str
) -> None:
    path = tmp_path / "shop.yml"
    path.write_text(MANIFEST.replace("version: 1", "version: 1\ntenant: acme"))
    run("apply", str(path))

    async def end() -> None:
        async with superuser(database) as connection:
            await connection.execute("UPDATE tenant SET ending_at = now() WHERE name = 'acme'")

    asyncio.run(end())
    code, told = run("apply", str(path))

    assert code != 0
    assert "tenant acme is being removed" in told


async def test_a_tenant_that_everybody_works_for_goes_and_the_work_of_others_goes_on(database: str) -> None:
    async with AsyncExitStack() as stack:
        bus = MemoryBus()
        spine = await stack.enter_async_context(open_spine(database, bus))
        office = await stack.enter_async_context(open_office(database, bus, works=True))
        for name in ("acme", "other"):
            await made(office, name)
            await spine.apply(
                manifest(destination={"table": "orders"}).replace("{", f'{{"tenant": "{name}", ', 1)
            )
        door = await stack.enter_async_context(receiving(spine))
        await stack.enter_async_context(working(spine))
        taken = {"acme": 0, "other": 0}

        async def send(name: str, first: int) -> None:
            for number in range(first, first + 100):
                status, *_ = await door.send(f"/in/{name}/orders", {"id": number})
                assert status in {202, 404}
                taken[name] += status == 202

        async with asyncio.TaskGroup() as senders:
            for first in (0, 100, 200):
                senders.create_task(send("acme", first))
                senders.create_task(send("other", first))
            await spine.until("SELECT 1 FROM delivery WHERE tenant = 'acme'")
            removed = await office.ask("DELETE", "/tenants/acme?cascade=true")

        await spine.until("SELECT 1 FROM ended_tenant WHERE name = 'acme'")
        await spine.until("SELECT 1 FROM delivery WHERE tenant = 'other' HAVING count(*) = 300")
        await bus.idle()
        async with superuser(database) as connection:
            await connection.execute(
                "UPDATE ended_tenant SET ended_at = now() - make_interval(secs => $1)", LATE_S + 1
            )
            await Removal(office.worker, None).look(never)
            assert removed.status in {202, 204}
            assert taken["other"] == 300
            assert set((await rows_of(connection, "acme")).values()) == {0}
            assert not await has_schema(connection, "acme")
            assert await connection.fetchval("SELECT count(*) FROM dead_letter") == 0
            assert await connection.fetchval("SELECT count(*) FROM hw_other.orders") == 300
