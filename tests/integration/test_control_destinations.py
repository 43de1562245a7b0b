"""Destinations over the API: made, shown, refused while they are used."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.office import Answered, Office, open_office

EXCHANGE = {"kind": "amqp", "exchange": "shop.records", "url": "amqp://me:very-secret@broker.example/"}
LAKE = {"kind": "postgres", "url": "postgresql://me:very-secret@db.example/lake"}
MANIFEST = """
version: 1
sources:
  - name: warehouse
    base_url: https://api.example.com
    streams: [{name: parts, destination: {to: results}}]
endpoints:
  - {name: calls, scheme: github, secrets: [s], tables: [{destination: {to: results}}]}
"""


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def put(office: Office, name: str, document: Any, **headers: str) -> Answered:
    return await office.ask("PUT", f"/destinations/{name}", json=document, headers=headers)


async def imported(office: Office, text: str) -> Answered:
    return await office.post(
        "/config/import", data=text.encode(), headers={"Content-Type": "application/yaml"}
    )


async def test_a_destination_is_made_shown_replaced_and_deleted_and_its_url_is_never_shown(
    office: Office,
) -> None:
    made = await put(office, "results", EXCHANGE)
    again = await put(
        office, "results", {**EXCHANGE, "message": "page"}, **{"If-Match": made.headers["ETag"]}
    )
    patched = await office.ask("PATCH", "/destinations/results", json={"declare": "topic"})
    taken = await office.post("/destinations", {**EXCHANGE, "name": "results"})
    stale = await put(office, "results", EXCHANGE, **{"If-Match": made.headers["ETag"]})
    shown = await office.get("/destinations/results")
    listed = await office.get("/destinations")
    exported = await office.get("/config/export")
    gone = await office.ask("DELETE", "/destinations/results")

    assert (made.status, again.status, stale.status, gone.status) == (201, 200, 412, 204)
    assert (patched.status, patched.json["definition"]["declare"], taken.status) == (200, "topic", 409)
    assert made.headers["Location"] == "/api/v1/destinations/results"
    assert shown.json["definition"]["message"] == "page"
    assert shown.json["definition"]["url"] == "${secret:destination/results/url}"
    assert (shown.json["owed"], shown.json["used_by"], shown.json["trouble"]) == (0, [], None)
    assert [one["name"] for one in listed.json["items"]] == ["results"]
    assert exported.json["destinations"][0]["exchange"] == "shop.records"
    assert all(b"very-secret" not in one.body for one in (made, shown, listed, exported))
    assert (await office.get("/destinations/results")).status == 404


async def test_what_uses_a_destination_keeps_it_and_its_kind(office: Office) -> None:
    await put(office, "results", EXCHANGE)
    assert (await imported(office, MANIFEST)).status == 200

    deleted = await office.ask("DELETE", "/destinations/results")
    turned = await put(office, "results", {"kind": "postgres"})

    assert deleted.status == 409
    assert deleted.json["detail"] == "It is used by endpoint calls, stream warehouse.parts"
    assert turned.status == 409
    shown = await office.get("/destinations/results")
    assert shown.json["used_by"] == ["endpoint calls", "stream warehouse.parts"]


@pytest.mark.parametrize(
    ("document", "place", "says"),
    [
        ({"kind": "amqp"}, "", "needs `exchange`"),
        ({"kind": "amqp", "exchange": "headwater"}, "/exchange", "is not for records"),
        ({"kind": "amqp", "exchange": "amq.topic"}, "/exchange", "is not for records"),
        ({**EXCHANGE, "routing_key": "a.{b"}, "/routing_key", "without its other half"),
        ({**EXCHANGE, "routing_key": "a.{_.b}"}, "/routing_key", "is not known"),
        ({**EXCHANGE, "routing_key": "a b"}, "/routing_key", "holds blanks"),
        ({**EXCHANGE, "routing_key": "{id}", "message": "page"}, "/routing_key", "a page has many records"),
        ({**EXCHANGE, "url": "http://broker.example"}, "", "write amqp://"),
        ({"exchange": "shop"}, "", "belongs to kind amqp"),
        ({**EXCHANGE, "schema": "shop"}, "", "belongs to kind postgres"),
        ({"schema": "shop"}, "", "give its `url`, or leave it out"),
        ({"url": "mysql://me:very-secret@db.example/lake"}, "", "write postgresql://"),
        ({**LAKE, "schema": "a b"}, "/schema", "use letters, digits and _"),
        ({**EXCHANGE, "colour": "red"}, "/colour", "is not known here"),
        ({**EXCHANGE, "name": "other"}, "/name", "is not the name in the address; a name stays as it is"),
    ],
)  # fmt: skip
async def test_a_wrong_destination_is_refused_at_its_place(
    office: Office, document: Any, place: str, says: str
) -> None:
    refused = await put(office, "results", document)

    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == place
    assert says in refused.json["errors"][0]["detail"]
    assert b"very-secret" not in refused.body


async def test_a_tenants_exchange_on_the_shared_broker_carries_its_name(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")

    foreign = await put(acme, "results", {"kind": "amqp", "exchange": "default.records"})
    own = await put(acme, "results", {"kind": "amqp", "exchange": "acme.records"})

    assert (foreign.status, own.status) == (422, 201)
    assert (await office.get("/destinations/results")).status == 404


async def test_a_use_of_what_is_not_there_or_does_not_fit_is_told_at_its_place(office: Office) -> None:
    unknown = await imported(office, MANIFEST)
    await put(office, "results", EXCHANGE)
    tables = MANIFEST.replace(
        "destination: {to: results}}]\nend",
        "destination: {to: results, table: t, mode: merge, key: id}}]\nend",
    )
    misused = await imported(office, tables)
    await put(office, "plain", {})
    bare = await imported(office, MANIFEST.replace("to: results", "to: plain"))

    assert unknown.status == 422
    assert unknown.json["errors"][0]["pointer"] == "/sources/0/streams/0/destination/to"
    assert unknown.json["errors"][0]["what"] == "there is no destination results"
    assert [error["pointer"] for error in misused.json["errors"]] == [
        "/sources/0/streams/0/destination/table",
        "/sources/0/streams/0/destination/mode",
    ]
    assert bare.json["errors"][0]["what"] == "needs `table`: the table that the records go to"


async def test_another_database_takes_streams_only_and_its_tables_are_not_ours(office: Office) -> None:
    made = await put(office, "results", LAKE)
    table = "destination: {to: results, table: parts, mode: append}"
    text = MANIFEST.replace("destination: {to: results}", table)
    refused = await imported(office, text)
    streams = text.partition("endpoints:")[0]
    twice = streams.replace("]\n", ", {name: own, destination: {table: parts, mode: merge, key: id}}]\n", 1)
    other = f"{twice}destinations:\n  - {{name: results, url: {LAKE['url']}}}\n"
    taken = await imported(office, other)
    turned = await put(office, "results", {})
    ours = f"{streams}destinations:\n  - {{name: results, description: ours}}\n"
    turned_by_manifest = await imported(office, ours)

    assert (made.status, refused.status, taken.status, turned.status) == (201, 422, 200, 409)
    assert [error["pointer"] for error in refused.json["errors"]] == ["/endpoints/0/tables/0/destination/to"]
    assert "takes the records of streams only" in refused.json["errors"][0]["what"]
    assert "whose database it is, cannot change" in turned.json["detail"]
    assert turned_by_manifest.status == 422
    error = turned_by_manifest.json["errors"][0]
    assert error["pointer"] == "/destinations/0"
    assert "it is used by stream warehouse.parts" in error["what"]
    assert b"very-secret" not in (await office.get("/destinations/results")).body


async def command(database: str, folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "HEADWATER_DATABASE_URL": database, "HEADWATER_DATA_DIR": str(folder)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headwater", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    return child.returncode or 0, output.decode()


async def test_the_command_lists_shows_and_deletes(database: str, tmp_path: Path) -> None:
    file = tmp_path / "destinations.yml"
    file.write_text(
        'version: 1\ndestinations: [{name: results, kind: amqp, exchange: e, url: "amqp://a:b@c/"}]\n'
    )

    applied = await command(database, tmp_path, "apply", str(file))
    listed = await command(database, tmp_path, "destinations", "list")
    shown = await command(database, tmp_path, "destinations", "show", "results", "--json")
    deleted = await command(database, tmp_path, "destinations", "delete", "results")
    missing = await command(database, tmp_path, "destinations", "show", "results")

    assert applied[0] == 0
    assert "results" in listed[1]
    assert '"exchange": "e"' in shown[1]
    assert "a:b" not in shown[1]
    assert deleted == (0, "destination results is deleted\n")
    assert (missing[0], missing[1]) == (3, "headwater: there is no destination 'results'\n")
