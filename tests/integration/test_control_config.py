"""Configuration as code over HTTP: what is wrong is told at its place, what is right is written once."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import yaml
from tests.support.office import MANIFEST, Answered, Office, open_office

from headwater.store import config

YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def validate(office: Office, text: str, **headers: str) -> Answered:
    return await office.post("/config/validate", data=text.encode(), headers={**YAML, **headers})


async def test_a_valid_manifest_is_counted_and_nothing_is_written(office: Office) -> None:
    answered = await validate(office, MANIFEST)

    assert answered.status == 200
    assert answered.json == {
        "valid": True, "tenant": "default", "destinations": 0, "sources": 1, "streams": 2, "schedules": 1,
        "calendars": 0, "endpoints": 1, "notifications": 0, "warnings": [],
    }  # fmt: skip
    assert (await office.get("/sources")).json["items"] == []


async def test_a_mistake_is_told_with_pointer_line_column_what_and_mend(office: Office) -> None:
    text = MANIFEST.replace("mode: merge, key: id", "mode: merge").replace("cron: ", "crom: ")

    answered = await validate(office, text)

    assert answered.status == 422
    errors = {error["pointer"]: error for error in answered.json["errors"]}
    assert set(errors) == {"/sources/0/streams/0/destination", "/schedules/0/crom"}
    told = errors["/schedules/0/crom"]
    line = text.splitlines()[told["line"] - 1]
    assert line[told["column"] - 1 :].startswith('"0 2') or "crom" in line
    assert told["what"] == "is not known here"
    assert told["mend"]
    assert told["detail"] == f"{told['what']}; {told['mend']}"


async def test_text_that_is_no_yaml_is_400_with_its_place(office: Office) -> None:
    answered = await validate(office, "version: 1\nsources: [\n  a: b: c\n")

    assert answered.status == 400
    assert answered.json["errors"][0]["line"] == 3


async def test_hostile_texts_are_refused_and_cost_little(office: Office) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(9)
    )
    texts = {
        "": 422, "\0": 400, "- 1": 422, "[" * 5000: 400, "a: &a [*a]": 400, bomb: 422,
        "version: 1\ntenant: *nobody": 400, "!!python/object/apply:os.system [id]": 422,
        "version: 1\nversion: 1": 422, '{"version": 1, "tenant": "a\\u0000"}': 422,
        'version: 1\ncalendars: [{name: a, dates: ["\\ud800"]}]': 422, '{"version": 1, "\\ud800": 1}': 422,
        "version: 1\ncalendars: [{name: a, weekend: true}]": 422,
    }  # fmt: skip
    for text, status in texts.items():
        answered = await validate(office, text)
        assert answered.status == status, (text[:60], answered.body[:300])
    assert (await office.post("/config/validate", data=b"\xff\xfe", headers=YAML)).status == 400
    assert (await validate(office, "{", **{"Content-Type": "application/json"})).status == 400


async def test_a_nul_in_a_description_is_a_mistake_with_its_place(office: Office) -> None:
    text = MANIFEST.replace("name: nightly", 'name: nightly, description: "a\\0b"')

    answered = await office.post("/config/import", data=text, headers=YAML)

    assert answered.status == 422
    assert answered.pointers == ["/schedules/0/description"]


async def test_the_servers_environment_cannot_be_read(office: Office) -> None:
    os.environ["HEADWATER_TEST_PRIVATE"] = "private-value"
    try:
        text = MANIFEST.replace("very-secret-token", '"${env:HEADWATER_TEST_PRIVATE}"')
        answered = await office.post("/config/import", data=text, headers=YAML)
    finally:
        del os.environ["HEADWATER_TEST_PRIVATE"]

    assert answered.status == 422
    assert answered.pointers == ["/sources/0/auth/token"]
    assert b"private-value" not in answered.body


async def test_an_import_writes_all_and_a_second_one_changes_nothing(office: Office) -> None:
    first = await office.post("/config/import", data=MANIFEST, headers=YAML)
    before = await office.worker.fetch(
        "SELECT source, name, version_id, updated_at FROM stream ORDER BY name"
    )

    second = await office.post("/config/import", data=MANIFEST, headers=YAML)

    assert first.json == {
        "tenant": "default", "destinations": [], "sources": ["shop"], "streams": ["shop.orders", "shop.refunds"],
        "schedules": ["nightly"], "calendars": [], "endpoints": ["hooks"], "notifications": [],
    }  # fmt: skip
    assert second.json == first.json
    assert (
        await office.worker.fetch("SELECT source, name, version_id, updated_at FROM stream ORDER BY name")
        == before
    )


async def test_an_import_that_is_refused_writes_nothing(office: Office) -> None:
    text = MANIFEST.replace("streams: [shop.orders]", "streams: [shop.nothing]")

    answered = await office.post("/config/import", data=text, headers=YAML)

    assert answered.pointers == ["/schedules/0/streams/0"]
    assert (await office.get("/sources")).json["items"] == []


async def test_an_import_is_checked_against_what_is_there_when_it_is_written(office: Office) -> None:
    await office.post("/config/import", data=MANIFEST, headers=YAML)
    text = "version: 1\nschedules: [{name: more, streams: [shop.refunds], interval: 1h}]"

    async with office.api.as_tenant("default") as other:
        await config.lock(other, "default")
        asked = asyncio.create_task(office.post("/config/import", data=text, headers=YAML))
        async with asyncio.timeout(10):
            while not await office.worker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0)
        await config.delete_streams_except(other, "default", "shop", ["orders"])
    answered = await asked

    assert answered.pointers == ["/schedules/0/streams/0"]


async def test_a_schedule_may_name_a_stream_that_the_database_has(office: Office) -> None:
    await office.post("/config/import", data=MANIFEST, headers=YAML)
    text = "version: 1\nschedules: [{name: more, streams: [shop.refunds], interval: 1h}]"

    assert (await office.post("/config/import", data=text, headers=YAML)).status == 200
    dropped = MANIFEST.replace("- name: refunds", "- name: returns") + text.partition("\n")[2].replace(
        "schedules: [", "x: ["
    )
    dropped = dropped.replace("x: [{name: more, streams: [shop.refunds], interval: 1h}]", "")
    assert (await validate(office, dropped.replace("[shop.orders]", "[shop.refunds]"))).pointers == [
        "/schedules/0/streams/0"
    ]


LAKES = """
version: 1
destinations:
  - {name: lake, kind: postgres, url: "postgresql://a:b@lake.example.com/db", schema: shop}
  - {name: pond, kind: postgres, url: "postgresql://c:d@LAKE.example.com:5432/db?sslmode=require", schema: shop}
  - {name: other, kind: postgres, url: "postgresql://a:b@lake.example.com/db", schema: other}
