"""Rows in PostgreSQL's binary form hold what rows of text hold, and records that have no such form are loaded as text."""

import random
from decimal import Decimal

import pytest
from tests.support.destination import SCHEMA, append, batch, load, merge, rows

from headwater.plugins.destinations.packing import packing_of
from headwater.plugins.destinations.postgres import PostgresDestination
from headwater.plugins.destinations.table import Counts

INSTANTS = (
    "2024-02-29T12:00:00Z", "1999-12-31T23:59:59.999999+14:00", "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59.123456-11:30", "2000-01-01T00:00:00.5Z", "2024-10-27T02:30:00+0200", "2024-03-01",
)  # fmt: skip
TEXTS = (
    "",
    "x",
    "tab\tline\nback\\slash\r",
    "é名前🙂",
    "\\N",
    "long " * 2000,
    '"quoted"',
    " ",
    7,
    1.5,
    False,
    {"a": [1]},
)
DOCUMENTS = ([], {}, [1, None, "é\\\n"], {"deep": {"n": [1.5, True]}}, "text", 3, False, [["\t"]])
VALUES = {
    "flag": (True, False),
    "number": (0, 1, -1, 2**53, -(2**53), 17),
    "large": (2**63 - 1, -(2**63), 0),
    "share": (0.1, -0.0, 1e300, 5e-324, 3, Decimal("0.25")),
    "day": ("2024-02-29", "0001-01-01", "9999-12-31", "2000-01-01"),
    "at": INSTANTS,
    "name": TEXTS,
    "parts": DOCUMENTS,
}


@pytest.fixture
def connection(bare_connection):
    return bare_connection


def some_records(seed: int, count: int) -> list[dict]:
    """Records with every value of VALUES, and nulls and gaps in all fields but one."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        record = {"id": number}
        for name, values in VALUES.items():
            kind = chance.random()
            if number < max(map(len, VALUES.values())):
                record[name] = values[number % len(values)]
            elif kind < 0.6:
                record[name] = chance.choice(values)
            elif kind < 0.8:
                record[name] = None
        made.append(record)
    return made


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", [append, merge])
async def test_rows_in_binary_form_hold_what_rows_of_text_hold(connection, mode, seed):
    destination, records = PostgresDestination(), some_records(seed, 2500)
    await connection.execute(f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.as_text (kept varchar(5))")
    as_text = [record | {"kept": "x"} for record in records]  # a column of a type that is not packed

    for table, them in ((mode("packed"), records), (mode("as_text"), as_text)):
        plan = await destination.prepare(connection, table, [batch(them)])
        assert (packing_of(plan) is not None) is (table.name == "packed")
        loaded = await load(connection, table, batch(them), by=destination)
        assert loaded.counts == Counts(inserted=len(them))

    names = [*VALUES, "_run_id", "_delivery_id", "_page", "_position", "_ordered_at", "_extra"]
    texts = ", ".join(f"{name}::text" for name in names)
    packed = await rows(connection, f"id, {texts}", "packed", "id")
    assert packed == await rows(connection, f"id, {texts}", "as_text", "id")
    assert len(packed) == len(records)


async def test_updates_in_binary_form_change_only_rows_that_differ(connection):
    destination, records = PostgresDestination(), some_records(1, 1500)
    await load(connection, merge(), batch(records), by=destination)
    changed = [record | {"name": "new"} if record["id"] % 3 == 0 else record for record in records]

    loaded = await load(connection, merge(), batch(changed, at=10), by=destination)

    assert loaded.counts == Counts(updated=500, unchanged=1000)


@pytest.mark.parametrize("place", [0, 999, 1700], ids=["first", "end of a part", "second part"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nul \0", "NUL"),
        ("half \ud800", "surrogate"),
        ({"nul": ["\0"]}, "NUL"),
    ],
)
async def test_a_record_that_cannot_be_stored_is_rejected_alone(connection, value, reason, place):
    field = "parts" if isinstance(value, dict) else "name"
    records = [{"id": number, "name": "x", "parts": {"n": number}} for number in range(2000)]
    records[place][field] = value

    loaded = await load(connection, append(), batch(records))

    assert loaded.counts == Counts(inserted=1999, rejected=1)
    assert [row.index for row in loaded.rejected] == [place]
    assert reason in loaded.rejected[0].reason
    assert await rows(connection, "count(*), count(DISTINCT id)") == [(1999, 1999)]


async def test_whole_numbers_that_came_as_decimals_are_loaded(connection):
    records = [{"id": Decimal(number) if number % 2 else number} for number in range(10)]

    loaded = await load(connection, append(), batch(records))

    assert loaded.counts == Counts(inserted=10)
    assert [row[0] for row in await rows(connection, "id", order="id")] == list(range(10))


async def test_a_text_that_looks_like_the_seam_between_documents_stays_a_text(connection):
    records = [{"id": n, "parts": ["a", '","\\u0000",', n]} for n in range(3)]

    await load(connection, append(), batch(records))

    found = await rows(connection, "parts->>1", order="id")
    assert found == [('","\\u0000",',)] * 3
