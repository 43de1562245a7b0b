"""A browser that is logged in at a control that works, with the manifest of `tests.support.office` in force."""

from collections.abc import AsyncIterator

import pytest
from tests.support.browser import Browser
from tests.support.office import MANIFEST, Office, open_office


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database, works=True) as opened:
        applied = await opened.post(
            "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
        )
        assert applied.status == 200
        yield opened


@pytest.fixture
async def browser(office: Office) -> Browser:
    browser = Browser(office)
    await browser.log_in()
    return browser
