"""The other ways in which records become rows: replaced, by groups, with history; and rows that go."""

from uuid import uuid4

import asyncpg
import pytest
from tests.support.destination import NOW, RUN, SCHEMA, append, at, batch, load, merge, rows, tables, types

from headwater.model.errors import DestinationError
from headwater.plugins.destinations import Closed, Contract, Counts, Mode, PostgresDestination, Table

NOW_AFTER_2024 = 731 * 86400  # seconds from the beginning of 2024 to NOW


@pytest.fixture
def connection(bare_connection):
    return bare_connection


@pytest.fixture
def destination():
    return PostgresDestination()


def replace(key: tuple[str, ...] = (), **kwargs) -> Table:
    return Table(SCHEMA, "things", Mode.REPLACE, key, **kwargs)


def groups(key: tuple[str, ...] = ("day",), **kwargs) -> Table:
    return Table(SCHEMA, "things", Mode.DELETE_INSERT, key, **kwargs)


def history(**kwargs) -> Table:
    return Table(SCHEMA, "things", Mode.SCD2, ("id",), **kwargs)


async def close(connection, destination, table, run=RUN, attempt=1, seconds=0.0) -> Closed:
    async with connection.transaction():
        return await destination.close_run(connection, table, run, attempt, at(seconds))


async def test_replace_shows_nothing_until_the_run_is_closed_and_then_all_of_it(connection, destination):
    table, second = replace(), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1}, {"id": 2}]), by=destination)
    assert await tables(connection) == [table.for_run(RUN, 1).name]
    assert await close(connection, destination, table) == Closed(deleted=0)
    await connection.execute(f"CREATE VIEW {SCHEMA}.watch AS SELECT id FROM {SCHEMA}.things")

    target = table.for_run(second, 1)
    await load(connection, target, batch([{"id": 3, "new": "x"}], run=second), by=destination)
    await load(connection, target, batch([{"id": 4}], run=second, page=2), by=destination)
    before = await rows(connection, "id", "watch")
    closed = await close(connection, destination, table, second)

    assert before == [(1,), (2,)]
    assert closed == Closed(deleted=2)
    assert await rows(connection, "id, new, _run_id, _page") == [(3, "x", second, 1), (4, None, second, 2)]
    assert await rows(connection, "id", "watch") == [(3,), (4,)]
    assert await tables(connection) == ["things"]


async def test_replace_follows_new_types_and_hostile_names(connection, destination):
    table, second = replace(), uuid4()
    await load(
        connection, table.for_run(RUN, 1), batch([{"id": 1, "User Name": "a", "n": 1}]), by=destination
    )
    await close(connection, destination, table)

    records = [{"id": "one", "user_name": "b", "User Name": "c", "n": 1.5}]
    await load(connection, table.for_run(second, 1), batch(records, run=second), by=destination)
    await close(connection, destination, table, second)

    kinds = await types(connection)
    assert (kinds["id"], kinds["n"], kinds["user_name"]) == ("text", "double precision", "text")
    [row] = await connection.fetch(f"SELECT * FROM {SCHEMA}.things")
    assert row["user_name"] == "c"
    assert sorted(value for value in row.values() if isinstance(value, str)) == ["b", "c", "one"]


async def test_a_replace_that_is_abandoned_leaves_the_table_as_it_was(connection, destination):
    table, second = replace(), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1}]), by=destination)
    await close(connection, destination, table)

    await load(connection, table.for_run(second, 1), batch([{"id": 2}], run=second), by=destination)
    for _ in range(2):
        await destination.abandon_run(connection, table, second, 1)

    assert await rows(connection, "id") == [(1,)]
    assert await tables(connection) == ["things"]


async def test_a_complete_replace_without_records_empties_the_table(connection, destination):
    table = replace()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1}]), by=destination)
    await close(connection, destination, table)

    assert await close(connection, destination, table, uuid4()) == Closed(deleted=1)

    assert await rows(connection, "id") == []


