"""Lists as tables of their own: elements follow the record that stands, whatever comes late or goes."""

from uuid import uuid4

import pytest
from tests.support.destination import RUN, SCHEMA, append, at, batch, load, merge, rows, tables, types

from headwater.model.errors import DestinationError
from headwater.plugins.destinations import Closed, Counts, Mode, PostgresDestination, Table

ITEMS = "things__items"


@pytest.fixture
def connection(bare_connection):
    return bare_connection


@pytest.fixture
def destination():
    return PostgresDestination()


def order(number: int, *skus: str, **more) -> dict:
    return {"id": number, "items": [{"sku": sku, "n": place} for place, sku in enumerate(skus)], **more}


async def skus(connection) -> list:
    return await rows(connection, "_parent_id, sku", ITEMS, order="_parent_id, sku")


async def test_elements_become_rows_that_name_their_parent(connection, destination):
    table = merge(children=("items", "tags"))

    loaded = await load(
        connection, table, batch([order(1, "a", "b", tags=["x"]), order(2, total=5)]), by=destination
    )

    assert loaded.counts == Counts(inserted=2)
    assert await tables(connection) == ["things", "things__items", "things__tags"]
    assert set(await types(connection)) == {"id", "total"}
    assert await rows(connection, "_parent_id, sku, n, _position, _run_id", ITEMS, order="_position") == [
        (1, "a", 0, 0, RUN), (1, "b", 1, 1, RUN),
    ]  # fmt: skip
    assert await rows(connection, "_parent_id, value", "things__tags") == [(1, "x")]


async def test_a_newer_record_replaces_the_elements_and_an_older_one_does_not(connection, destination):
    table = merge(children=("items",))
    await load(connection, table, batch([order(1, "a", "b"), order(2, "c")], at=5), by=destination)

    late = await load(connection, table, batch([order(1, "old")], at=1), by=destination)
    newer = await load(connection, table, batch([order(1, "b", "d")], at=9), by=destination)

    assert late.counts == Counts(unchanged=1)
    assert newer.counts == Counts(updated=1)
    assert await skus(connection) == [(1, "b"), (1, "d"), (2, "c")]


async def test_an_empty_list_takes_the_elements_away_for_good(connection, destination):
    table = merge(children=("items",))
    await load(connection, table, batch([order(1, "a")]), by=destination)

    await load(connection, table, batch([order(1)], at=9), by=destination)
    await load(connection, table, batch([order(1, "late")], at=5), by=destination)

    assert await skus(connection) == []


async def test_elements_of_a_record_that_says_nothing_new_stay_untouched(connection, destination):
    table = merge(children=("items",))
    await load(connection, table, batch([order(1, "a")]), by=destination)
    before = await rows(connection, "xmin::text", ITEMS)

    same = {"items": [{"n": 0, "sku": "a"}], "id": 1}
    loaded = await load(connection, table, batch([same], at=9, run=uuid4()), by=destination)

    assert loaded.counts == Counts(unchanged=1)
    assert await rows(connection, "xmin::text", ITEMS) == before


async def test_of_duplicates_in_a_load_only_the_newest_brings_elements(connection, destination):
    table = merge(children=("items",))

    loaded = await load(
        connection, table, batch([order(1, "a")], page=2), batch([order(1, "b")], page=1), by=destination
    )

    assert loaded.counts == Counts(inserted=1, deduplicated=1)
    assert await skus(connection) == [(1, "a")]


async def test_without_a_key_elements_name_their_parents_place(connection, destination):
    table = append(children=("items",))

    await load(connection, table, batch([order(7), order(8, "a", "b")], page=3), by=destination)

    assert await rows(connection, "_page, _parent_position, _position, sku", ITEMS, order="_position") == [
        (3, 1, 0, "a"), (3, 1, 1, "b"),
    ]  # fmt: skip
    assert await destination.remove_unfinished(connection, table, [RUN]) == 2
    assert await rows(connection, "1", ITEMS) == []


