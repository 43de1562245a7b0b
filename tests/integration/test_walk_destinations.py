"""What a walk's records become, by the mode of its destination; what a run's end does to the table; and what is left."""

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.pages import begin_page
from tests.support.spine import Spine, open_spine, working

from headwater.bus.wire import to_message
from headwater.contracts.messages import BatchReady
from headwater.model.run import RunState
from headwater.model.secret import Secret
from headwater.plugins.walk.token import token_digest
from headwater.store import config, runs
from headwater.store.ledger import PageKey
from headwater.store.runs import NewRun, Outcome

MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: {base}
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: things
        request: {{path: /things}}
        pagination: {{type: offset, size: 2}}
        limits: {{max_pages: {max_pages}}}
        records: {{path: items}}
        destination: {destination}
"""
CALL = """
version: 1
sources:
  - name: shop
    base_url: {base}
    network: {{allow: ["127.0.0.0/8"]}}
    auth: {{type: bearer, token: very-secret-token}}
    streams:
      - {{name: things, request: {{path: /echo, method: POST, json: {{wake: up}}}}}}
"""


class Shop:
    """An API whose rows a test sets; `fails_from`: the offset at which it refuses."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = list(rows)
        self.fails_from: int | None = None
        self.fails_at: int | None = None
        self.waits_from: int | None = None
        self.written: str | None = None  # the first page, to the letter
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/things", self._things)
        app.router.add_post("/echo", self._echo)
        return app

    async def _things(self, request: web.Request) -> web.Response:
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        if self.fails_from is not None and offset >= self.fails_from:
            return web.Response(status=400, text="no")
        if offset == self.fails_at:
            return web.Response(status=400, text="not this one")
        if self.written is not None:
            return web.Response(text=self.written if offset == 0 else '{"items": []}')
        if self.waits_from is not None and offset >= self.waits_from:
            self.is_asked.set()
            await self.may_answer.wait()
        return web.json_response({"items": self.rows[offset : offset + limit]})

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(text=f"no JSON, {request.headers['Authorization']}, {await request.text()}")


async def run(spine: Spine, **options: Any) -> Mapping[str, Any]:
    """One run, to its end."""
    new = NewRun("default", "shop", "things", datetime.now(UTC), "api", priority=0, **options)
    async with spine.worker.transaction() as connection:
        run_id = await runs.insert(connection, new)
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def apply(spine: Spine, server: TestServer, destination: str, max_pages: int = 100) -> None:
    await spine.apply(
        MANIFEST.format(base=server.make_url("/"), destination=destination, max_pages=max_pages)
    )


async def helpers(spine: Spine) -> list[str]:
    """The tables of runs that are there."""
    rows = await spine.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'hw_default' AND c.relkind = 'r' AND (relname LIKE '%staging%' OR relname LIKE '%seen%')"
    )
    return [row["relname"] for row in rows]


def counts(ended: Mapping[str, Any]) -> tuple[int, int, int, int]:
    return ended["inserted"], ended["updated"], ended["unchanged"], ended["deleted"]


def row(number: int, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, **more}


