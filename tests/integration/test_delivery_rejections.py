"""Records of deliveries that can be no rows: when a delivery is dead, and when it says what it lost."""

from typing import Any

import pytest
from tests.support.receipts import hand_in, receipt, settled
from tests.support.spine import open_spine, working


def endpoint(parts: str) -> str:
    return f"version: 1\nendpoints:\n  - {{name: orders, scheme: github, secrets: [s], {parts}}}\n"


@pytest.mark.parametrize(
    ("body", "state", "reason", "ids"),
    [
        (
            {"id": 1, "items": [{"a": "x"}, {"a": "\0"}]},
            "done",
            "1 of 1 records for orders without some elements: an element of 'items': a text holds",
            [1],
        ),
        (
            [{"id": 1, "items": [{"a": "\0"}, {"a": "\0"}]}, {"id": 2}],
            "done",
            "1 of 2 records for orders without some elements: an element of 'items': a text holds",
            [1, 2],
        ),
        (
            [{"id": 1, "items": [{"a": "\0"}]}, {"no": "key"}],
            "done",
            "2 of 2 records for orders rejected: ",
            [1],
        ),
        ([{"no": "key"}, {"no": "key"}], "dead", "key field 'id' is missing", []),
    ],
)
async def test_a_delivery_is_dead_when_no_record_of_it_is_a_row_and_not_for_elements_alone(
    database: str, body: Any, state: str, reason: str, ids: list[int]
) -> None:
    parts = "destination: {table: orders, mode: merge, key: id, children: items}, publish: true"
    async with open_spine(database) as spine:
        await spine.apply(endpoint(parts))

        async with working(spine, "persister"):
            await hand_in(spine, receipt("orders", {"id": 0, "items": [{"a": "x"}]}), receipt("orders", body))
            rows = await settled(spine, 2)

        (row,) = [row for row in rows if row["reason"] is not None]
        assert row["state"] == state
        assert row["reason"].startswith(reason)
        assert [each["id"] for each in await spine.rows_of("orders", "id")] == [0, *ids]
        assert len(await spine.fetch("SELECT * FROM outbox")) == 1 + (state == "done")


async def test_a_delivery_that_gives_none_of_its_tables_a_row_is_dead(database: str) -> None:
    parts = (
        "tables: [{fields: {id: id}, destination: {table: heads, mode: merge, key: id}},"
        " {records: {path: lines}, fields: {of: _.body.id, sku: sku}, destination: {table: lines, mode: merge, key: [of, sku]}}]"
    )
    async with open_spine(database) as spine:
        await spine.apply(endpoint(parts))

        async with working(spine, "persister"):
            await hand_in(
                spine,
                receipt("orders", {"lines": [{"sku": "a"}]}),
                receipt("orders", {"id": 1, "lines": [{"no": "sku"}]}),
                receipt("orders", {"id": 2, "lines": []}),
            )
            rows = await settled(spine, 3)

        assert sorted((row["state"], row["reason"] or "") for row in rows) == [
            (
                "dead",
                (
                    "1 of 1 records for heads rejected: key field 'id' is missing;"
                    " 1 of 1 records for lines rejected: key field 'of' is missing"
                ),
            ),
            ("done", ""),
            ("done", "1 of 1 records for lines rejected: key field 'sku' is missing"),
        ]


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_delivery_whose_fields_lead_to_nothing_is_a_row_of_nothing_else(
    database: str, is_there: bool
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("fields: {sku: item.sku}, destination: {table: orders}"))

        async with working(spine, "persister"):
            if is_there:
                await hand_in(spine, receipt("orders", {"item": {"sku": "a"}}))
                await settled(spine, 1)
            await hand_in(spine, receipt("orders", {"other": 1}))
            found = await settled(spine, 1 + is_there)

        assert {row["state"] for row in found} == {"done"}
        assert len(await spine.rows_of("orders", "_delivery_id")) == 1 + is_there