async def test_replace_with_a_key_keeps_one_row_per_key(connection, destination):
    table = replace(("id",))
    target = table.for_run(RUN, 1)
    await load(connection, target, batch([{"id": 1, "v": "a"}], page=1), by=destination)
    await load(connection, target, batch([{"id": 1, "v": "b"}], page=2), by=destination)

    await close(connection, destination, table)

    assert await rows(connection, "id, v") == [(1, "b")]


async def test_a_replacement_names_the_column_that_a_view_keeps_from_its_values(connection, destination):
    table, second = replace(), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1, "v": 1}]), by=destination)
    await close(connection, destination, table)
    await connection.execute(f"CREATE VIEW {SCHEMA}.watch AS SELECT v FROM {SCHEMA}.things")
    await load(
        connection, table.for_run(second, 1), batch([{"id": "a", "v": "x"}], run=second), by=destination
    )

    with pytest.raises(DestinationError, match=r"columns v \(bigint\).*a view"):
        await close(connection, destination, table, second)
    kept = await rows(connection, "id, v")
    await connection.execute(f"DROP VIEW {SCHEMA}.watch")
    await close(connection, destination, table, second)

    assert kept == [(1, 1)]
    assert await rows(connection, "id, v") == [("a", "x")]


@pytest.mark.parametrize("order", [None, "n"])
async def test_what_came_while_a_table_was_built_anew_stays(connection, destination, order):
    table, run = merge(order_by=order), uuid4()
    await load(connection, table, batch([{"id": i, "n": 1, "v": "old"} for i in (1, 2, 3)]), by=destination)
    anew = table.rebuilt()
    brought = [{"id": 1, "n": 2, "v": "run"}, {"id": 2, "n": 9, "v": "run"}, {"id": 4, "n": 2, "v": "run"}]
    await load(connection, anew.for_run(run, 1), batch(brought, at=10, run=run), by=destination)
    hooks = [{"id": 1, "n": 3, "v": "hook"}, {"id": 2, "n": 3, "v": "hook"}, {"id": 5, "n": 3, "v": "hook"}]
    await load(connection, table, batch(hooks, at=11, delivery=uuid4()), by=destination)

    closed = await close(connection, destination, anew, run, seconds=10)

    second = "run" if order else "hook"
    assert closed == Closed(deleted=1)
    assert await rows(connection, "id, v") == [(1, "hook"), (2, second), (4, "run"), (5, "hook")]


async def test_what_was_appended_while_a_table_was_built_anew_stays_unless_a_run_brought_it(
    connection, destination
):
    run, other = uuid4(), uuid4()
    await load(connection, append(), batch([{"v": "old"}]), by=destination)
    anew = append().rebuilt()
    await load(connection, anew.for_run(run, 1), batch([{"v": "run"}], at=10, run=run), by=destination)
    await load(connection, append(), batch([{"v": "hook"}], at=11, delivery=uuid4()), by=destination)
    await load(connection, append(), batch([{"v": "run"}], at=12, run=other), by=destination)

    await close(connection, destination, anew, run, seconds=10)

    assert await rows(connection, "v") == [("hook",), ("run",)]


async def test_a_frozen_table_is_not_changed_by_replace(connection, destination):
    table, second = replace(contract=Contract.FREEZE), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1}]), by=destination)
    await close(connection, destination, table)

    with pytest.raises(DestinationError, match="table things is frozen"):
        await load(
            connection, table.for_run(second, 1), batch([{"id": 1, "new": 2}], run=second), by=destination
        )


async def test_replace_is_loaded_by_runs_only(connection, destination):
    with pytest.raises(DestinationError, match="for_run"):
        await destination.prepare(connection, replace(), [batch([{"id": 1}])])


