"""Confirmations of subscriptions: one visit for each, and no answer waits for a slow one."""

import asyncio

import pytest

from headwater.app.clock import SystemClock
from headwater.model.errors import SourceError, Unavailable
from headwater.receiver import confirmations
from headwater.receiver.confirmations import Confirmations

URL = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=1"


class Provider:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None

    async def visit(self, url: str) -> None:
        self.visits.append(url)
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault


async def test_a_slow_confirmation_goes_on_and_who_asks_again_is_told_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirmations, "WAIT_S", 0.01)
    provider = Provider()
    confirming = Confirmations(provider.visit, SystemClock())

    for _ in range(2):
        with pytest.raises(Unavailable):
            await confirming.confirm(URL)
    provider.may_answer.set()
    await confirming.close()
    await confirming.confirm(URL)
    await confirming.confirm(URL)

    assert provider.visits == [URL]


async def test_a_confirmation_that_failed_is_tried_again_when_it_is_asked_for_again() -> None:
    provider = Provider()
    provider.may_answer.set()
    confirming = Confirmations(provider.visit, SystemClock())

    provider.fault = SourceError("confirmation", "answered 500")
    with pytest.raises(SourceError):
        await confirming.confirm(URL)
    provider.fault = None
    await confirming.confirm(URL)

    assert provider.visits == [URL, URL]


async def test_confirmations_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "WAIT_S", 0.001)
    provider = Provider()
    confirming = Confirmations(provider.visit, SystemClock())

    for number in range(confirmations.MAX_UNDER_WAY + 3):
        with pytest.raises(Unavailable):
            await confirming.confirm(f"{URL}{number}")

    assert len(provider.visits) == confirmations.MAX_UNDER_WAY
    provider.may_answer.set()
    await confirming.close()
