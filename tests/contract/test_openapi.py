"""The OpenAPI document: generated from the route table, committed, served, and true to what the server answers."""

import json
import re
from typing import Any

import jsonschema
from tests.contract.test_schemas import look_up, references
from tests.support.office import open_office
from tools.make_schemas import ROOT

from headwater.control.home import Overview
from headwater.control.openapi import openapi_document
from headwater.control.performing import PARAMETERS
from headwater.control.route import SCOPES
from headwater.control.routes import route_table

TABLE = route_table(Overview())
DOCUMENT = openapi_document(TABLE)


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, one) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()
    ]


def test_the_committed_document_is_the_generated_one() -> None:
    committed = json.loads((ROOT / "schemas/http/openapi.json").read_bytes())

    assert committed == json.loads(json.dumps(DOCUMENT)), "run .venv/bin/python tools/make_schemas.py"


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)

    assert len(found) > 50
    for reference in found:
        assert reference.startswith("#/"), reference
        assert isinstance(look_up(DOCUMENT, reference[1:]), dict), reference


def test_every_shape_is_a_json_schema() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema.get("type") in {"object", "string", None}, name


def test_operations_have_their_own_names_and_say_what_they_do() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]

    assert len(set(names)) == len(names) == len(TABLE)
    assert all(operation["summary"] and operation["tags"] for _, _, operation in operations())


def test_parameters_of_a_path_are_declared_and_have_a_form() -> None:
    for path, _, operation in operations():
        declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))
        assert declared <= set(PARAMETERS)


def test_every_route_needs_a_scope_or_says_openly_that_it_needs_none() -> None:
    public = {path for path, _, operation in operations() if operation.get("security") == []}

    assert public == {"/", "/api/v1/health"}
    for path, _, operation in operations():
        assert path in public or operation["x-scope"] in SCOPES


def test_no_route_hides_another() -> None:
    shapes = [(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in TABLE]

    assert len(set(shapes)) == len(shapes)


def test_reading_needs_no_more_than_read_and_changing_never_only_read() -> None:
    pure = {"validate_config", "plan_config", "preview_schedule", "verify_signature", "test_endpoint"}
    for route in TABLE:
        if route.method != "GET" and route.handler.__name__ not in pure:
            assert route.scope in {"run", "write", "admin"}, route.path


async def test_the_server_gives_the_document_without_a_key(database: str) -> None:
    async with open_office(database) as office:
        served = await office.with_key(None).get("/api/v1/openapi.json")

    assert served.json == json.loads(json.dumps(DOCUMENT))


async def test_every_route_answers_and_a_read_answers_in_its_declared_shape(database: str) -> None:
    definitions = json.dumps(DOCUMENT["components"]["schemas"]).replace("#/components/schemas/", "#/$defs/")
    async with open_office(database) as office:
        for path, method, operation in operations():
            if method != "get" or "{" in path:
                continue
            answered = await office.get(path.removeprefix("/api/v1"))
            assert answered.status == 200, path
            shape = operation["responses"]["200"]["content"]["application/json"]["schema"]
            schema = {
                "$ref": shape["$ref"].replace("#/components/schemas/", "#/$defs/"),
                "$defs": json.loads(definitions),
            }
            jsonschema.Draft202012Validator(schema).validate(answered.json)


async def test_every_route_but_the_public_ones_refuses_who_shows_no_key(database: str) -> None:
    async with open_office(database) as office:
        nobody = office.with_key(None)
        for path, method, operation in operations():
            filled = re.sub(r"\{(run|delivery|letter)\}", "00000000-0000-8000-8000-000000000000", path)
            filled = re.sub(r"\{\w+\}", "a", filled).removeprefix("/api/v1")
            answered = await nobody.ask(method.upper(), filled)
            assert (answered.status == 401) == (operation.get("security") != []), path
