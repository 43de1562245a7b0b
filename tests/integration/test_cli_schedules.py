"""Schedules, runs and backfills on the command line: every verb, in each form of output."""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from headwater.cli import main

MANIFEST = """
version: 1
sources:
  - {name: shop, base_url: https://api.example.com, streams: [{name: orders, destination: {table: orders}}]}
calendars: [{name: holidays, yearly: ["12-25"], on_excluded: next}]
schedules:
  - name: nightly
    streams: [shop.orders]
    cron: "30 2 * * *"
    timezone: Europe/Berlin
    exclude: [holidays]
    windows: [{from: "08:00", to: "18:00", outside: wait}]
  - {name: thrice, streams: [shop.orders], interval: 1h, max_runs: 3}
  - {name: by-hand, streams: [shop.orders]}
"""


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database: str
) -> Callable[..., Told]:
    """Commands in this process, against the test's database, with the manifest in force."""
    monkeypatch.setenv("HEADWATER_DATABASE_URL", database)
    monkeypatch.setenv("HEADWATER_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("HEADWATER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "shop.yml").write_text(MANIFEST)

    def command(*arguments: str) -> Told:
        try:
            code = main(arguments)
        except SystemExit as usage:
            code = int(str(usage.code))
        captured = capsys.readouterr()
        return Told(code, captured.out, captured.err)

    assert command("apply", str(tmp_path / "shop.yml")).code == 0
    return command


def test_next_runs_are_shown_in_every_form_with_what_windows_and_calendars_do(
    run: Callable[..., Told],
) -> None:
    asked = ("schedules", "next-runs", "nightly", "--after", "2026-12-24T12:00:00Z", "--count", "3")
    table, as_json, as_yaml = run(*asked), run(*asked, "--json"), run(*asked, "-o", "yaml")

    assert (table.code, as_json.code, as_yaml.code) == (0, 0, 0), table.err
    assert "BEGINS_AT" in table.out
    assert "Mon 2026-12-28 02:30:00+0100" in table.out
    assert json.loads(as_json.out)["excluded"][0]["on_excluded"] == "next"
    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out)
    assert run("preview", "--schedule", "nightly").code == 0
    assert "the days of holidays" in run("preview", "0 2 * * *", "--exclude", "holidays").out


def test_no_more_due_times_are_foreseen_than_runs_are_wanted(run: Callable[..., Told]) -> None:
    foreseen = json.loads(run("schedules", "next-runs", "thrice", "--json").out)

    assert len(foreseen["next"]) == 3


def test_every_verb_of_a_schedule_answers_and_tells_what_cannot_be(run: Callable[..., Told]) -> None:
    paused = run(
        "schedules", "pause", "nightly", "--note", "deploy", "--until", "2099-01-01T00:00:00Z", "--json"
    )
    past = run("schedules", "pause", "nightly", "--until", "2001-01-01T00:00:00Z")

    assert json.loads(paused.out)["state"] == "paused"
    assert (past.code, "/until: is past: give a time to come" in past.err) == (2, True)
    for verb, state in (
        ("resume", "active"),
        ("disable", "disabled"),
        ("enable", "active"),
        ("reset-failures", "active"),
    ):
        assert json.loads(run("schedules", verb, "nightly", "--json").out)["state"] == state
    assert run("schedules", "resume", "nobody").code == 3
    assert "nightly" in run("schedules", "list").out
    assert run("schedules", "list", "--state", "nonsense").code == 2
    assert "deploy" not in run("schedules", "show", "nightly").out
    assert run("schedules", "delete", "by-hand").code == 0
    assert run("schedules", "show", "by-hand").code == 3


@pytest.mark.parametrize("command", ["runs list", "runs show " + "0" * 8 + "-0000-8000-8000-" + "0" * 12,
                                     "destinations list", "schedules list"])  # fmt: skip
def test_a_tenant_that_is_not_there_is_told_and_is_no_empty_list(
    run: Callable[..., Told], command: str
) -> None:
    told = run(*command.split(), "--tenant", "nobody")

    assert (told.code, told.err) == (3, "headwater: there is no tenant 'nobody'\n")


def test_what_is_not_there_is_named(run: Callable[..., Told]) -> None:
    assert run("schedules", "show", "weekly").err == "headwater: There is no such schedule: weekly\n"
    assert run("streams", "show", "shop.items").err == "headwater: There is no such stream: shop/items\n"


def test_runs_are_listed_as_yaml(run: Callable[..., Told]) -> None:
    started = yaml.safe_load(run("runs", "start", "shop.orders", "-o", "yaml").out)

    listed = yaml.safe_load(run("runs", "list", "-o", "yaml").out)

    assert [each["id"] for each in listed] == [started["id"]]


def test_runs_are_started_listed_cancelled_and_reported(run: Callable[..., Told]) -> None:
    started = json.loads(run("schedules", "run", "nightly", "--json").out)
    run_id = started["id"] if isinstance(started, dict) else started[0]["id"]

    assert json.loads(run("runs", "list", "--state", "queued", "--json").out)[0]["id"] == run_id
    assert run("runs", "list", "--state", "nonsense").code == 2
    assert run_id in run("schedules", "history", "nightly").out
    assert json.loads(run("runs", "report", run_id, "--json").out)["run"]["trigger"] == "cli"
    assert json.loads(run("runs", "cancel", run_id, "--json").out)["state"] == "cancelled"
    assert run("runs", "rerun", run_id).code == 0
    assert run("stats", "nightly").code == 0
    assert run("runs", "show", "00000000-0000-4000-8000-000000000000").code == 3


def test_a_key_starts_the_same_run_again_and_no_other(run: Callable[..., Told]) -> None:
    start = ("runs", "start", "shop.orders", "--key", "k", "-p", "region=eu", "-p", "limit=3")
    first, second = run(*start), run(*start)
    other = run("runs", "start", "shop.orders", "--key", "k")
    shown = json.loads(run("runs", "report", first.out.strip(), "--json").out)["run"]
    by_schedule = [run("schedules", "run", "nightly", "--key", "k", "-p", "a=[1]").out for _ in range(2)]

    assert first.out == second.out
    assert (other.code, "--key" in other.err) == (4, True)
    assert shown["parameters"] == {"region": "eu", "limit": 3}
    assert by_schedule[0] == by_schedule[1]
    assert run("runs", "start", "shop.orders", "-p", "nothing").code == 2


def test_a_backfill_is_counted_made_shown_and_cancelled(run: Callable[..., Told]) -> None:
    window = (
        "schedules",
        "backfill",
        "nightly",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-04T00:00:00Z",
    )
    counted = json.loads(run(*window, "--dry-run", "--json").out)
    made, again = (json.loads(run(*window, "--key", "b", "--json").out) for _ in range(2))

    assert (counted["boundaries"], counted["id"]) == (3, None)
    assert (made["boundaries"], made["runs"], again) == (3, 3, made)
    assert run(*window, "--key", "b", "--parallel", "2").code != 0
    assert made["id"] in run("backfills", "list").out
    assert run("backfills", "show", made["id"]).code == 0
    assert run("backfills", "cancel", made["id"]).code == 0
