"""Records with more values than PostgreSQL takes in one row."""

import json
from typing import Any

import pytest
from tests.support.destination import SCHEMA, append, batch, load, merge, rows

from headwater.model.errors import DestinationError
from headwater.plugins.destinations import Contract, Mode, PostgresDestination, Table

WIDE = {"id": 1} | {f"f{number:03}": f"{number} is longer than a pointer to it" for number in range(900)}
NARROW = {"id": 2, "f000": "alone"}


@pytest.fixture
def connection(bare_connection: Any) -> Any:
    return bare_connection


async def whole(connection: Any, id_: int = 1) -> list[dict[str, Any]]:
    """The rows of a key as they were sent: what has columns, and what stands in `_extra`."""
    query = f"SELECT to_jsonb(t)::text FROM {SCHEMA}.things AS t WHERE id = $1"
    found = [json.loads(row[0]) for row in await connection.fetch(query, id_)]
    return [
        {name: value for name, value in row.items() if not name.startswith("_") and value is not None}
        | (row["_extra"] or {})
        for row in found
    ]


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.MERGE, Mode.SCD2, Mode.DELETE_INSERT])
async def test_values_that_have_no_room_in_a_row_stand_beside_their_columns(connection, mode):
    table = Table(SCHEMA, "things", mode, () if mode is Mode.APPEND else ("id",))

    loaded = await load(connection, table, batch([WIDE, NARROW]))

    assert (loaded.counts.inserted, loaded.rejected, loaded.warnings) == (2, (), {"columns_limit"})
    assert await whole(connection) == [WIDE]
    assert await whole(connection, 2) == [NARROW]


async def test_a_record_without_room_that_says_the_same_is_unchanged_and_a_newer_one_takes_its_place(
    connection,
):
    await load(connection, merge(), batch([WIDE]))

    again = await load(connection, merge(), batch([WIDE, NARROW], at=1))
    newer = await load(connection, merge(), batch([WIDE | {"f899": "new"}], at=2))
    short = await load(connection, merge(), batch([{"id": 1, "f899": "short"}], at=3))

    assert (again.counts.unchanged, again.counts.inserted) == (1, 1)
    assert (newer.counts.updated, short.counts.updated) == (1, 1)
    assert await whole(connection) == [{"id": 1, "f899": "short"}]


@pytest.mark.parametrize("contract", [Contract.DISCARD_ROW, Contract.DISCARD_VALUE, Contract.FREEZE])
async def test_where_nothing_may_stand_beside_its_column_the_record_is_rejected_with_the_mend(
    connection, contract
):
    loaded = await load(connection, append(contract=contract), batch([WIDE, NARROW]))

    [refused] = loaded.rejected
    assert (refused.index, loaded.counts.inserted) == (0, 1)
    assert refused.reason.startswith("it has more values than a row takes (")
    assert refused.reason.endswith("choose some by `fields`")


async def test_a_key_that_is_too_long_for_an_index_is_told_with_the_mend(connection):
    long = "".join(chr(0x4E00 + number) for number in range(9000))

    loaded = await load(connection, merge(), batch([{"id": long}, {"id": "short"}]))

    assert await rows(connection, "id") == [("short",)]
    [refused] = loaded.rejected
    assert refused.reason.startswith("its key is too long (")
    assert "give the field `hash`" in refused.reason


async def test_widening_leaves_what_has_no_room_and_says_so(connection):
    await load(connection, merge(), batch([WIDE]))

    with pytest.raises(DestinationError, match="some rows have more values than one row takes"):
        await PostgresDestination().widen(connection, merge())

    assert await whole(connection) == [WIDE]