@pytest.mark.parametrize("key", ["", ", key: id"])
async def test_replace_shows_the_rows_of_the_last_complete_run_and_no_others(database: str, key: str) -> None:
    shop = Shop([row(n) for n in range(1, 6)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: replace%s}" % key)  # noqa: UP031 - braces stand in it
        async with working(spine):
            first = await run(spine)
            shop.rows = [row(2, "two"), row(9, "nine")]
            second = await run(spine)

        assert (first["state"], counts(first)) == ("succeeded", (5, 0, 0, 0))
        assert (second["state"], counts(second)) == ("succeeded", (2, 0, 0, 5))
        rows = await spine.rows_of("things", "id")
        assert [(one["id"], one["name"]) for one in rows] == [(2, "two"), (9, "nine")]
        assert await helpers(spine) == []
        assert await spine.fetch("SELECT * FROM run_staging") == []


async def test_a_replacing_run_that_fails_or_is_cut_leaves_the_rows_as_they_were_and_no_tables(
    database: str,
) -> None:
    shop = Shop([row(n) for n in range(1, 6)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: replace}")
        async with working(spine):
            await run(spine)
            shop.rows, shop.fails_from = [row(n) for n in range(20, 26)], 4
            failed = await run(spine)
            shop.fails_from = None
            await apply(spine, server, "{table: things, mode: replace}", max_pages=2)
            cut = await run(spine)
            await spine.until("SELECT 1 WHERE NOT EXISTS (SELECT FROM run_staging)")

        assert failed["state"] == "failed"
        assert (cut["state"], cut["warnings"]) == ("partial", ["limit_reached", "replacement_held_back"])
        assert [one["id"] for one in await spine.rows_of("things", "id")] == [1, 2, 3, 4, 5]
        assert await helpers(spine) == []


@pytest.mark.parametrize(
    "destination",
    ["{table: things, mode: replace}", "{table: things, mode: merge, key: id, delete_missing: 1}"],
)
async def test_a_run_that_is_cancelled_in_mid_walk_takes_no_row_away_and_leaves_no_table(
    database: str, destination: str
) -> None:
    shop = Shop([row(n) for n in range(1, 6)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, destination)
        async with working(spine):
            await run(spine)
            shop.rows, shop.waits_from = [row(n) for n in range(3, 9)], 4
            new = NewRun("default", "shop", "things", datetime.now(UTC), "api", priority=0)
            async with spine.worker.transaction() as connection:
                run_id = await runs.insert(connection, new)
            await shop.is_asked.wait()
            await spine.until("SELECT 1 FROM run_staging WHERE run_id = $1", run_id)
            async with spine.worker.transaction() as connection:
                await runs.finish(connection, run_id, Outcome(RunState.CANCELLED))
            shop.may_answer.set()
            await spine.until("SELECT 1 WHERE NOT EXISTS (SELECT FROM run_staging)")

        ids = [one["id"] for one in await spine.rows_of("things", "id")]
        assert ids[:5] == [1, 2, 3, 4, 5]
        assert await helpers(spine) == []


async def test_a_run_of_a_window_deletes_nothing(database: str) -> None:
    at = "2024-01-10T00:00:00Z"
    shop = Shop([row(n, at=at) for n in range(1, 6)])
    destination = "{table: things, mode: merge, key: id, delete_missing: 1}\n        incremental: {field: at, param: since}"
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, destination)
        async with working(spine):
            await run(spine)
            shop.rows = [row(1, at=at)]
            ended = await run(spine, window={"from": "2024-01-01T00:00:00Z", "to": "2024-02-01T00:00:00Z"})

        assert (ended["state"], ended["deleted"], ended["received"]) == ("succeeded", 0, 1)
        assert [one["id"] for one in await spine.rows_of("things", "id")] == [1, 2, 3, 4, 5]


async def test_delete_missing_takes_away_what_a_complete_run_did_not_bring(database: str) -> None:
    shop = Shop([row(n) for n in range(1, 6)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: merge, key: id, delete_missing: 0.5}")
        async with working(spine):
            await run(spine)
            shop.rows = shop.rows[:4]
            gone = await run(spine)
            shop.rows = shop.rows[:1]
            held = await run(spine)

        assert (counts(gone), gone["warnings"]) == ((0, 0, 4, 1), [])
        assert (counts(held), held["warnings"]) == ((0, 0, 1, 0), ["deletions_held_back"])
        assert [one["id"] for one in await spine.rows_of("things", "id")] == [1, 2, 3, 4]
        assert await helpers(spine) == []


async def test_nothing_is_deleted_when_a_record_came_without_its_key(database: str) -> None:
    shop = Shop([row(n) for n in range(1, 6)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: merge, key: id, delete_missing: 1}")
        async with working(spine):
            await run(spine)
            shop.rows = [row(1), {"name": "whose?"}]
            held = await run(spine)

        assert held["warnings"] == ["deletions_held_back", "records_without_key", "rows_rejected"]
        assert (held["rejected"], held["deleted"]) == (1, 0)
        assert len(await spine.rows_of("things", "id")) == 5


async def test_soft_delete_marks_the_rows_whose_record_says_that_it_is_gone(database: str) -> None:
    shop = Shop([row(1), row(2)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(
            spine, server, "{table: things, mode: merge, key: id, soft_delete: true, deleted_field: removed}"
        )
        async with working(spine):
            await run(spine)
            shop.rows = [row(1), row(2, removed=True)]
            ended = await run(spine)

        assert counts(ended) == (0, 0, 1, 1)
        rows = await spine.rows_of("things", "id")
        assert [(one["id"], one["_deleted_at"] is None) for one in rows] == [(1, True), (2, False)]


async def test_scd2_keeps_every_version(database: str) -> None:
    shop = Shop([row(1, "old")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: scd2, key: id}")
        async with working(spine):
            await run(spine)
            shop.rows = [row(1, "new")]
            await run(spine)

        rows = await spine.rows_of("things", "_valid_from")
        assert [(one["name"], one["_valid_to"] is None) for one in rows] == [("old", False), ("new", True)]


async def test_delete_insert_puts_a_keys_records_in_the_place_of_its_rows(database: str) -> None:
    shop = Shop([row(1, "a"), row(1, "b"), row(2, "c")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: delete_insert, key: id}")
        async with working(spine):
            await run(spine)
            shop.rows = [row(1, "z")]
            await run(spine)

        assert [(one["id"], one["name"]) for one in await spine.rows_of("things", "id")] == [
            (1, "z"),
            (2, "c"),
        ]


@pytest.mark.parametrize(
    ("destination", "is_compared"),
    [
        ("{table: things}", False),
        ("{table: things, mode: merge, key: id}", True),
        ("{table: things, mode: delete_insert, key: id}", False),
        ("{table: things, mode: scd2, key: id}", True),
    ],
)
async def test_a_forced_full_run_rebuilds_the_table_in_every_mode(
    database: str, destination: str, is_compared: bool
) -> None:
    shop = Shop([row(n, "old") for n in range(1, 6)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, destination)
        async with working(spine):
            await run(spine)
            shop.rows = [row(2, "new"), row(3, "new"), row(7, "new")]
            forced = await run(spine, mode="full", force=True)
            again = await run(spine)

        assert (forced["state"], forced["error_message"]) == ("succeeded", None)
        assert (forced["inserted"], forced["deleted"]) == (3, 5)
        assert (again["state"], again["inserted"]) == ("succeeded", 0 if is_compared else 3)
        names = {one["name"] for one in await spine.rows_of("things", "id")}
        assert names == {"new"}
        assert await helpers(spine) == []


async def test_lists_become_child_tables_and_a_record_with_two_bad_elements_is_kept_once(
    database: str,
) -> None:
    shop = Shop(
        [
            row(1, lines=[{"sku": "a"}, {"sku": "b"}]),
            row(2, lines=[{"sku": "c"}, {"sku": {"deep": 1}}, {"sku": [2]}]),
        ]
    )
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: merge, key: id, children: lines}")
        async with working(spine):
            ended = await run(spine)
            await apply(
                spine, server, "{table: things, mode: merge, key: id, children: lines, contract: discard_row}"
            )
            shop.rows = [row(3, lines=[{"sku": "d", "more": 1}, {"sku": "e", "more": 2}])]
            second = await run(spine)

        assert ended["state"] == "succeeded"
        assert len(await spine.rows_of("things__lines", "1")) == 5
        kept = await spine.fetch(
            "SELECT position, reason FROM rejected_record WHERE run_id = $1", second["id"]
        )
        assert (len(kept), second["warnings"]) == (1, ["rows_rejected"])


async def test_a_frozen_table_fails_the_run_and_says_which_field(database: str) -> None:
    shop = Shop([row(1)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: merge, key: id, contract: freeze}")
        async with working(spine):
            await run(spine)
            shop.rows = [row(1, fresh=True)]
            ended = await run(spine)

        assert (ended["state"], ended["error_kind"]) == ("failed", "destination")
        assert "fresh" in ended["error_message"]


async def test_a_dry_run_makes_no_table(database: str) -> None:
    shop = Shop([row(1)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things, mode: merge, key: id}")
        async with working(spine):
            ended = await run(spine, mode="dry_run")

        assert (ended["state"], ended["received"], ended["inserted"]) == ("succeeded", 1, 0)
        assert await spine.fetch("SELECT 1 FROM pg_class WHERE relname = 'things'") == []


async def test_rows_have_the_fields_that_were_asked_for_and_a_record_that_cannot_have_them_is_kept(
    database: str,
) -> None:
    shop = Shop(
        [
            {"id": "1", "user": {"mail": "a@b"}, "cents": "990", "at": 1714550400},
            {"id": "2", "user": {"mail": "c@d"}, "cents": "a lot", "at": None},
            {"id": "3", "user": {"mail": "e@f"}, "cents": "5", "skip": True},
        ]
    )
    manifest = MANIFEST.replace(
        "records: {{path: items}}",
        "records: {{path: items, filter: '!skip'}}\n"
        "        fields:\n"
        "          id: {{type: integer}}\n"
        "          mail: {{path: user.mail, hash: '${{secret:PEPPER}}'}}\n"
        "          price: {{path: cents, type: decimal}}\n"
        "          at: {{type: timestamp}}\n"
        "          shop: {{constant: north}}",
    )
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        destination = "{table: things, mode: merge, key: id}"
        await spine.apply(manifest.format(base=server.make_url("/"), destination=destination, max_pages=9))
        async with spine.api.as_tenant("default", admin=True) as connection:
            await config.put_secret(connection, spine.keyring, "default", "PEPPER", Secret.of("pepper"))
        async with working(spine):
            ended = await run(spine)

        assert (ended["state"], ended["received"], ended["rejected"]) == ("succeeded", 3, 1)
        (only,) = await spine.rows_of("things", "id")
        mail = hmac.new(b"pepper", b"a@b", "sha256").hexdigest()
        assert {name: value for name, value in only.items() if not name.startswith("_")} == {
            "id": 1,
            "mail": mail,
            "price": 990,
            "at": datetime(2024, 5, 1, 8, tzinfo=UTC),
            "shop": "north",
        }
        (kept,) = await spine.fetch("SELECT reason FROM rejected_record")
        assert kept["reason"] == "field 'price': 'a lot' is no decimal"


async def test_rows_of_a_page_that_is_passed_over_are_not_taken_for_deleted(database: str) -> None:
    shop = Shop([row(number) for number in range(6)])
    manifest = MANIFEST.replace(
        "records: {{path: items}}", "records: {{path: items}}\n        errors: {{status: {{'400': skip}}}}"
    )
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        destination = "{table: things, mode: merge, key: id, delete_missing: 1}"
        await spine.apply(manifest.format(base=server.make_url("/"), destination=destination, max_pages=9))
        async with working(spine):
            await run(spine)
            shop.fails_at = 2
            passed = await run(spine)

        assert (passed["state"], passed["received"]) == ("succeeded", 4)
        assert passed["warnings"] == ["deletions_held_back", "pages_skipped"]
        assert len(await spine.rows_of("things", "id")) == 6


@pytest.mark.parametrize("is_forced", [False, True])
async def test_a_replacement_waits_where_a_page_was_passed_over_and_no_cursor_goes_past_what_was_left_out(
    database: str, is_forced: bool
) -> None:
    at = "2024-01-0{}T00:00:00Z"
    shop = Shop([row(number, at=at.format(1)) for number in range(6)])
    passing = "records: {{path: items}}\n        errors: {{status: {{'400': skip}}}}"
    destination = "{table: things, mode: replace}"
    options: dict[str, Any] = {}
    if is_forced:
        destination = "{table: things, mode: merge, key: id}\n        incremental: {field: at, param: since}"
        options = {"mode": "full", "force": True}
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        manifest = MANIFEST.replace("records: {{path: items}}", passing)
        await spine.apply(manifest.format(base=server.make_url("/"), destination=destination, max_pages=9))
        async with working(spine):
            await run(spine)
            shop.rows = [row(number, at=at.format(2)) for number in range(6)]
            shop.fails_at = 2
            held = await run(spine, **options)
            cursor = await spine.row("SELECT value #>> '{}' AS value FROM stream_cursor")
            shop.fails_at = None
            whole = await run(spine, **options)

        assert (held["state"], held["received"]) == ("partial", 4)
        assert held["warnings"] == ["pages_skipped", "replacement_held_back"]
        assert (cursor and cursor["value"]) == (at.format(1) if is_forced else None)
        assert (whole["state"], whole["warnings"]) == ("succeeded", [])
        rows = await spine.rows_of("things", "id")
        assert len(rows) == 6
        assert {str(one["at"])[:10] for one in rows} == {"2024-01-02"}


async def test_a_decimal_is_numeric_and_a_text_stays_text_whatever_their_values_look_like(
    database: str,
) -> None:
    shop = Shop(
        [{"id": 1, "price": 1.5, "day": "2024-05-01"}, {"id": 2, "price": "0.1", "day": "2024-05-02"}]
    )
    manifest = MANIFEST.replace(
        "records: {{path: items}}",
        "records: {{path: items}}\n"
        "        fields: {{id: {{type: integer}}, price: {{type: decimal}}, day: {{type: text}}}}",
    )
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        destination = "{table: things, mode: merge, key: [id, day], delete_missing: 1}"
        await spine.apply(manifest.format(base=server.make_url("/"), destination=destination, max_pages=9))
        async with working(spine):
            first = await run(spine)
            shop.rows = [shop.rows[0], {"id": 3, "price": 12345678901234567890, "day": "2024-05-03"}]
            second = await run(spine)

        assert [first["warnings"], second["warnings"], second["deleted"]] == [[], [], 1]
        types = await spine.fetch(
            "SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
            "JOIN pg_class c ON c.oid = attrelid AND c.relname = 'things' WHERE attname IN ('id', 'price', 'day')"
        )
        assert {one["name"]: one["type"] for one in types} == {
            "id": "bigint",
            "price": "numeric",
            "day": "text",
        }
        assert [(one["price"], one["day"]) for one in await spine.rows_of("things", "id")] == [
            (Decimal("1.5"), "2024-05-01"),
            (Decimal(12345678901234567890), "2024-05-03"),
        ]


@pytest.mark.parametrize("size", [1, 2 * 1024 * 1024])
async def test_a_decimal_keeps_the_zeros_it_was_written_with(database: str, size: int) -> None:
    shop = Shop([])
    one = '{"id": 1, "price": 1.50, "text": "0.10", "more": {"vat": 19.0, "long": 0.123456789012345678}}'
    two = '{"id": 2, "price": 20, "text": "7", "more": {"vat": 7.25, "note": "%s"}}' % ("x" * size)  # noqa: UP031 - braces stand in it
    shop.written = f'{{"items": [{one}, {two}]}}'
    fields = """
        fields:
          id: {{type: integer}}
          price: {{type: decimal}}
          text: {{type: decimal}}
          more: more
          all: {{path: "sum([price, more.vat])", type: decimal}}"""
    manifest = MANIFEST.replace("records: {{path: items}}", "records: {{path: items}}" + fields)
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        destination = "{table: things, mode: merge, key: id}"
        await spine.apply(manifest.format(base=server.make_url("/"), destination=destination, max_pages=9))
        async with working(spine):
            ended = await run(spine)
        rows = await spine.rows_of("things", "id")

    assert (ended["state"], ended["warnings"]) == ("succeeded", [])
    assert [(str(row["price"]), str(row["text"]), str(row["all"])) for row in rows] == [
        ("1.50", "0.10", "20.50"),
        ("20", "7", "27.25"),
    ]
    assert rows[0]["more"] == {"vat": 19.0, "long": Decimal("0.123456789012345678")}


async def test_a_stream_without_records_and_destination_makes_its_call_and_keeps_a_masked_sample(
    database: str,
) -> None:
    async with TestServer(Shop([]).app()) as server, open_spine(database) as spine:
        await spine.apply(CALL.format(base=server.make_url("/")))
        async with working(spine):
            ended = await run(spine)

        assert (ended["state"], ended["error_message"]) == ("succeeded", None)
        assert (ended["pages"], ended["received"], ended["warnings"]) == (1, 0, [])
        (page,) = await spine.fetch("SELECT * FROM page")
        assert (page["status"], page["body_bytes"]) == (200, 48)
        assert page["sample"] == 'no JSON, Bearer ***, {"wake":"up"}'


async def test_records_without_a_destination_are_counted_and_go_nowhere(database: str) -> None:
    async with TestServer(Shop([row(n) for n in range(1, 6)]).app()) as server, open_spine(database) as spine:
        await apply(spine, server, "null")
        async with working(spine):
            ended = await run(spine)

        assert (ended["state"], ended["received"], ended["inserted"]) == ("succeeded", 5, 0)
        pages = await spine.fetch("SELECT sample FROM page ORDER BY number")
        assert pages[0]["sample"].startswith('{"items": [')


async def test_records_that_come_late_are_counted_once_however_often_their_message_comes(
    database: str,
) -> None:
    shop = Shop([row(1)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, "{table: things}")
        async with working(spine):
            ended = await run(spine)
        token = {"place": {"offset": 2}}
        key = PageKey(ended["id"], 1, 1, 9)
        async with spine.worker.transaction() as connection:
            await connection.execute("UPDATE run SET state = 'running', finished_at = NULL")
            await begin_page(connection, key, "default", token_digest(token), UUID(int=1))
            await runs.finish(connection, ended["id"], Outcome(RunState.CANCELLED))
        batch = BatchReady(
            run_id=key.run_id, attempt=1, tenant="default", stream_version=ended["stream_version"], walk=1, number=9,
            token=token, next_token=None, stop_reason="empty_page", status=200, received=3, requests=1,
            records=[row(5), row(6), row(7)], started_at=ended["started_at"], fetched_at=ended["started_at"],
        )  # fmt: skip
        async with working(spine, "persister", "notifier"):  # who takes what is told of the run's first end
            for number in range(3):
                await spine.bus.publish(to_message(batch, UUID(int=number), "default"))
            await spine.bus.drain()
            await spine.until("SELECT 1 FROM run WHERE late > 0")
        late = await spine.row("SELECT late, state FROM run")

    assert (late["late"], late["state"]) == (3, "cancelled")
