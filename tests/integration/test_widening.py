"""`streams widen`: values that loads put aside find their columns, in headwater's own database and in others."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from tests.integration.test_walk_destinations import Shop, run
from tests.support import far
from tests.support.office import Office, open_office
from tests.support.spine import Spine, open_spine, working

from headwater.plugins.destinations import evolve as evolving

WIDEN = "/sources/shop/streams/things/widen"
MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: {base}
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - {{name: things, request: {{path: /things}}, pagination: {{type: offset, size: 2}}, records: {{path: items}}, {to}}}
      - {{name: calls, request: {{path: /things}}}}
"""
MERGED = "destination: {table: things, mode: merge, key: id}"


async def asked(spine: Spine, office: Office) -> Mapping[str, Any]:
    """Widen, and wait until it is over."""
    first = await office.post(WIDEN)
    assert (first.status, first.json["state"]) == (202, "waiting")
    await spine.until("SELECT FROM headwater.widening WHERE state <> 'waiting'")
    answer: Mapping[str, Any] = (await office.get(WIDEN)).json
    return answer


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as office:
        yield office


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolving, "REWRITE_ROWS", 0)
    monkeypatch.setattr(evolving.evolve, "__kwdefaults__", {"rewrite_rows": 0})


@pytest.mark.usefixtures("dear")
async def test_values_that_were_put_aside_have_columns_when_somebody_asks_for_it(
    database: str, office: Office
) -> None:
    shop = Shop([{"id": 1, "v": 1}])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await spine.apply(MANIFEST.format(base=server.make_url("/"), to=MERGED))
        never = await office.get(WIDEN)
        nothing = await office.post("/sources/shop/streams/calls/widen")
        await run(spine)
        shop.rows = [{"id": 1, "v": "x"}]
        second = await run(spine)
        async with spine.worker.transaction() as connection:
            await connection.execute("SET LOCAL ROLE headwater_loader")
            await connection.execute("CREATE VIEW hw_default.watch AS SELECT v FROM hw_default.things")
        stuck = await asked(spine, office)
        async with spine.worker.transaction() as connection:
            await connection.execute("SET LOCAL ROLE headwater_loader")
            await connection.execute("DROP VIEW hw_default.watch")
        done = await asked(spine, office)
        found = await spine.rows_of("things", "id")

    assert (never.status, nothing.status) == (404, 409)
    assert second["warnings"] == ["widening_pending"]
    assert (stuck["state"], stuck["moved"]) == ("failed", None)
    assert "columns v cannot be widened; a view" in stuck["reason"]
    assert (done["state"], done["moved"], done["reason"]) == ("done", 1, None)
    assert [(row["id"], row["v"], row["_extra"]) for row in found] == [(1, "x", None)]


@pytest.mark.usefixtures("dear")
async def test_a_table_in_another_database_is_widened_there(
    database: str, far_database: str, lake: asyncpg.Connection, office: Office
) -> None:
    shop = Shop([{"id": 1, "name": 1}])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await far.apply(spine, server, far_database, use="mode: merge, key: id")
        await run(spine)
        shop.rows = [{"id": 2, "name": "x"}]
        await run(spine)
        done = await asked(spine, office)

    assert (done["state"], done["moved"]) == ("done", 1)
    assert await far.rows(lake) == [(1, "1"), (2, "x")]


@pytest.mark.usefixtures("dear")
async def test_a_key_that_does_not_fit_gets_the_type_of_its_field(database: str, office: Office) -> None:
    shop = Shop([{"id": 1, "v": 1}])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await spine.apply(MANIFEST.format(base=server.make_url("/"), to=MERGED))
        await run(spine)
        shop.rows = [{"id": "a", "v": 1}]
        refused = await run(spine)
        fields = "fields: [{name: id, type: text}, v]"
        await spine.apply(MANIFEST.format(base=server.make_url("/"), to=f"{MERGED}, {fields}"))
        done = await asked(spine, office)
        last = await run(spine)
        found = await spine.rows_of("things", "id")

    assert (refused["rejected"], refused["warnings"]) == (1, ["rows_rejected"])
    assert done["state"] == "done"
    assert last["inserted"] == 1
    assert [row["id"] for row in found] == ["1", "a"]