async def test_delete_insert_puts_the_newest_runs_rows_of_a_key_for_those_before(connection, destination):
    second = uuid4()
    old = [{"day": "2024-01-01", "n": 1}, {"day": "2024-01-01", "n": 2}, {"day": "2024-01-02", "n": 3}]
    await load(connection, groups(), batch(old), by=destination)

    one = await load(
        connection, groups(), batch([{"day": "2024-01-01", "n": 4}], at=1, run=second), by=destination
    )
    two = await load(
        connection, groups(), batch([{"day": "2024-01-01", "n": 5}], at=1, run=second, page=2), by=destination
    )

    assert one.counts == Counts(inserted=1, deleted=2)
    assert two.counts == Counts(inserted=1)
    assert await rows(connection, "n") == [(3,), (4,), (5,)]


async def test_delete_insert_keeps_out_groups_that_are_older(connection, destination):
    newer, older = uuid4(), uuid4()
    day = "2024-01-01"
    await load(connection, groups(), batch([{"day": day, "n": 1}], at=5, run=newer), by=destination)

    late = await load(connection, groups(), batch([{"day": day, "n": 2}], at=1, run=older), by=destination)
    both = await load(
        connection,
        groups(),
        batch([{"day": day, "n": 3}, {"day": day, "n": 4}], at=6, delivery=uuid4()),
        batch([{"day": day, "n": 5}], at=7, delivery=uuid4()),
        by=destination,
    )

    assert late.counts == Counts(unchanged=1)
    assert both.counts == Counts(inserted=1, deduplicated=2, deleted=1)
    assert await rows(connection, "n") == [(5,)]