"""
LISTS = "{table: a, mode: merge, key: id, children: [b]}"


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (
            "{to: lake, table: t, mode: replace}",
            "{to: pond, table: t, mode: replace}",
            "take the other's rows away",
        ),
        ("{to: lake, table: t, mode: append}", "{to: pond, table: t, mode: merge, key: id}", "mode differs"),
        ("{to: lake, table: t, mode: replace}", "{to: other, table: t, mode: replace}", None),
        ("{to: lake, table: t, mode: replace}", "{table: t, mode: replace}", None),
        ("{table: t}", "{to: lake, table: _headwater_pages}", "headwater's own"),
        (LISTS, "{table: a__b}", "a child table of a, which one.all loads"),
        ("{table: a__b}", LISTS, "its child table a__b is another destination's table, which one.all loads"),
        (
            "{table: a__b, mode: merge, key: id, children: [c]}",
            "{table: a, mode: merge, key: id, children: [b__c]}",
            "its child table a__b__c is one of a__b too, which one.all loads",
        ),
        (LISTS, LISTS, None),
    ],
)
@pytest.mark.parametrize("is_together", [True, False])
async def test_a_table_has_one_name_whatever_leads_to_it(
    office: Office, one: str, two: str, said: str | None, is_together: bool
) -> None:
    if "pond" in two and not is_together:
        said = None  # addresses are sealed: which database a name of another manifest means cannot be seen
    if "children" in one and said is not None and is_together:
        said = "its child table"
    source = "  - {name: %s, base_url: 'https://a.example.com', streams: [{name: all, destination: %s}]}\n"
    first, second = source % ("one", one), source % ("two", two)
    texts = [f"{LAKES}sources:\n{first}{second}"]
    if not is_together:
        texts = [f"{LAKES}sources:\n{first}", f"version: 1\nsources:\n{second}"]

    answered = [await office.post("/config/import", data=text.encode(), headers=YAML) for text in texts]

    assert [each.status for each in answered[:-1]] == [200] * (len(texts) - 1)
    assert answered[-1].status == (200 if said is None else 422), answered[-1].body
    if said is not None:
        assert any(said in error["detail"] for error in answered[-1].json["errors"]), answered[-1].json


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("{table: things, mode: replace}", "take the other's rows away"),
        ("{table: things, mode: merge, key: name}", "in mode replace, here in mode merge by name"),
        ("{table: others, mode: replace}", None),
    ],
)
async def test_a_table_that_something_else_loads_is_told_whichever_file_that_is_in(
    office: Office, destination: str, said: str | None
) -> None:
    source = "version: 1\nsources: [{name: %s, base_url: 'https://a.example.com', streams: [{name: all, destination: %s}]}]"
    first = source % ("one", "{table: things, mode: replace}")
    again = await office.post("/config/import", data=first.encode(), headers=YAML)
    same = await office.post("/config/import", data=first.encode(), headers=YAML)

    answered = await office.post(
        "/config/import", data=(source % ("two", destination)).encode(), headers=YAML
    )

    assert (again.status, same.status) == (200, 200)
    assert answered.status == (200 if said is None else 422)
    if said is not None:
        (error,) = answered.json["errors"]
        assert error["pointer"] == "/sources/0/streams/0/destination"
        assert said in error["what"]
        assert "one.all" in error["what"]


async def test_json_is_read_as_json(office: Office) -> None:
    document = yaml.safe_load(MANIFEST)
    document["schedules"][0]["description"] = "every night \U0001f319 \\ud83d"
    text = json.dumps(document, indent="\t", ensure_ascii=True)

    answered = await office.post("/config/import", data=text, headers={"Content-Type": "application/json"})

    assert answered.status == 200, answered.body
    (schedule,) = (await office.get("/schedules")).json["items"]
    assert schedule["description"] == "every night \U0001f319 \\ud83d"


async def test_an_export_names_secrets_and_importing_it_changes_nothing(office: Office) -> None:
    await office.post("/config/import", data=MANIFEST, headers=YAML)
    before = await office.worker.fetch("SELECT version_id FROM stream ORDER BY name")

    as_yaml = await office.get("/config/export?format=yaml")
    as_json = await office.get("/config/export")

    assert as_yaml.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(as_yaml.body) == as_json.json
    assert b"very-secret-token" not in as_yaml.body
    assert b"endpoint-secret" not in as_yaml.body
    again = await office.post("/config/import", data=as_yaml.body, headers=YAML)
    assert again.status == 200, again.body
    assert await office.worker.fetch("SELECT version_id FROM stream ORDER BY name") == before
    assert (await office.get("/config/export")).json == as_json.json


async def test_an_export_goes_into_an_empty_tenant_once_its_secrets_are_set(office: Office) -> None:
    await office.post("/config/import", data=MANIFEST, headers=YAML)
    exported = (await office.get("/config/export")).json
    names = sorted(re.findall(r"\$\{secret:([^}]+)\}", json.dumps(exported)))
    await office.post("/tenants", {"name": "empty"})
    moved = json.dumps({**exported, "tenant": "empty"})
    other = {"X-Tenant": "empty"}

    early = await office.post("/config/import", data=moved, headers={**YAML, **other})
    for name in names:
        await office.ask("PUT", f"/secrets/{quote(name, safe='')}", json={"value": "moved"}, headers=other)
    later = await office.post("/config/import", data=moved, headers={**YAML, **other})

    assert names == ["endpoint/hooks/secrets/0", "source/shop/auth/token"]
    assert f"headwater secrets set {names[0]} --tenant empty)" in early.body.decode()
    assert later.status == 200, later.body
    assert (await office.get("/config/export", headers=other)).json == {**exported, "tenant": "empty"}
    shown = await office.exactly("/secrets/source%2Fshop%2Fauth%2Ftoken")
    assert "source shop" in shown.json["used_by"]


async def test_a_manifest_without_a_tenant_is_the_callers_and_another_tenants_is_refused(
    office: Office,
) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")

    mine = await acme.post("/config/import", data=MANIFEST, headers=YAML)
    theirs = await acme.post("/config/import", data=MANIFEST + "tenant: default", headers=YAML)
    by_header = await office.post(
        "/config/import", data=MANIFEST + "tenant: acme", headers={**YAML, "X-Tenant": "default"}
    )
    by_admin = await office.post("/config/import", data=MANIFEST + "tenant: newcomer", headers=YAML)

    assert mine.json["tenant"] == "acme"
    assert (theirs.status, theirs.pointers) == (422, ["/tenant"])
    assert by_header.pointers == ["/tenant"]
    assert by_admin.json["tenant"] == "newcomer"
    assert (await office.get("/sources")).json["items"] == []


async def test_a_reference_to_a_secret_that_is_not_there_is_a_mistake(office: Office) -> None:
    answered = await validate(office, MANIFEST.replace("endpoint-secret", '"${secret:nowhere}"'))

    assert answered.pointers == ["/endpoints/0/secrets/0"]


async def test_the_tenants_minimum_interval_is_kept_at_import(office: Office) -> None:
    text = MANIFEST.replace('cron: "0 2 * * *", timezone: Europe/Berlin', "interval: 30s")
    assert (await office.post("/config/import", data=text, headers=YAML)).pointers == [
        "/schedules/0/interval"
    ]
    await office.post("/tenants", {"name": "quick", "minimum_interval_s": 5})

    quick = await office.post("/config/import", data=text, headers={**YAML, "X-Tenant": "quick"})

    assert quick.status == 200


async def test_endpoints_are_listed_with_the_address_to_give_to_senders(office: Office) -> None:
    await office.post("/config/import", data=MANIFEST, headers=YAML)

    (endpoint,) = (await office.get("/endpoints")).json["items"]

    assert endpoint["path"] == "/in/default/hooks"
    assert endpoint["definition"]["secrets"] == ["${secret:endpoint/hooks/secrets/0}"]


async def test_presets_of_both_kinds_are_listed(office: Office) -> None:
    found, path = [], "/presets?limit=50"
    while path:
        answered = (await office.get(path)).json
        found += answered["items"]
        path = answered["next"] and f"/presets?limit=50&cursor={answered['next']}"

    names = {(preset["kind"], preset["name"]) for preset in found}
    assert {("signature", "github"), ("signature", "stripe"), ("schedule", "daily_2am")} <= names
    assert len(names) == len(found)


async def test_a_secret_written_in_place_is_sealed_wherever_it_stands(office: Office) -> None:
    text = """
