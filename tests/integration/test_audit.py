"""Who changed what: told with the change, whatever way it came, and to nobody else's tenant."""

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.office import MANIFEST, Office, open_office

from headwater.cli import main
from headwater.store import retention
from headwater.store.retention import Keep


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def entries(office: Office, **query: str) -> list[dict[str, Any]]:
    found = await office.get("/audit", params=query)
    assert found.status == 200, found.body
    return list(found.json["items"])


async def applied(office: Office) -> None:
    done = await office.ask(
        "POST", "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
    )
    assert done.status == 200, done.body


def told(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["verb"], each["kind"], each["name"]) for each in reversed(found)]


async def test_a_manifest_tells_of_each_thing_once_and_of_none_when_it_changes_nothing(
    office: Office,
) -> None:
    await applied(office)
    first = await entries(office)
    await office.ask(
        "PUT", "/schedules/nightly", json=(await office.get("/schedules/nightly")).json["definition"]
    )

    again = await entries(office)

    assert {each["actor"] for each in first} == {"key admin"}
    assert {("create", "source", "shop"), ("create", "stream", "shop.orders"), ("create", "schedule", "nightly"),
            ("create", "endpoint", "hooks")} <= set(told(first))  # fmt: skip
    assert [each for each in first if each["digest_before"] is not None or each["changed"]] == []
    assert len(again) == len(first)


async def test_verbs_of_a_schedule_are_told_by_their_name_with_what_differs(office: Office) -> None:
    await applied(office)
    for verb, body in (("pause", {"note": "deploy"}), ("resume", {}), ("disable", {}), ("enable", None)):
        assert (await office.post(f"/schedules/nightly/{verb}", body)).status == 200
    await office.ask("PATCH", "/schedules/nightly", json={"cron": "0 3 * * *", "catch_up": {"window": "2h"}})
    await office.ask("DELETE", "/schedules/nightly")

    found = await entries(office, kind="schedule", name="nightly")

    assert [verb for verb, _, _ in told(found)] == [
        "create", "pause", "resume", "disable", "enable", "change", "delete",
    ]  # fmt: skip
    change = found[1]
    assert change["changed"] == ["catch_up.window", "cron"]
    assert change["digest_before"] != change["digest_after"]
    assert found[0]["digest_before"] == change["digest_after"]
    assert found[0]["digest_after"] is None
    assert (await office.get(f"/audit/{change['id']}")).json == change


async def test_no_secret_stands_in_an_entry(office: Office) -> None:
    await applied(office)
    made = await office.post("/keys", {"name": "reporting", "scopes": ["read"]})
    await office.ask("PUT", "/secrets/token", json={"value": "very-secret-value"})
    await office.ask("DELETE", f"/keys/{made.json['id']}")

    found = (await office.get("/audit")).body

    for secret in ("very-secret-value", "very-secret-token", "endpoint-secret", made.json["key"]):
        assert secret.encode() not in found
    keys = await entries(office, kind="key", name=made.json["id"])
    secret = await entries(office, kind="secret", name="token")
    assert [(each["verb"], each["digest_before"]) for each in secret] == [("create", None)]
    assert told(keys) == [("create", "key", made.json["id"]), ("revoke", "key", made.json["id"])]


async def test_what_was_not_committed_is_not_told(office: Office) -> None:
    await applied(office)
    count = len(await entries(office))

    refused = await office.ask("PATCH", "/schedules/nightly", json={"cron": "0 99 * * *"})
    missing = await office.post("/schedules/nightly/pause", {"until": "2001-01-01T00:00:00Z"})

    assert (refused.status, missing.status) == (422, 422)
    assert len(await entries(office)) == count


async def test_a_tenant_sees_its_own_changes_only_and_nobody_writes_any(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")
    reader = await office.key_of("acme", "read")
    await office.post("/keys", {"scopes": ["read"], "all_tenants": True})
    await applied(office)
    await acme.ask("PUT", "/secrets/one", json={"value": "x"})

    own = await entries(acme)
    of_default = await entries(office)

    assert {each["tenant"] for each in own} == {"acme"}
    assert {each["tenant"] for each in of_default} == {"default", None}
    assert (await acme.get(f"/audit/{of_default[0]['id']}")).status == 404
    assert (await reader.get("/audit")).status == 403
    async with office.api.as_tenant("acme") as connection:
        rights = await connection.fetchval(
            "SELECT has_table_privilege('headwater.audit', 'INSERT') OR has_table_privilege('headwater.audit', 'UPDATE') "
            "OR has_table_privilege('headwater.audit', 'DELETE')"
        )
    assert rights is False


async def test_entries_come_in_pages_and_by_filters(office: Office) -> None:
    await applied(office)
    whole = await entries(office)
    paged: list[dict[str, Any]] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = (await office.get("/audit", params=query)).json
        paged += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]

    assert paged == whole
    assert await entries(office, actor="key nobody") == []
    assert await entries(office, until=whole[-1]["at"]) == []
    assert (await office.get("/audit", params={"kind": "nonsense"})).status == 422


async def test_what_is_old_goes_with_the_history(office: Office) -> None:
    await applied(office)
    await office.post("/keys", {"scopes": ["read"], "all_tenants": True})
    before = len(await entries(office))
    async with office.worker.connection() as connection:
        foreseen = await retention.plan(connection, Keep(audit_days=-1))

    gone = await retention.clean(office.worker, Keep(audit_days=-1))

    assert [each.count for each in foreseen if each.table == "audit"] == [before]
    assert [each.count for each in gone if each.table == "audit"] == [before]
    assert await entries(office) == []


def test_commands_are_told_and_listed_by_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database: str
) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE_URL", database)
    monkeypatch.setenv("HEADWATER_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("HEADWATER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("USER", "ada")
    (tmp_path / "shop.yml").write_text(MANIFEST)
    assert main(["apply", str(tmp_path / "shop.yml")]) == 0
    assert main(["schedules", "pause", "nightly"]) == 0
    capsys.readouterr()

    assert main(["audit", "--kind", "schedule"]) == 0
    table = capsys.readouterr().out
    assert main(["audit", "list", "--name", "nightly", "-o", "yaml"]) == 0
    document = capsys.readouterr().out
    assert main(["audit", "show", "00000000-0000-4000-8000-000000000000"]) == 3

    assert "cli ada" in table
    assert [line.split()[5] for line in table.splitlines() if "nightly" in line] == ["pause", "create"]
    assert "verb: pause" in document
