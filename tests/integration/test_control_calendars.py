"""Calendars and previews over the API."""

from collections.abc import AsyncIterator

import pytest
from tests.support.office import MANIFEST, Office, open_office

YAML = {"Content-Type": "application/yaml"}
HOLIDAYS = {"name": "holidays", "yearly": ["12-25", "01-01"]}
DAILY = {"name": "daily", "streams": ["shop.orders"], "cron": "0 3 * * *", "exclude": ["holidays"]}


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        answered = await opened.post("/config/import", data=MANIFEST, headers=YAML)
        assert answered.status == 200, answered.body
        yield opened


async def test_a_calendar_is_made_used_changed_and_removed(office: Office) -> None:
    made = await office.post("/calendars", json=HOLIDAYS)
    schedule = await office.post("/schedules", json=DAILY)
    shown = await office.get("/calendars/holidays")
    days = await office.get("/calendars/holidays/days?since=2026-12-01&until=2027-01-31")
    patched = await office.ask("PATCH", "/calendars/holidays", json={"dates": ["2026-12-28"]})
    wrong = await office.ask("PATCH", "/calendars/holidays", json={"crons": ["61 * * * *"]})
    used = await office.ask("DELETE", "/calendars/holidays")
    gone = await office.ask("DELETE", "/calendars/holidays?cascade=true")

    assert (made.status, schedule.status) == (201, 201)
    assert shown.json["used_by"] == ["daily"]
    assert days.json["days"] == ["2026-12-25", "2027-01-01"]
    assert patched.json["definition"]["dates"] == ["2026-12-28"]
    assert (wrong.status, wrong.pointers) == (422, ["/crons/0"])
    assert used.status == 409
    assert gone.status == 204
    assert (await office.get("/schedules/daily")).json["definition"]["exclude"] == []


async def test_a_schedule_names_only_calendars_that_are_there(office: Office) -> None:
    answered = await office.post("/schedules", json=DAILY)

    assert (answered.status, answered.pointers) == (422, ["/exclude/0"])


async def test_calendars_go_with_the_configuration(office: Office) -> None:
    text = MANIFEST + "\ncalendars: [{name: holidays, ranges: [2026-12-24..2026-12-31], on_excluded: next}]\n"
    imported = await office.post("/config/import", data=text, headers=YAML)
    exported = await office.get("/config/export")

    assert imported.json["calendars"] == ["holidays"]
    assert exported.json["calendars"] == [
        {
            "name": "holidays",
            "ranges": [{"from": "2026-12-24", "to": "2026-12-31"}],
            "on_excluded": "next",
        }
    ]


async def test_a_preview_takes_everything_that_times_have(office: Office) -> None:
    await office.post("/calendars", json=HOLIDAYS)
    seen = await office.post(
        "/schedules/preview",
        json={
            "crons": ["0 9 * * *", "0 17 * * FRI"],
            "interval": "1d",
            "timezone": "Europe/Berlin",
            "exclude": ["holidays", "2026-12-27"],
            "windows": [{"days": "MON-FRI", "from": "08:00", "to": "18:00"}],
            "after": "2026-12-24T12:00:00Z",
            "count": 3,
        },
    )

    assert seen.status == 200, seen.body
    assert [each["at"] for each in seen.json["next"]] == [
        "2026-12-26T01:00:00+01:00",
        "2026-12-26T09:00:00+01:00",
        "2026-12-28T01:00:00+01:00",
    ]
    assert {mark for each in seen.json["next"] for mark in each["marks"]} == {"outside_window"}
    assert {each["calendar"] for each in seen.json["excluded"]} == {"holidays", None}


async def test_next_runs_of_a_schedule_are_told(office: Office) -> None:
    await office.post("/calendars", json=HOLIDAYS)
    await office.post("/schedules", json=DAILY)
    seen = await office.get("/schedules/daily/next-runs?count=2&after=2026-12-24T12:00:00Z")

    assert [each["utc"] for each in seen.json["next"]] == [
        "2026-12-26T03:00:00+00:00",
        "2026-12-27T03:00:00+00:00",
    ]
    assert (await office.get("/schedules/nobody/next-runs")).status == 404