version: 1
sources:
  - name: login
    base_url: https://api.example.com
    auth:
      type: session
      login_url: https://api.example.com/login
      json: {user: me, password: hidden-1, nested: {client_secret: hidden-2}}
      headers: {X-Api-Key: hidden-3, Accept: text/plain}
      token_path: token
    streams: [{name: a, destination: {table: a}}]
  - name: oauth
    base_url: https://api.example.com
    auth: {type: oauth2, token_url: https://api.example.com/token, client_id: me, client_secret: hidden-4}
    streams: [{name: a, destination: {table: a}}]
endpoints:
  - {name: hooks, scheme: github, secrets: [{value: hidden-5, not_after: 2030-01-01T00:00:00Z}, hidden-6]}
"""
    applied = await office.post("/config/import", data=text, headers=YAML)
    assert applied.status == 200, applied.body

    told = b"".join([(await office.get(path)).body for path in ("/sources", "/endpoints", "/config/export")])
    rows = await office.worker.fetch(
        "SELECT definition::text FROM stream_version UNION ALL SELECT definition::text FROM source"
        " UNION ALL SELECT definition::text FROM endpoint"
    )
    sealed = await office.worker.fetchval("SELECT array_agg(name ORDER BY name) FROM secret")

    assert b"hidden" not in told
    assert not any("hidden" in row["definition"] for row in rows)
    assert sealed == [
        "endpoint/hooks/secrets/0",
        "endpoint/hooks/secrets/1",
        "source/login/auth/headers/X-Api-Key",
        "source/login/auth/json/nested/client_secret",
        "source/login/auth/json/password",
        "source/oauth/auth/client_secret",
    ]
    again = (await office.get("/config/export?format=yaml")).body
    assert (await office.post("/config/import", data=again, headers=YAML)).status == 200


async def test_a_plan_tells_what_would_change_and_never_a_secret(office: Office) -> None:
    async def plan(text: str) -> Answered:
        return await office.post("/config/plan", data=text, headers=YAML)

    first = await plan(MANIFEST)
    assert (await office.get("/sources")).json["items"] == []
    assert (await office.post("/config/import", data=MANIFEST, headers=YAML)).status == 200
    same = await plan(MANIFEST)
    changed = await plan(
        MANIFEST.replace("0 2 * * *", "0 4 * * *")
        .replace("path: /refunds", "path: /v2/refunds")
        .replace("very-secret-token", "another-secret-token")
    )

    assert first.status == 200
    assert first.json["has_changes"] is True
    assert {(each["kind"], each["action"]) for each in first.json["changes"]} == {
        ("sources", "create"), ("schedules", "create"), ("endpoints", "create"),
    }  # fmt: skip
    assert same.json["has_changes"] is False
    assert {each["action"] for each in same.json["changes"]} == {"keep"}
    found = {
        each["name"]: {item["pointer"]: (item["before"], item["after"]) for item in each["differences"]}
        for each in changed.json["changes"]
    }
    assert found["nightly"] == {"/cron": ("0 2 * * *", "0 4 * * *")}
    assert found["shop"]["/streams/refunds/request/path"] == ("/refunds", "/v2/refunds")
    assert found["shop"]["/auth/token"] == ("${secret:source/shop/auth/token}", "(secret)")
    assert found["hooks"] == {}
    assert b"another-secret-token" not in changed.body