async def test_rejected_records_bring_no_elements_and_bad_elements_are_named(connection, destination):
    table = merge(children=("items",))
    records = [order(1, "a", note="nul \0"), {"items": [{"sku": "no key"}]}, order(3, "good", "nul \0")]

    loaded = await load(connection, table, batch(records), by=destination)

    assert loaded.counts == Counts(inserted=1, rejected=2)
    assert await skus(connection) == [(3, "good")]
    assert [(row.index, row.record) for row in loaded.rejected] == [
        (1, records[1]), (0, records[0]), (2, {**records[2]["items"][1], "\0parent_id": 3}),
    ]  # fmt: skip
    assert "an element of 'items'" in loaded.rejected[2].reason


async def test_elements_whose_own_fields_look_like_links_keep_them(connection, destination):
    record = {
        "id": 1,
        "items": [{"_parent_id": "theirs", "_position": "p", "value": {"deep": []}}, 5, None, "x"],
    }

    await load(connection, merge(children=("items",)), batch([record]), by=destination)

    assert await rows(connection, "_parent_id, _parent_id_, _position_, value", ITEMS, order="_position") == [
        (1, "theirs", "p", '{"deep": []}'), (1, None, None, "5"), (1, None, None, None), (1, None, None, '"x"'),
    ]  # fmt: skip


async def test_a_single_object_is_a_list_of_one(connection, destination):
    await load(
        connection,
        merge(children=("items",)),
        batch([{"id": 1, "items": {"sku": "a"}}, {"id": 2, "items": None}]),
    )

    assert await skus(connection) == [(1, "a")]


async def test_elements_go_with_their_parent(connection, destination):
    table = merge(children=("items",), deleted_field="gone")
    await load(connection, table, batch([order(i, f"sku{i}") for i in range(4)]), by=destination)

    await load(connection, table, batch([{"id": 0, "gone": True}], at=1), by=destination)
    async with connection.transaction():
        await destination.delete(connection, table, [batch([{"id": 1}], at=1)])

    assert await skus(connection) == [(2, "sku2"), (3, "sku3")]


async def test_elements_of_what_a_complete_run_did_not_bring_go(connection, destination):
    table, second = merge(children=("items",), delete_missing=1.0), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([order(1, "a"), order(2, "b")]), by=destination)
    async with connection.transaction():
        await destination.close_run(connection, table, RUN, 1, at(0))
    await load(connection, table.for_run(second, 1), batch([order(2, "b")], at=9, run=second), by=destination)

    async with connection.transaction():
        closed = await destination.close_run(connection, table, second, 1, at(9))

    assert closed == Closed(deleted=1)
    assert await skus(connection) == [(2, "b")]


@pytest.mark.parametrize("key", [(), ("id",)])
async def test_replace_exchanges_the_elements_as_well(connection, destination, key):
    table, second = Table(SCHEMA, "things", Mode.REPLACE, key, children=("items",)), uuid4()
    for run, sku in ((RUN, "old"), (second, "new")):
        await load(
            connection, table.for_run(run, 1), batch([order(1, sku), order(2)], run=run), by=destination
        )
        async with connection.transaction():
            await destination.close_run(connection, table, run, 1, at(0))

    assert await rows(connection, "sku, _run_id", ITEMS) == [("new", second)]
    assert await tables(connection) == ["things", ITEMS]
    await load(connection, table.for_run(RUN, 2), batch([order(1, "x")]), by=destination)
    await destination.abandon_run(connection, table, RUN, 2)
    assert await tables(connection) == ["things", ITEMS]


async def test_names_of_child_tables_can_always_be(connection, destination):
    fields = ("Line Items", "line items", "x" * 70, "🎉", "")
    record = {"id": 1, **{field: [{"a": field}] for field in fields}}

    await load(connection, merge("t" * 60, children=fields), batch([record]), by=destination)

    found = [name for name in await tables(connection) if name != "t" * 60]
    assert len(found) == 5
    values = [(await rows(connection, "a", name))[0][0] for name in found]
    assert sorted(values) == sorted(fields)


@pytest.mark.parametrize(
    ("fault", "kwargs"),
    [
        ("no child tables", {"mode": Mode.SCD2, "key": ("id",), "children": ("items",)}),
        ("cannot be a child table", {"mode": Mode.MERGE, "key": ("id",), "children": ("id",)}),
    ],
)
def test_definitions_that_cannot_be_are_refused(fault, kwargs):
    with pytest.raises(DestinationError, match=fault):
        Table(SCHEMA, "things", **kwargs)
