"""Configurations kept under a name, and brought back."""

import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.office import MANIFEST, Office, open_office

from headwater.cli import main


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        done = await opened.post(
            "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
        )
        assert done.status == 200, done.body
        yield opened


async def test_what_was_saved_comes_back_and_what_came_since_is_told(office: Office) -> None:
    before = (await office.get("/config/export")).json
    saved = await office.post("/config/save", {"name": "release-1", "note": "before the move"})
    await office.ask(
        "PATCH", "/schedules/nightly", json={"cron": "0 5 * * *", "description": "moved \u2028\t\U0001f319"}
    )
    await office.post("/config/save", {"name": "release-2"})
    await office.post("/schedules", {"name": "later", "streams": ["shop.orders"]})

    loaded = await office.post("/config/load", {"name": "release-1"})

    assert saved.status == 201
    assert saved.headers["Location"] == "/api/v1/config/save/release-1"
    assert loaded.status == 200, loaded.body
    assert loaded.json["not_in_snapshot"] == {"schedules": ["later"]}
    await office.ask("DELETE", "/schedules/later")
    assert (await office.get("/config/export")).json == before
    assert (await office.post("/config/load", {"name": "release-2"})).status == 200
    assert (await office.get("/schedules/nightly")).json["description"] == "moved \u2028\t\U0001f319"


async def test_a_name_is_saved_over_shown_listed_and_forgotten(office: Office) -> None:
    first = await office.post("/config/save", {"name": "mine"})
    again = await office.post("/config/save", {"name": "mine", "note": "anew"})
    listed = (await office.get("/config/save")).json["items"]
    shown = await office.get("/config/save/mine")

    assert (first.status, again.status, again.json["note"]) == (201, 200, "anew")
    assert [each["name"] for each in listed] == ["mine"]
    assert shown.json["manifest"] == (await office.get("/config/export")).json
    assert b"very-secret-token" not in shown.body
    assert (await office.ask("DELETE", "/config/save/mine")).status == 204
    assert (await office.get("/config/save/mine")).status == 404
    assert (await office.post("/config/load", {"name": "mine"})).status == 404
    assert (await office.post("/config/save", {"name": "No Name"})).pointers == ["/name"]


async def test_a_snapshot_is_its_tenants_and_what_cannot_come_back_changes_nothing(office: Office) -> None:
    await office.post("/config/save", {"name": "mine"})
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")
    await office.ask("DELETE", "/sources/shop?cascade=true")

    assert (await acme.get("/config/save")).json["items"] == []
    assert (await acme.post("/config/load", {"name": "mine"})).status == 404
    refused = await office.post("/config/load", {"name": "mine"})
    assert "source/shop/auth/token" in refused.body.decode()
    assert (await office.get("/sources")).json["items"] == []
    assert (await acme.get("/config/default")).json["tenant"] == "acme"
    kinds = {each["kind"] for each in (await office.get("/audit")).json["items"]}
    assert "snapshot" in kinds


def test_commands_save_load_and_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database: str
) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE_URL", database)
    monkeypatch.setenv("HEADWATER_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("HEADWATER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "shop.yml").write_text(MANIFEST)
    for command in (
        "apply " + str(tmp_path / "shop.yml"),
        "config save one --note why",
        "config load one",
        "config show",
    ):
        assert main(command.split()) == 0
    capsys.readouterr()

    assert main(["config", "saved", "--json"]) == 0
    assert [each["note"] for each in json.loads(capsys.readouterr().out)] == ["why"]
    assert main(["config", "forget", "one"]) == 0
    assert main(["config", "load", "one"]) == 3