async def test_soft_deletion_marks_rows_and_their_return_unmarks_them(connection, destination):
    table = merge(soft_delete=True, deleted_field="deleted")
    await load(connection, table, batch([{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]), by=destination)

    gone = await load(
        connection,
        table,
        batch([{"id": 1, "deleted": True}, {"id": 9, "deleted": True}], at=1),
        by=destination,
    )
    marked = await rows(connection, "id, v, _deleted_at IS NOT NULL")
    late = await load(connection, table, batch([{"id": 1, "v": "older"}], at=0.5), by=destination)
    back = await load(connection, table, batch([{"id": 1, "v": "a", "deleted": False}], at=2), by=destination)

    assert gone.counts == Counts(deleted=1, unchanged=1)
    assert marked == [(1, "a", True), (2, "b", False)]
    assert late.counts == Counts(unchanged=1)
    assert back.counts == Counts(updated=1)
    assert await rows(connection, "id, v, _deleted_at") == [(1, "a", None), (2, "b", None)]


async def test_what_is_older_than_a_deletion_does_not_bring_its_row_back(connection, destination):
    table = merge(soft_delete=True, deleted_field="gone", order_by="n")
    await load(connection, table, batch([{"id": 1, "n": 5, "v": "a"}]), by=destination)
    await load(connection, table, batch([{"id": 1, "n": 10, "gone": True}], at=1), by=destination)

    late = await load(connection, table, batch([{"id": 1, "n": 7, "v": "b"}], at=2), by=destination)

    assert late.counts == Counts(unchanged=1)
    assert await rows(connection, "n, v, _deleted_at IS NULL") == [(10, "a", False)]


@pytest.mark.parametrize(("of_row", "of_deletion", "is_back"), [(1, 5, False), (5, 1, True)])
async def test_a_deletion_is_as_new_as_its_page(connection, destination, of_row, of_deletion, is_back):
    table = merge(soft_delete=True, deleted_field="gone")
    await load(connection, table, batch([{"id": 1, "v": "a"}], page=of_row), by=destination)
    await load(connection, table, batch([{"id": 1, "gone": True}], page=of_deletion, at=1), by=destination)

    await load(connection, table, batch([{"id": 1, "v": "b"}], page=3, at=1), by=destination)

    assert await rows(connection, "v, _deleted_at IS NULL") == [("b", True) if is_back else ("a", False)]


@pytest.mark.parametrize(
    ("value", "is_gone"),
    [(True, True), ("2024-01-01T00:00:00Z", True), ("yes", True), (1, True), (False, False), (None, False),
     ("false", False), ("", False), (0, False), ("No", False)],
)  # fmt: skip
async def test_a_record_that_says_it_is_deleted_takes_its_row_away(connection, destination, value, is_gone):
    table = merge(deleted_field="gone")
    await load(connection, table, batch([{"id": 1, "v": "a"}]), by=destination)

    loaded = await load(connection, table, batch([{"id": 1, "v": "b", "gone": value}], at=1), by=destination)

    assert loaded.counts == (Counts(deleted=1) if is_gone else Counts(updated=1))
    assert await rows(connection, "v") == ([] if is_gone else [("b",)])


async def test_the_newest_record_of_a_key_decides_whether_it_is_there(connection, destination):
    table = merge(deleted_field="gone")
    records = [{"id": 1, "gone": True}, {"id": 1, "v": "again"}, {"id": 2, "v": "x"}, {"id": 2, "gone": True}]

    loaded = await load(connection, table, batch(records), by=destination)

    assert loaded.counts == Counts(inserted=1, deduplicated=2, unchanged=1)
    assert await rows(connection, "id, v") == [(1, "again")]


async def test_rows_are_deleted_by_key_unless_they_are_newer(connection, destination):
    await load(connection, merge(), batch([{"id": 1}, {"id": 2}, {"id": 3}]), by=destination)
    await load(connection, merge(), batch([{"id": 2, "v": "newer"}], at=9), by=destination)

    async with connection.transaction():
        deleted = await destination.delete(
            connection, merge(), [batch([{"id": 1}, {"id": 2}, {"id": 7}, {}], at=5)]
        )

    assert deleted.counts == Counts(deleted=1, unchanged=2, rejected=1)
    assert await rows(connection, "id") == [(2,), (3,)]
    async with connection.transaction():
        nothing = await destination.delete(connection, merge("absent"), [batch([{"id": 1}])])
    assert nothing.counts == Counts(unchanged=1)


@pytest.mark.parametrize("soft", [False, True])
async def test_what_a_complete_run_did_not_bring_goes(connection, destination, soft):
    table, second = merge(delete_missing=0.5, soft_delete=soft), uuid4()
    target = table.for_run(RUN, 1)
    await load(connection, target, batch([{"id": i, "v": "a"} for i in range(6)]), by=destination)
    await close(connection, destination, table)
    await load(
        connection, merge(soft_delete=soft), batch([{"id": 100, "v": "meanwhile"}], at=20, delivery=uuid4())
    )

    poison = {"id": 3, "v": "nul \0"}
    loaded = await load(
        connection, table.for_run(second, 1), batch([{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, poison], at=10, run=second),
        by=destination,
    )  # fmt: skip
    closed = await close(connection, destination, table, second, seconds=10)

    assert loaded.counts == Counts(updated=1, unchanged=1, rejected=1)
    assert closed == Closed(deleted=3)
    there = "WHERE _deleted_at IS NULL" if soft else ""
    found = await connection.fetch(f"SELECT id FROM {SCHEMA}.things {there} ORDER BY 1")
    assert [row[0] for row in found] == [1, 2, 3, 100]
    assert await tables(connection) == ["things"]


async def test_deletions_that_are_too_many_are_held_back_with_a_warning(connection, destination):
    table, second = merge(delete_missing=0.3), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": i} for i in range(10)]), by=destination)
    await close(connection, destination, table)
    await load(
        connection, table.for_run(second, 1), batch([{"id": i} for i in range(6)], run=second), by=destination
    )

    closed = await close(connection, destination, table, second)

    assert closed == Closed(warnings=frozenset({"deletions_held_back"}))
    assert len(await rows(connection, "id")) == 10
    assert await tables(connection) == ["things"]


async def test_a_run_without_records_deletes_nothing_unless_all_may_go(connection, destination):
    cautious, bold = merge(delete_missing=0.9), merge(delete_missing=1.0)
    await load(connection, cautious.for_run(RUN, 1), batch([{"id": 1}]), by=destination)
    await close(connection, destination, cautious)

    assert (await close(connection, destination, cautious, uuid4())).warnings == {"deletions_held_back"}
    assert await close(connection, destination, bold, uuid4()) == Closed(deleted=1)


async def test_keys_that_were_widened_in_the_run_are_still_found(connection, destination):
    table, second = merge(delete_missing=1.0), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1}, {"id": 2}, {"id": 3}]), by=destination)
    await close(connection, destination, table)
    target = table.for_run(second, 1)
    await load(connection, target, batch([{"id": 1}], run=second, page=1), by=destination)
    await load(connection, merge(), batch([{"id": "x"}], at=50, delivery=uuid4()), by=destination)

    assert await close(connection, destination, table, second, seconds=10) == Closed(deleted=2)

    assert await rows(connection, "id") == [("1",), ("x",)]


