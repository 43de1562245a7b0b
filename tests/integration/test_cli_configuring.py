"""Configuration as code on the command line: plan, apply, export."""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.office import MANIFEST

from headwater.cli import main


@dataclass(frozen=True)
class Told:
    code: int
    output: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database: str
) -> Callable[..., Told]:
    """Commands in this process, against the test's database: starting Python for each would take longest."""
    monkeypatch.setenv("HEADWATER_DATABASE_URL", database)
    monkeypatch.setenv("HEADWATER_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("HEADWATER_DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str) -> Told:
        code = main(arguments)
        captured = capsys.readouterr()
        return Told(code, captured.out + captured.err)

    return command


def test_validate_tells_what_is_likely_not_meant_and_how_to_mend_it(
    tmp_path: Path, run: Callable[..., Told]
) -> None:
    manifest = tmp_path / "shop.yml"
    manifest.write_text(MANIFEST.replace("pagination: {type: page}", "pagination: {type: page, parallel: 4}"))

    told = run("validate", str(manifest))
    as_json = json.loads(run("validate", str(manifest), "--json").output)

    assert told.code == 0
    assert f"warning: {manifest}:10:" in told.output
    assert "total_pages_header" in told.output
    assert (as_json["valid"], as_json["errors"]) == (True, [])
    assert [one["pointer"] for one in as_json["warnings"]] == ["/sources/0/streams/0/pagination/parallel"]


def test_validate_warns_of_the_minimum_interval_since_only_the_tenant_knows_its_own(
    tmp_path: Path, run: Callable[..., Told]
) -> None:
    manifest = tmp_path / "often.yml"
    manifest.write_text("version: 1\nschedules: [{name: often, streams: [shop.orders], interval: 2s}]\n")

    told = run("validate", str(manifest))
    refused = run("apply", str(manifest))

    assert told.code == 0, told.output
    assert "2s apart; a tenant's minimum is 1m unless it says otherwise" in told.output
    assert refused.code == 2


def test_what_is_planned_is_applied_and_what_is_exported_changes_nothing(
    tmp_path: Path, run: Callable[..., Told]
) -> None:
    manifest = tmp_path / "shop.yml"
    manifest.write_text(MANIFEST)
    planned = run("plan", str(manifest))
    applied = run("apply", str(manifest))
    exported = run("export")
    (tmp_path / "again.yml").write_text(exported.output)
    again = run("plan", str(tmp_path / "again.yml"))
    manifest.write_text(MANIFEST.replace("[shop.orders]", "[shop.nothing]"))
    unknown = run("apply", str(manifest))

    assert planned.code == 4, planned.output
    assert "+ sources shop" in planned.output
    assert applied.code == 0, applied.output
    assert "very-secret-token" not in planned.output + exported.output
    assert again.code == 0, again.output
    assert "0 to create, 0 to change, 3 as they are" in again.output
    assert unknown.code == 2
    assert "shop.nothing" in unknown.output


def test_the_minimum_interval_that_counts_is_the_tenants(tmp_path: Path, run: Callable[..., Told]) -> None:
    manifest = tmp_path / "shop.yml"
    quick = MANIFEST.replace('cron: "0 2 * * *", timezone: Europe/Berlin', "interval: 5s")
    manifest.write_text(MANIFEST)
    assert run("apply", str(manifest)).code == 0
    manifest.write_text(quick)
    refused = run("apply", str(manifest))
    made = run("tenants", "create", "quick", "--minimum-interval-s", "5")
    manifest.write_text(quick.replace("version: 1", "version: 1\ntenant: quick"))
    planned = run("plan", str(manifest))
    applied = run("apply", str(manifest))

    assert (refused.code, "/schedules/0/interval" in refused.output) == (2, True)
    assert made.code == 0, made.output
    assert planned.code == 4, planned.output
    assert applied.code == 0, applied.output


def test_a_cursor_that_is_a_text_can_be_set_to_digits(tmp_path: Path, run: Callable[..., Told]) -> None:
    (tmp_path / "shop.yml").write_text(MANIFEST)
    run("apply", str(tmp_path / "shop.yml"))
    run("streams", "cursor", "shop.orders", "--set", "a1")

    told = run("streams", "cursor", "shop.orders", "--set", "17", "--json")

    assert told.code == 0, told.output
    assert json.loads(told.output)["value"] == "17"


def test_what_is_configured_is_looked_at_and_removed(tmp_path: Path, run: Callable[..., Told]) -> None:
    (tmp_path / "shop.yml").write_text(MANIFEST)
    assert run("apply", str(tmp_path / "shop.yml")).code == 0
    sources = run("sources", "list")
    streams = run("streams", "list", "--json")
    shown = run("streams", "show", "shop.orders", "-o", "yaml")
    used = run("streams", "delete", "shop.orders")
    removed = run("streams", "delete", "shop.orders", "--cascade")
    gone = run("streams", "show", "shop.orders")
    tenant = run("tenants", "create", "acme", "--minimum-interval-s", "5")
    keyless = run("keys", "list", "--tenant", "acme")
    made = run("keys", "create", "--scope", "read", "--tenant", "acme", "--json")
    dead = run("dead", "list")

    assert "https://api.example.com/v1" in sources.output
    assert [each["name"] for each in json.loads(streams.output)] == ["shop.orders", "shop.refunds"]
    assert "path: /orders" in shown.output
    assert (used.code, "schedule nightly" in used.output) == (4, True)
    assert (removed.code, gone.code) == (0, 3)
    assert tenant.code == 0, tenant.output
    assert "headwater keys create" in keyless.output
    assert json.loads(made.output)["tenant"] == "acme"
    assert "no dead letters" in dead.output


def test_a_table_that_is_to_be_widened_waits_for_a_persister(
    tmp_path: Path, run: Callable[..., Told]
) -> None:
    (tmp_path / "shop.yml").write_text(MANIFEST)
    assert run("apply", str(tmp_path / "shop.yml")).code == 0
    asked = run("streams", "widen", "shop.orders", "--wait-s", "0", "--json")
    unknown = run("streams", "widen", "shop.nothing")

    assert asked.code == 0, asked.output
    assert json.loads(asked.output)["state"] == "waiting"
    assert unknown.code == 3


def test_what_is_made_by_a_command_says_by_whom(
    tmp_path: Path, run: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "shop.yml"
    manifest.write_text(MANIFEST)
    monkeypatch.setenv("USER", "ada")
    run("apply", str(manifest))
    paused = run("schedules", "pause", "nightly", "--json")
    shown = run("schedules", "show", "nightly", "--json")

    assert json.loads(paused.output)["paused_by"] == "cli ada"
    assert json.loads(shown.output)["created_by"] == "cli ada"
