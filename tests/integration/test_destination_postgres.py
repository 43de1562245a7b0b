"""Records into real tables: what is seen makes the columns, keys make rows one, and nothing is lost on the way."""

import asyncio
import random
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest
from tests.support.destination import RUN, SCHEMA, append, at, batch, load, merge, rows, types

from headwater.contracts import codec
from headwater.model.errors import DestinationError, Later
from headwater.model.infer import Kind
from headwater.plugins.destinations import evolve as evolving
from headwater.plugins.destinations.merging import any_key_between, ranges_of
from headwater.plugins.destinations.postgres import PostgresDestination
from headwater.plugins.destinations.table import Contract, Counts, Loaded, Mode, StalePlan, Table


@pytest.fixture
def connection(bare_connection):
    return bare_connection


@pytest.fixture
def other(other_connection):
    return other_connection


async def until_waiting(connection) -> None:
    """Returns when some transaction of this database waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database())"
        ):
            await asyncio.sleep(0.01)


async def test_columns_are_made_from_what_is_seen(connection):
    records = [
        {
            "id": 1, "ok": True, "price": 1.5, "huge": 2**63, "exact": Decimal("0.12345678901234567890"),
            "day": "2024-02-29", "at": "2024-02-29T12:00:00+05:30", "name": "x", "tags": ["a"], "nothing": None,
        }
    ]  # fmt: skip

    await load(connection, append(), batch(records))

    assert await types(connection) == {
        "id": "bigint", "ok": "boolean", "price": "double precision", "huge": "numeric", "exact": "numeric",
        "day": "date", "at": "timestamp with time zone", "name": "text", "tags": "jsonb",
    }  # fmt: skip
    [row] = await connection.fetch(f"SELECT * FROM {SCHEMA}.things")
    assert row["exact"] == Decimal("0.12345678901234567890")
    assert row["huge"] == 2**63
    assert row["at"] == datetime(2024, 2, 29, 6, 30, tzinfo=UTC)
    assert (row["_run_id"], row["_page"], row["_position"], row["_extra"]) == (RUN, 1, 0, None)


async def test_numbers_come_back_digit_for_digit(connection):
    texts = [
        "0.1",
        "123456789012345678901234567890.000000000000000001",
        "1e400",
        "-0.00000000000000000000001",
        "5e-324",
    ]
    records = [
        codec.loads(f'{{"id": {i}, "n": {text}, "pad": 0.12345678901234567}}'.encode())
        for i, text in enumerate(texts)
    ]

    await load(connection, append(), batch(records))

    assert [row[0] for row in await rows(connection, "n", order="id")] == [Decimal(text) for text in texts]


async def test_nested_numbers_stay_exact_in_jsonb(connection):
    record = codec.loads(b'{"id": 1, "deep": {"n": 12345678901234567890.123456789}}')

    await load(connection, append(), batch([record]))

    assert await rows(connection, "deep->>'n'") == [("12345678901234567890.123456789",)]


async def test_appending_twice_gives_rows_twice_and_removal_by_run_takes_them_back(connection):
    destination = PostgresDestination()
    other_run = uuid4()
    await load(connection, append(), batch([{"id": 1}]), by=destination)
    await load(connection, append(), batch([{"id": 1}], run=other_run), by=destination)

    removed = await destination.remove_unfinished(connection, append(), [RUN])

    assert removed == 1
    assert await rows(connection, "id, _run_id") == [(1, other_run)]
    assert await destination.remove_unfinished(connection, append("absent"), [RUN]) == 0


async def test_merge_counts_what_it_did_and_leaves_unchanged_rows_untouched(connection):
    first = [{"id": i, "v": "a"} for i in range(5)]
    second = [{"id": i, "v": "a" if i < 2 else "b"} for i in range(7)]

    one = await load(connection, merge(), batch(first))
    before = dict(await rows(connection, "id, xmin::text"))
    two = await load(connection, merge(), batch(second, at=10, run=uuid4()))

    assert one.counts == Counts(inserted=5)
    assert two.counts == Counts(inserted=2, updated=3, unchanged=2)
    after = dict(await rows(connection, "id, xmin::text"))
    assert [i for i in before if before[i] == after[i]] == [0, 1]
    assert await rows(connection, "id, v") == [(i, "a" if i < 2 else "b") for i in range(7)]


async def test_the_newest_of_duplicates_wins_within_and_across_batches(connection):
    older = batch([{"id": 1, "v": "old"}, {"id": 1, "v": "older page, last"}], page=1)
    newer = batch([{"id": 1, "v": "new"}, {"id": 2, "v": "only"}], page=2)

    loaded = await load(connection, merge(), newer, older)

    assert loaded.counts == Counts(inserted=2, deduplicated=2)
    assert await rows(connection, "id, v") == [(1, "new"), (2, "only")]


@pytest.mark.parametrize("mode", [Mode.MERGE, Mode.SCD2])
async def test_the_newest_is_the_later_one_also_where_a_field_has_no_name(connection, mode):
    table = Table(SCHEMA, "things", mode, ("id",))
    await load(connection, table, batch([{"id": 1, "v": 1, "": 9}, {"id": 1, "v": 2, "": 8}]))
    await load(connection, table, batch([{"id": 1, "v": 3, "": 7}], at=1))

    current = "WHERE _valid_to IS NULL" if mode is Mode.SCD2 else ""
    assert await connection.fetchval(f"SELECT v FROM {SCHEMA}.things {current}") == 3


async def test_a_bad_record_does_not_take_the_one_before_it_with_it(connection):
    bad = [{"id": 1, "v": "\ud800"}, {"id": 2, "v": "\0"}, {"id": 3, "v": "\0"}]
    good = [{"id": 1, "v": "a"}, {"id": 1, "v": "b"}, {"id": 2, "v": "c"}]

    loaded = await load(connection, merge(), batch([*good, *bad, {"id": 4, "v": "d"}]))

    assert loaded.counts == Counts(inserted=3, rejected=3, deduplicated=1)
    assert await rows(connection, "id, v") == [(1, "b"), (2, "c"), (4, "d")]


async def test_an_older_record_never_replaces_a_newer_one(connection):
    await load(connection, merge(), batch([{"id": 1, "v": "new"}], page=5))

    late = await load(connection, merge(), batch([{"id": 1, "v": "late"}], page=3))

    assert late.counts == Counts(unchanged=1)
    assert await rows(connection, "v") == [("new",)]


async def test_the_same_content_seen_later_in_a_run_guards_against_older_pages(connection):
    await load(connection, merge(), batch([{"id": 1, "v": "a"}], page=1))
    same = await load(connection, merge(), batch([{"id": 1, "v": "a"}], page=5))

    late = await load(connection, merge(), batch([{"id": 1, "v": "b"}], page=3))

    assert same.counts == Counts(unchanged=1)
    assert late.counts == Counts(unchanged=1)
    assert await rows(connection, "v") == [("a",)]


async def test_order_by_a_field_beats_the_order_of_arrival(connection):
    table = merge(order_by="version")
    await load(
        connection,
        table,
        batch([{"id": 1, "version": 10, "v": "ten"}, {"id": 2, "version": None, "v": "none"}]),
    )

    loaded = await load(
        connection, table,
        batch([{"id": 1, "version": 9, "v": "nine"}, {"id": 2, "version": 1, "v": "one"}, {"id": 2, "v": "null again"}], at=60),
    )  # fmt: skip

    assert loaded.counts == Counts(updated=1, unchanged=1, deduplicated=1)
    assert await rows(connection, "id, v") == [(1, "ten"), (2, "one")]


async def test_records_without_their_key_are_rejected_with_the_reason_and_make_no_columns(connection):
    records = [{"id": 1}, {"x": 1}, {"id": None}, 7, "text", None, [1]]

    loaded = await load(connection, merge(), batch(records))

    assert loaded.counts == Counts(inserted=1, rejected=6)
    assert [(row.index, row.reason) for row in loaded.rejected] == [
        (1, "key field 'id' is missing"),
        (2, "key field 'id' is null"),
        (3, "the record is no object but a number"),
        (4, "the record is no object but a text"),
        (5, "the record is no object but null"),
        (6, "the record is no object but a list"),
    ]
    assert await types(connection) == {"id": "bigint"}


async def test_nothing_but_rejected_records_makes_no_table(connection):
    loaded = await load(connection, merge(), batch([{"x": 1}]))

    assert loaded.counts == Counts(rejected=1)
    assert await connection.fetchval(f"SELECT to_regclass('{SCHEMA}.things')") is None


async def test_records_without_any_field_are_rows_whether_the_table_is_there_or_not(connection):
    first = await load(connection, append(), batch([{}, {}]))
    second = await load(connection, append(), batch([{"id": 1}]))
    third = await load(connection, append(), batch([{}]))

    assert [each.counts.inserted for each in (first, second, third)] == [2, 1, 1]
    assert await rows(connection, "id") == [(1,), (None,), (None,), (None,)]


async def test_poison_records_are_rejected_alone(connection):
    records = [
        {"id": 1, "t": "fine", "j": {"a": "\\u0000 in letters"}},
        {"id": 2, "t": "nul \0"},
        {"id": 3, "t": "half \ud800"},
        {"id": 4, "j": {"deep": ["nul \0"]}},
        {"id": 5, "j": {"half": "\udfff"}},
        {"id": 6, "j": {"nul \0": 1}},
        {"id": 7, "j": codec.loads(b"[" * 400 + b"]" * 400)},
        {"id": 8, "j": {"n": Decimal("1e999999")}},
        {"id": 9, "t": "fine"},
    ]

    loaded = await load(connection, append(), batch(records))

    assert await rows(connection, "id") == [(1,), (9,)]
    assert sorted(row.index for row in loaded.rejected) == [1, 2, 3, 4, 5, 6, 7]
    assert all(row.reason and row.record is records[row.index] for row in loaded.rejected)
    assert await rows(connection, "j->>'a'") == [("\\u0000 in letters",), (None,)]


async def test_text_comes_back_as_it_was_sent(connection):
    texts = [
        "\\N",
        "\\.",
        "a\tb\nc\r\nd\\e",
        "",
        " ",
        "'; DROP TABLE things; --",
        "🎉",
        "\x7f\x1b",
        "\u2028",
        '"',
        "NULL",
        "\\x41",
    ]

    await load(connection, append(), batch([{"id": i, "t": text} for i, text in enumerate(texts)]))

    assert [row[0] for row in await rows(connection, "t", order="id")] == texts


async def test_hostile_field_names_each_get_a_column_of_their_own(connection):
    names = [
        "select", 'a"; DROP TABLE x; --', "🎉", "🎊", "x" * 80, "x" * 81, "User Name", "user_name", "userName", "",
        " ", "1st", "_run_id", "_RUN_ID", "ctid", "xmin", "é", "é", "nul\0", "half\ud800", "名前", "%s $1", "a.b",
        "a-b", "_extra", "İ", "\\", "'", "\n",
    ]  # fmt: skip
    record = {name: f"value {i}" for i, name in enumerate(names)}

    await load(connection, append(), batch([record]))
    await load(
        connection, append(), batch([record], run=uuid4())
    )  # another loader, another run: the same columns

    row = await connection.fetchrow(f"SELECT * FROM {SCHEMA}.things LIMIT 1")
    values = [value for column, value in row.items() if isinstance(value, str)]
    assert sorted(values) == sorted(record.values())
    assert all(len(column.encode()) <= 63 for column in row.keys())  # noqa: SIM118 - iterating a row gives values


async def test_a_column_stays_with_the_field_that_came_first(connection):
    await load(connection, append(), batch([{"User Name": "a"}]))

    await load(connection, append(), batch([{"user_name": "b"}]))

    [column] = [name for name in await types(connection) if name != "user_name"]
    assert await rows(connection, f'user_name, "{column}"') == [("a", None), (None, "b")]


async def test_texts_that_are_null_throughout_a_load_are_written_as_null(connection):
    table = merge()
    await load(connection, table, batch([{"id": 1, "a": "x", "b": "y", "n": 1}]))

    async with asyncio.timeout(20):
        await load(connection, table, batch([{"id": 2, "a": "x", "b": None, "n": None}], at=1))
        await load(connection, table, batch([{"id": i, "a": None, "b": None} for i in (3, 4)], at=2))

    assert await rows(connection, "id, a, b, n") == [
        (1, "x", "y", 1), (2, "x", None, None), (3, None, None, None), (4, None, None, None),
    ]  # fmt: skip


async def test_later_values_widen_columns_without_loss(connection):
    first = {
        "n": 1,
        "d": 1,
        "t": 5,
        "at": "2024-01-01",
        "when": "2024-01-01T00:00:00.5Z",
        "j": "x",
        "b": True,
        "f": 0.1,
    }
    second = {
        "n": 2**70, "d": 0.5, "t": "five", "at": "2024-01-01T10:00:00Z", "when": "soon", "j": {"k": 1}, "b": "no",
        "f": Decimal("0.1000000000000000055511151231257827"),
    }  # fmt: skip
    destination = PostgresDestination()
    await load(connection, append(), batch([first]), by=destination)

    await load(connection, append(), batch([second]), by=destination)

    assert await types(connection) == {
        "n": "numeric", "d": "double precision", "t": "text", "at": "timestamp with time zone", "when": "text",
        "j": "jsonb", "b": "text", "f": "numeric",
    }  # fmt: skip
    assert await rows(connection, 'n, d, t, at, "when", j, b, f', order="n") == [
        (1, 1.0, "5", datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00.500000Z", '"x"', "true", Decimal("0.1")),
        (2**70, 0.5, "five", datetime(2024, 1, 1, 10, tzinfo=UTC), "soon", '{"k": 1}', "no",
         Decimal("0.1000000000000000055511151231257827")),
    ]  # fmt: skip


async def test_an_instant_that_is_before_our_era_in_utc_stays_there_when_its_column_becomes_text(connection):
    await load(
        connection, append(), batch([{"at": "0001-01-01T00:00:00+01:00"}, {"at": "0001-01-01T00:00:00Z"}])
    )

    await load(connection, append(), batch([{"at": "never"}], page=2))

    assert [row[0] for row in await rows(connection, "at", order="_page, _position")] == [
        "0001-12-31T23:00:00.000000Z BC",
        "0001-01-01T00:00:00.000000Z",
        "never",
    ]


@pytest.mark.parametrize(
    "keys",
    [
        ["2024-01-01T00:00:00Z", "2024-01-01T01:30:00+02:00"],
        [1.0, 2.5, 1e15, 7],
        [Decimal("0.10"), Decimal("1e-400")],
    ],
)
async def test_a_key_that_would_be_written_otherwise_as_text_is_not_widened(connection, keys):
    destination = PostgresDestination()
    records = [{"id": key, "v": 1} for key in keys]
    await load(connection, merge(), batch(records), by=destination)

    other = await load(connection, merge(), batch([{"id": "n/a"}], page=2), by=destination)
    again = await load(connection, merge(), batch(records, at=1), by=destination)

    assert again.counts == Counts(unchanged=len(keys))
    assert other.warnings == frozenset()
    assert "mode full with force" in other.rejected[0].reason
    text = merge(kinds=(("id", Kind.TEXT),)).rebuilt()  # what the reason says to do
    run = uuid4()
    texts = [str(key) for key in [*keys, "n/a"]]
    for page in (1, 2):
        target = text.for_run(run, 1)
        await load(connection, target, batch([{"id": i} for i in texts], run=run, page=page), by=destination)
    async with connection.transaction():
        await destination.close_run(connection, text, run, 1, at(2))
    assert await rows(connection, "id") == [(text,) for text in sorted(texts)]


async def test_integers_that_a_double_cannot_hold_become_numeric_beside_fractions(connection):
    await load(connection, append(), batch([{"n": 2**53 + 1}]))

    await load(connection, append(), batch([{"n": 0.5}]))

    assert await types(connection) == {"n": "numeric"}
    assert await rows(connection, "n") == [(Decimal("0.5"),), (Decimal(2**53 + 1),)]


async def test_a_widening_that_is_too_dear_keeps_values_aside(connection, monkeypatch):
    monkeypatch.setattr(evolving.evolve, "__kwdefaults__", {"rewrite_rows": 2})
    destination = PostgresDestination()
    await load(connection, append(), batch([{"id": i, "n": i} for i in range(3)]), by=destination)

    loaded = await load(
        connection, append(), batch([{"id": 10, "n": "ten"}, {"id": 11, "n": 11}]), by=destination
    )

    assert loaded.warnings == {"widening_pending"}
    assert await types(connection) == {"id": "bigint", "n": "bigint"}
    assert await rows(connection, "n, _extra->>'n'", order="id") == [
        (0, None), (1, None), (2, None), (None, "ten"), (11, None),
    ]  # fmt: skip
    [plan_again] = [await destination.prepare(connection, append(), [batch([{"n": "x"}])])]
    assert plan_again.narrow == {"n"}


async def test_values_that_were_put_aside_come_home_when_an_operator_widens(connection, monkeypatch):
    monkeypatch.setattr(evolving.evolve, "__kwdefaults__", {"rewrite_rows": 0})
    destination = PostgresDestination()
    await load(
        connection,
        append(),
        batch([{"id": 1, "n": 1, "it's": "2024-01-01", "t": 1, "j": "a"}]),
        by=destination,
    )
    odd = {
        "id": 2,
        "n": Decimal(2**70),
        "it's": "2024-01-01T00:00:00.5+01:00",
        "t": "two",
        "j": {"k": [1, 2.50]},
    }
    loaded = await load(
        connection, append(), batch([odd, {"id": 3, "n": 0.5, "it's": "2024-02-02"}]), by=destination
    )

    moved = await destination.widen(connection, append())

    assert loaded.warnings == {"widening_pending"}
    assert moved == 2
    assert await destination.widen(connection, append()) == 0
    assert await types(connection) == {
        "id": "bigint", "n": "numeric", "it_s": "timestamp with time zone", "t": "text", "j": "jsonb",
    }  # fmt: skip
    assert await rows(connection, "id, n, it_s, t, j, _extra") == [
        (1, Decimal(1), datetime(2024, 1, 1, tzinfo=UTC), "1", '"a"', None),
        (2, Decimal(2**70), datetime(2023, 12, 31, 23, 0, 0, 500_000, tzinfo=UTC), "two", '{"k": [1, 2.5]}', None),
        (3, Decimal("0.5"), datetime(2024, 2, 2, tzinfo=UTC), None, None, None),
    ]  # fmt: skip
    assert (await load(connection, append(), batch([odd]), by=destination)).warnings == frozenset()


async def test_widening_says_what_stands_in_its_way(connection):
    await load(connection, append(), batch([{"id": 1, "n": 1}]))
    await connection.execute(f"CREATE VIEW {SCHEMA}.watch AS SELECT n FROM {SCHEMA}.things")
    await load(connection, append(), batch([{"id": 2, "n": "two"}]))

    with pytest.raises(DestinationError, match="columns n cannot be widened"):
        await PostgresDestination().widen(connection, append())

    assert await rows(connection, "n, _extra->>'n'", order="id") == [(1, None), (None, "two")]


async def test_a_view_on_a_column_keeps_its_type_and_values_go_aside(connection):
    await load(connection, append(), batch([{"id": 1, "n": 1}]))
    await connection.execute(f"CREATE VIEW {SCHEMA}.watch AS SELECT n FROM {SCHEMA}.things")

    loaded = await load(connection, append(), batch([{"id": 2, "n": "two", "new": "x"}]))

    assert loaded.warnings == {"widening_pending"}
    assert await rows(connection, "n, new, _extra->>'n'", order="id") == [(1, None, None), (None, "x", "two")]


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (Contract.DISCARD_ROW, [(1, "a"), (4, "d")]),
        (Contract.DISCARD_VALUE, [(1, "a"), (2, "b"), (3, None), (4, "d")]),
    ],
)
async def test_contracts_decide_about_values_that_do_not_fit(connection, contract, expected):
    table = append(contract=contract)
    await load(connection, table, batch([{"id": 1, "v": "a", "n": 1}]))

    records = [{"id": 2, "v": "b", "new": 1}, {"id": 3, "n": "three"}, {"id": 4, "v": "d", "new": None}]
    loaded = await load(connection, table, batch(records))

    assert await rows(connection, "id, v") == expected
    assert await types(connection) == {"id": "bigint", "v": "text", "n": "bigint"}
    assert await rows(connection, "_extra", order="id") == [(None,)] * len(expected)
    assert len(loaded.rejected) == 4 - len(expected)


async def test_a_frozen_table_fails_the_load_and_names_the_fields(connection):
    table = append(contract=Contract.FREEZE)
    await load(connection, table, batch([{"id": 1}]))

    with pytest.raises(DestinationError, match="frozen.*'new'"):
        await load(connection, table, batch([{"id": 2, "new": 1}]))

    with pytest.raises(DestinationError, match=r"'f0', .*'f9' and 2 more; set"):
        await load(connection, table, batch([{f"f{number}": 1 for number in range(12)}]))
    assert (await load(connection, table, batch([{"id": 2}]))).counts == Counts(inserted=1)


async def test_merging_into_a_table_with_duplicates_says_what_to_do(connection):
    await load(connection, append(), batch([{"id": 1}, {"id": 1}]))

    with pytest.raises(DestinationError, match="remove the duplicates"):
        await load(connection, merge(), batch([{"id": 1}]))


async def test_columns_that_users_added_are_left_alone(connection):
    await load(connection, merge(), batch([{"id": 1, "v": "a"}]))
    await connection.execute(
        f"ALTER TABLE {SCHEMA}.things ADD COLUMN note text; UPDATE {SCHEMA}.things SET note = 'mine'"
    )

    await load(connection, merge(), batch([{"id": 1, "v": "b"}], at=1))

    assert await rows(connection, "v, note") == [("b", "mine")]


async def test_a_field_that_a_newer_record_lacks_becomes_null(connection):
    await load(connection, merge(), batch([{"id": 1, "a": 1, "b": 2}]))

    await load(connection, merge(), batch([{"id": 1, "a": 1}], at=1))

    assert await rows(connection, "id, a, b") == [(1, 1, None)]


async def test_types_of_the_users_own_take_what_they_can_and_reject_the_rest(connection):
    await connection.execute(
        f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.things (id uuid PRIMARY KEY, n int CHECK (n > 0), s varchar(3), d numeric(6,2))"
    )
    good, bad = str(uuid4()), str(uuid4())
    records = [
        {"id": good, "n": 1, "s": "abc", "d": 1.25},
        {"id": bad, "n": -1},
        {"id": "no uuid", "n": 1},
        {"id": bad, "s": "abcd"},
    ]

    loaded = await load(connection, merge(), batch(records))

    assert [row[0] for row in await rows(connection, "id::text")] == [good]
    assert loaded.counts.inserted == 1
    assert loaded.counts.rejected + loaded.counts.deduplicated == 3


async def test_keys_that_only_look_different_are_one_row(connection):
    await connection.execute(
        f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.things (id uuid PRIMARY KEY, v text)"
    )
    name = str(uuid4())
    records = [{"id": name, "v": "a"}, {"id": name.upper(), "v": "b"}]

    loaded = await load(connection, merge(), batch(records))
    again = await load(connection, merge(), batch(records, at=1))

    assert loaded.counts == Counts(inserted=1, deduplicated=1)
    assert again.counts == Counts(unchanged=1, deduplicated=1)
    assert await rows(connection, "v") == [("b",)]


async def test_keys_of_several_fields_and_types(connection):
    table = merge(key=("at", "n"))
    records = [
        {"at": "2024-01-01T00:00:00Z", "n": 1.0, "v": "a"},
        {"at": "2024-01-01T02:00:00+02:00", "n": 1, "v": "b"},
        {"at": "2024-01-01T00:00:00Z", "n": 1.5, "v": "c"},
    ]

    loaded = await load(connection, table, batch(records))

    assert loaded.counts == Counts(inserted=2, deduplicated=1)
    assert await rows(connection, "n, v") == [(1.0, "b"), (1.5, "c")]


async def test_a_plan_follows_columns_that_another_loader_widened(connection, other):
    slow, quick = PostgresDestination(), PostgresDestination()
    await load(connection, merge(), batch([{"id": 1, "v": "12", "n": 1}]), by=slow)
    mine = batch([{"id": 2, "v": "34", "n": 2}], at=1)
    plan = await slow.prepare(connection, merge(), [mine])
    await load(other, merge(), batch([{"id": 3, "v": {"k": 1}, "n": "three", "new": True}], at=2), by=quick)

    async with connection.transaction():
        await slow.load(connection, plan, [mine])

    assert await rows(connection, "id, v, n") == [
        (1, '"12"', "1"),
        (2, '"34"', "2"),
        (3, '{"k": 1}', "three"),
    ]


async def test_a_plan_for_a_table_that_went_away_asks_for_another(connection, other):
    destination = PostgresDestination()
    mine = batch([{"id": 1}])
    plan = await destination.prepare(connection, merge(), [mine])
    await other.execute(f"DROP TABLE {SCHEMA}.things")

    with pytest.raises(StalePlan):
        async with connection.transaction():
            await destination.load(connection, plan, [mine])

    assert (await load(connection, merge(), mine, by=destination)).counts == Counts(inserted=1)


async def test_batches_that_were_not_prepared_are_never_half_loaded(connection):
    destination = PostgresDestination()
    plan = await destination.prepare(connection, append(), [batch([{"id": 1}])])

    with pytest.raises(StalePlan):
        async with connection.transaction():
            await destination.load(connection, plan, [batch([{"id": 2, "new": 1}])])

    async with connection.transaction():
        loaded = await destination.load(connection, plan, [batch([{"id": 3}])])
    assert loaded.counts == Counts(inserted=1)


async def test_a_locked_table_is_later(connection, other):
    await load(connection, append(), batch([{"id": 1}]))

    async with other.transaction():
        await other.execute(f"LOCK TABLE {SCHEMA}.things IN ACCESS SHARE MODE")
        with pytest.raises(Later, match="busy"):
            await PostgresDestination().prepare(connection, append(), [batch([{"new": 1}])])


async def test_two_loaders_evolve_and_merge_one_table_at_once(bare_database):
    loaders, pages = 2, 15

    async def work(loader: int) -> Counts:
        connection, destination = await asyncpg.connect(bare_database), PostgresDestination()
        total = Counts()
        try:
            for page in range(pages):
                value = [page, str(page), {"p": page}, page / 4][(page + loader) % 4]
                records = [{"id": i, "v": value, f"f{page % 7}_{loader}": page} for i in range(40)]
                random.Random(page).shuffle(records)
                mine = [batch(records, at=page, page=page)]
                while True:
                    try:
                        plan = await destination.prepare(connection, merge(), mine)
                        async with connection.transaction():
                            total += (await destination.load(connection, plan, mine)).counts
                        break
                    except Later:
                        continue
        finally:
            await connection.close()
        return total

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(loader)) for loader in range(loaders)]

    counts = tasks[0].result() + tasks[1].result()
    assert counts.inserted == 40
    assert counts.rejected == counts.deduplicated == 0
    assert counts.inserted + counts.updated + counts.unchanged == loaders * pages * 40
    connection = await asyncpg.connect(bare_database)
    try:
        assert await connection.fetchval(f"SELECT count(*) FROM {SCHEMA}.things") == 40
        newest = await connection.fetchval(f"SELECT DISTINCT _page FROM {SCHEMA}.things")
        assert newest == pages - 1
    finally:
        await connection.close()


async def test_two_loaders_that_find_the_same_keys_new_make_each_row_once(connection, other):
    slow, quick = PostgresDestination(), PostgresDestination()
    await load(connection, merge(), batch([{"id": 100, "v": "there"}]), by=quick)
    mine = batch([{"id": i, "v": "late"} for i in range(50)], page=2)
    theirs = batch([{"id": i, "v": "early"} for i in range(40)], page=1)
    plan = await slow.prepare(connection, merge(), [mine])

    async with asyncio.timeout(30), asyncio.TaskGroup() as group, other.transaction():
        await quick.load(other, await quick.prepare(other, merge(), [theirs]), [theirs])

        async def second() -> Loaded:
            async with connection.transaction():
                return await slow.load(connection, plan, [mine])

        task = group.create_task(second())
        await until_waiting(other)

    assert task.result().counts == Counts(inserted=10, updated=40)
    assert await connection.fetch(f"SELECT v, count(*) FROM {SCHEMA}.things GROUP BY v ORDER BY v") == [
        ("late", 50),
        ("there", 1),
    ]


async def test_keys_between_others_are_new_and_those_among_them_are_found(connection):
    far_apart = [{"id": number * 1000, "value": "old"} for number in range(-100, 100)]
    await load(connection, merge(), batch(far_apart))
    between = [{"id": number * 1000 + 1, "value": "new"} for number in range(-100, 100)]
    mixed = [{"id": number, "value": "again"} for number in (-2000, -1999, -1998, 5, 1000, 2**62)]

    first = await load(connection, merge(), batch(between, at=1, page=2))
    second = await load(connection, merge(), batch(mixed, at=2, page=3))

    assert first.counts == Counts(inserted=200)
    assert second.counts == Counts(inserted=3, updated=3)
    assert len(await rows(connection)) == 403
    assert await rows(connection, "id", order="1 DESC LIMIT 1") == [(2**62,)]


async def test_the_look_for_keys_of_a_range_needs_the_index_alone(connection):
    await load(connection, merge(), batch([{"id": number} for number in range(3000)]))
    await connection.execute(
        f"INSERT INTO {SCHEMA}.things (id) SELECT -i FROM generate_series(1, 50000) AS i"
    )
    plan = await PostgresDestination().prepare(connection, merge(), [batch([{"id": 1}])])
    ranges = ranges_of([5, 6, 7, 9, 400, 500])

    told = await connection.fetch(f"EXPLAIN {any_key_between(plan)}", *ranges)

    text = "\n".join(row[0] for row in told)
    assert "Index Only Scan" in text
    assert "Seq Scan" not in text


async def test_counts_are_kept_for_each_run(connection):
    second = uuid4()

    loaded = await load(
        connection, merge(),
        batch([{"id": 1}, {"id": 2}, {}]), batch([{"id": 2}, {"id": 3}], at=1, run=second),
    )  # fmt: skip

    assert loaded.by_run == {
        RUN: Counts(inserted=1, rejected=1, deduplicated=1),
        second: Counts(inserted=2),
    }


async def test_a_large_batch_with_duplicates_and_a_bad_row_is_exact(connection):
    total = 100_000
    records = [{"id": i % 90_000, "v": f"row {i}", "n": i} for i in range(total)]
    records[50_000]["v"] = "bad \0"

    loaded = await load(connection, merge(), batch(records))

    assert loaded.counts == Counts(inserted=89_999, rejected=1, deduplicated=10_000)
    assert (await rows(connection, "count(*), sum(n)"))[0] == (
        89_999,
        sum(range(10_000, total)) - 50_000,
    )


async def test_deliveries_carry_their_id_and_can_be_replaced(connection):
    destination = PostgresDestination()
    one, two = uuid4(), uuid4()
    await load(
        connection, append(), batch([{"v": 1}], delivery=one), batch([{"v": 2}], delivery=two), by=destination
    )

    assert await destination.remove_deliveries(connection, append(), [one]) == 1

    assert await rows(connection, "v, _delivery_id, _run_id") == [(2, two, None)]


def test_a_table_that_cannot_be_is_refused():
    with pytest.raises(DestinationError, match="needs a key"):
        Table(SCHEMA, "t", Mode.MERGE)
    with pytest.raises(DestinationError, match="63 bytes"):
        Table(SCHEMA, "t" * 64)
    with pytest.raises(DestinationError, match="twice"):
        Table(SCHEMA, "t", Mode.MERGE, ("a", "a"))