async def test_versions_are_kept_with_the_time_in_which_they_held(connection, destination):
    await load(connection, history(), batch([{"id": 1, "v": "a"}, {"id": 2, "v": "x"}]), by=destination)

    two = await load(
        connection,
        history(),
        batch([{"id": 1, "v": "b"}, {"id": 2, "v": "x"}, {"id": 3, "v": "y"}], at=10, run=uuid4()),
        by=destination,
    )
    late = await load(
        connection, history(), batch([{"id": 1, "v": "late"}], at=5, run=uuid4()), by=destination
    )

    assert two.counts == Counts(inserted=1, updated=1, unchanged=1)
    assert late.counts == Counts(unchanged=1)
    assert await rows(connection, "id, v, _valid_from, _valid_to", order="id, _valid_from") == [
        (1, "a", NOW, at(10)), (1, "b", at(10), None), (2, "x", NOW, None), (3, "y", at(10), None),
    ]  # fmt: skip


async def test_several_versions_in_one_load_become_several_rows(connection, destination):
    versions = [batch([{"id": 1, "v": v}], at=second, delivery=uuid4()) for second, v in enumerate("aabca")]

    loaded = await load(connection, history(), *reversed(versions), by=destination)

    assert loaded.counts == Counts(inserted=1, updated=3, unchanged=1)
    assert await rows(connection, "v, _valid_from, _valid_to", order="_valid_from") == [
        ("a", NOW, at(2)), ("b", at(2), at(3)), ("c", at(3), at(4)), ("a", at(4), None),
    ]  # fmt: skip


async def test_versions_at_one_instant_correct_each_other(connection, destination):
    await load(connection, history(), batch([{"id": 1, "v": "a", "w": 1}], page=1), by=destination)

    loaded = await load(connection, history(), batch([{"id": 1, "v": "b"}], page=2), by=destination)

    assert loaded.counts == Counts(updated=1)
    assert await rows(connection, "v, w, _valid_to") == [("b", None, None)]


async def test_versions_hold_from_the_instant_that_records_name(connection, destination):
    table = history(order_by="changed_at")
    await load(
        connection, table, batch([{"id": 1, "v": "a", "changed_at": "2020-01-01T00:00:00Z"}]), by=destination
    )

    await load(
        connection,
        table,
        batch([{"id": 1, "v": "b", "changed_at": "2021-01-01T00:00:00+01:00"}], at=1),
        by=destination,
    )

    assert await rows(connection, "v, _valid_from = changed_at, _valid_to::date::text", order="changed_at") == [
        ("a", True, "2020-12-31"), ("b", True, None),
    ]  # fmt: skip


async def test_a_deletion_ends_the_version_that_holds_and_a_return_begins_another(connection, destination):
    table = history(deleted_field="gone")
    await load(connection, table, batch([{"id": 1, "v": "a"}]), by=destination)

    gone = await load(connection, table, batch([{"id": 1, "gone": True}], at=5), by=destination)
    late = await load(connection, table, batch([{"id": 1, "v": "late"}], at=3), by=destination)
    back = await load(connection, table, batch([{"id": 1, "v": "a"}], at=9), by=destination)

    assert gone.counts == Counts(deleted=1)
    assert late.counts == Counts(unchanged=1)
    assert back.counts == Counts(inserted=1)
    assert await rows(connection, "v, _valid_from, _valid_to", order="_valid_from") == [
        ("a", NOW, at(5)), ("a", at(9), None),
    ]  # fmt: skip


