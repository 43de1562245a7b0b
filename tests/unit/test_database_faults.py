"""Faults of the database become Unavailable, and never swallow a cancellation."""

import asyncio

import asyncpg
import pytest

from headwater.model.errors import Unavailable
from headwater.store.database import _SERVER_SETTINGS, API_WAIT_S, faults_are_unavailable
from headwater.timer.herds import LEAD_S


async def test_a_fault_of_the_database_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="connection is closed"):
        async with faults_are_unavailable():
            raise asyncpg.InterfaceError("connection is closed")


async def test_a_fault_is_told_in_one_line() -> None:
    with pytest.raises(Unavailable) as caught:
        async with faults_are_unavailable():
            raise asyncpg.CannotConnectNowError("starting up\nDETAIL:  not yet consistent.")

    assert str(caught.value).endswith("CannotConnectNowError: starting up DETAIL: not yet consistent.")


async def test_a_fault_that_stands_in_for_a_cancellation_stays_one() -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with faults_are_unavailable():
            try:
                started.set()
                await asyncio.Event().wait()
            finally:
                raise asyncpg.InterfaceError("the connection broke while it was given back")

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_fault_of_content_passes() -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        async with faults_are_unavailable():
            raise asyncpg.UniqueViolationError("taken")


def test_who_waits_for_a_herd_is_given_the_time_for_it() -> None:
    """A change waits for the herd's lock on a connection of the API, and others for such a connection."""
    lock_s = int(_SERVER_SETTINGS["lock_timeout"]) / 1000

    assert LEAD_S < lock_s < API_WAIT_S
