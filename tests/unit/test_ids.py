"""Ids name their moment, and are the same as text and as object."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headwater.model.ids import KeyIds, derive_key_id, moment_id, time_of, to_millisecond


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_id_that_is_written_at_once_is_that_of_the_object(first: str, last: str) -> None:
    assert KeyIds("webhook", first).text(last) == str(derive_key_id("webhook", first, last))


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.binary(min_size=10, max_size=10))
def test_an_id_of_a_moment_names_it_and_is_of_version_8(moment: datetime, random: bytes) -> None:
    at = moment.replace(tzinfo=UTC)

    made = UUID(moment_id(at, random))

    assert time_of(made) == to_millisecond(at)
    assert (made.version, made.variant) == (8, UUID(int=2 << 62).variant)