async def test_a_key_that_a_run_did_not_bring_holds_again_from_the_run_that_does(connection, destination):
    table = history(order_by="changed_at", delete_missing=1.0)
    first, other = (
        {"id": 1, "changed_at": "2024-01-01T00:00:00Z"},
        {"id": 2, "changed_at": "2024-01-01T00:00:00Z"},
    )
    for seconds, record in ((0, first), (10, other), (20, first)):
        run = uuid4()
        target = table.for_run(run, 1)
        await load(connection, target, batch([record], at=seconds, run=run), by=destination)
        await close(connection, destination, table, run, seconds=seconds)

    older = {"id": 2, "changed_at": "2024-02-01T00:00:00Z"}
    await load(
        connection, history(order_by="changed_at"), batch([older], at=15, delivery=uuid4()), by=destination
    )
    changed = {"id": 1, "changed_at": "2025-01-01T00:00:00Z"}
    await load(
        connection, history(order_by="changed_at"), batch([changed], at=30, delivery=uuid4()), by=destination
    )

    assert await rows(connection, "id, changed_at::date::text, _valid_from, _valid_to", order="1, 3") == [
        (1, "2024-01-01", at(-NOW_AFTER_2024), at(10)), (1, "2025-01-01", at(20), None),
        (2, "2024-01-01", at(-NOW_AFTER_2024), at(20)),
    ]  # fmt: skip


async def test_a_newer_version_that_names_no_later_instant_takes_the_place_of_the_one_that_holds(
    connection, destination
):
    table = history(order_by="n")
    await load(connection, table, batch([{"id": 1, "n": 1}], at=5, delivery=uuid4()), by=destination)

    late = await load(connection, table, batch([{"id": 1, "n": 2}], at=4, delivery=uuid4()), by=destination)

    assert late.counts == Counts(updated=1)
    assert await rows(connection, "n, _valid_from, _valid_to") == [(2, at(5), None)]


async def test_versions_that_a_complete_run_did_not_bring_end_with_it(connection, destination):
    table, second = history(delete_missing=1.0), uuid4()
    await load(connection, table.for_run(RUN, 1), batch([{"id": 1}, {"id": 2}]), by=destination)
    await close(connection, destination, table)
    await load(connection, table.for_run(second, 1), batch([{"id": 2}], at=10, run=second), by=destination)

    assert await close(connection, destination, table, second, seconds=10) == Closed(deleted=1)

    assert await rows(connection, "id, _valid_to") == [(1, at(10)), (2, None)]


LOADED_BY = {
    "append": append(),
    "merge": merge(),
    "merge by two": merge(key=("id", "r")),
    "groups": groups(("id",)),
    "history": history(),
}


@pytest.mark.parametrize("now", list(LOADED_BY))
@pytest.mark.parametrize("before", list(LOADED_BY))
async def test_what_a_table_was_loaded_by_before_keeps_no_row_out(connection, destination, before, now):
    first = [{"id": 1, "r": 1, "v": "a"}, {"id": 2, "r": 1, "v": "b"}]
    await load(connection, LOADED_BY[before], batch(first), by=destination)
    await connection.execute(f"CREATE UNIQUE INDEX things_key ON {SCHEMA}.things (id, r, v)")

    news = [{"id": 1, "r": 2, "v": "c"}, {"id": 1, "r": 3, "v": "d"}]
    loaded = await load(connection, LOADED_BY[now], batch(news, at=1, run=uuid4()), by=destination)
    expected = {
        "append": {"a", "b", "c", "d"}, "merge": {"b", "d"}, "merge by two": {"a", "b", "c", "d"}, "groups": {"b", "c", "d"},
        "history": {"b", "d"},
    }  # fmt: skip
    current = "WHERE _valid_to IS NULL" if now == "history" else ""
    found = await connection.fetch(f"SELECT v FROM {SCHEMA}.things {current}")
    run, anew = uuid4(), LOADED_BY[now].rebuilt()
    await load(connection, anew.for_run(run, 1), batch(news, at=2, run=run), by=destination)
    await close(connection, destination, anew, run, seconds=2)
    rebuilt = await connection.fetch(f"SELECT v FROM {SCHEMA}.things {current}")

    assert loaded.rejected == ()
    assert {row["v"] for row in found} == expected[now]
    assert {row["v"] for row in rebuilt} == expected[now] - {"a", "b"}
    kept = await connection.fetch("SELECT indexname::text FROM pg_indexes WHERE schemaname = $1 AND indexname = 'things_key'", SCHEMA)  # fmt: skip
    assert len(kept) == 1


