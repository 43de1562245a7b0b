"""New rules of time zones on the machine: due times to come are computed anew, and the difference is told."""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.spine import Spine, open_spine

from headwater.settings.zones import zone_rules_version
from headwater.store import schedules
from headwater.timer.zones import Zones

MANIFEST = """
version: 1
sources: [{name: far, base_url: "https://api.example.com", streams: [{name: a, destination: {table: a}}]}]
schedules:
  - {name: moved, streams: [far.a], cron: "0 2 * * *", timezone: Africa/Casablanca}
  - {name: right, streams: [far.a], cron: "0 2 * * *", timezone: Europe/Berlin}
  - {name: paused, streams: [far.a], cron: "0 2 * * *", timezone: Europe/Berlin}
"""
HOUR = timedelta(hours=1)


@pytest.fixture
async def spine(database: str) -> AsyncIterator[Spine]:
    async with open_spine(database) as opened:
        await opened.apply(MANIFEST)
        await opened.worker.execute(
            "UPDATE schedule SET state = 'paused', next_at = NULL WHERE name = 'paused'"
        )
        yield opened


async def _due(spine: Spine) -> dict[str, Any]:
    return {row["name"]: row["next_at"] for row in await spine.fetch("SELECT name, next_at FROM schedule")}


async def _computed_by(spine: Spine, version: str) -> dict[str, Any]:
    """By these rules `moved` was due an hour later; gives when the schedules are due by the machine's."""
    due = await _due(spine)
    async with spine.worker.transaction() as connection:
        await schedules.remember(connection, "zone_rules", version)
        await schedules.set_next(connection, [("default", "moved", due["moved"] + HOUR)])
    return due


async def test_newer_rules_move_what_is_due_and_say_so(
    spine: Spine, caplog: pytest.LogCaptureFixture
) -> None:
    due = await _computed_by(spine, "1990a")

    with caplog.at_level(logging.WARNING, "headwater.timer"):
        await Zones(spine.worker).look()

    assert await _due(spine) == due
    assert [record.getMessage() for record in caplog.records] == [
        f"schedule default/moved: due at {due['moved']} instead of {due['moved'] + HOUR}",
        f"the rules of time zones are new ({zone_rules_version()}, before 1990a): 1 schedules are due at other times",
    ]
    async with spine.worker.transaction() as connection:
        assert await schedules.recall(connection, "zone_rules") == zone_rules_version()


@pytest.mark.parametrize("version", ["2199z", None])
async def test_older_or_the_same_rules_move_nothing(
    spine: Spine, caplog: pytest.LogCaptureFixture, version: str | None
) -> None:
    due = await _computed_by(spine, version or zone_rules_version() or "")

    with caplog.at_level(logging.WARNING, "headwater.timer"):
        await Zones(spine.worker).look()

    found: dict[str, datetime | None] = await _due(spine)
    assert found["moved"] == due["moved"] + HOUR
    assert ["update tzdata" in record.getMessage() for record in caplog.records] == [True] * bool(version)


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("tzdata.zi", "# version 2026b\nR d 1916", "2026b"),
        ("+VERSION", "2025c\n", "2025c"),
        ("leapseconds", "# nothing", None),
    ],
)
def test_the_version_is_that_of_the_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, version: str | None
) -> None:
    (tmp_path / "UTC").write_bytes(b"TZif")
    (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr("zoneinfo.TZPATH", ("/nowhere", str(tmp_path)))

    assert zone_rules_version() == version