async def test_poison_rows_are_rejected_alone_in_every_mode(connection, destination):
    records = [
        {"id": 1, "day": 1, "v": "a"},
        {"id": 2, "day": 1, "v": "nul \0"},
        {"id": 3, "day": 1, "v": "c"},
    ]
    for table in (groups(), history(), replace().for_run(RUN, 1)):
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

        loaded = await load(connection, table, batch(records), by=PostgresDestination())

        assert loaded.counts == Counts(inserted=2, rejected=1)


async def test_rows_that_the_table_refuses_are_rejected_alone_in_every_mode(connection):
    for table in (groups(), history(), append(), merge()):
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        await load(connection, table, batch([{"id": 1, "day": 1, "n": 1}]))
        await connection.execute(f"ALTER TABLE {SCHEMA}.things ADD CHECK (n < 5)")

        records = [{"id": i, "day": i, "n": i} for i in range(2, 8)]
        loaded = await load(connection, table, batch(records, at=1, run=uuid4()))

        assert loaded.counts == Counts(inserted=3, rejected=3)
        assert [row.index for row in loaded.rejected] == [3, 4, 5]
        assert "check constraint" in loaded.rejected[0].reason


async def test_every_mode_works_with_the_rights_of_the_loader(database, destination):
    connection = await asyncpg.connect(database)
    try:
        for table in (
            append("a"), merge("b", children=("items",), delete_missing=1.0), replace(), groups(("id",)), history(),
        ):  # fmt: skip
            for run in (uuid4(), uuid4()):
                target = table.for_run(run, 1)
                mine = batch([{"id": 1, "v": str(run), "items": [1]}, {"id": 2}], run=run)
                async with connection.transaction():
                    await connection.execute("SET LOCAL ROLE headwater_loader")
                    plan = await destination.prepare(connection, target, [mine])
                async with connection.transaction():
                    await connection.execute("SET LOCAL ROLE headwater_loader")
                    loaded = await destination.load(connection, plan, [mine])
                    await destination.close_run(connection, table, run, 1, at(0))
                assert loaded.counts.rejected == 0
            await connection.execute(f"DROP TABLE IF EXISTS {SCHEMA}.things")
        owners = await connection.fetch(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = $1", SCHEMA
        )
        assert [row[0] for row in owners] == ["headwater_loader"]
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("fault", "kwargs"),
    [
        ("needs a key", {"mode": Mode.SCD2}),
        ("needs a key", {"mode": Mode.DELETE_INSERT}),
        ("deletions need a key", {"mode": Mode.APPEND, "soft_delete": True}),
        ("deletions need a key", {"mode": Mode.DELETE_INSERT, "key": ("id",), "deleted_field": "gone"}),
        ("share", {"mode": Mode.MERGE, "key": ("id",), "delete_missing": 1.5}),
    ],
)
def test_definitions_that_cannot_be_are_refused(fault, kwargs):
    with pytest.raises(DestinationError, match=fault):
        Table(SCHEMA, "things", **kwargs)


def test_each_attempt_has_helpers_of_its_own():
    one, two = replace().for_run(RUN, 1), replace().for_run(RUN, 2)

    assert one.name != two.name
    assert len(Table(SCHEMA, "t" * 63, Mode.REPLACE).for_run(RUN, 1).name) <= 63
    assert merge().for_run(RUN, 1) == merge()
