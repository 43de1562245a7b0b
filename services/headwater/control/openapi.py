"""The OpenAPI 3.1 document, from the route table. Committed as `schemas/http/openapi.json`."""

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import headwater
from headwater.control.frame import API
from headwater.control.performing import PARAMETERS
from headwater.control.route import SCOPES, Bytes, ManifestText, Route

_REFERENCE = "#/components/schemas/{model}"
_GENERIC = re.compile(r"\bPage_(\w+?)_(?=\")")
_SENTENCES = {
    400: "The request cannot be read",
    401: "The key is missing or not valid",
    403: "The key's scopes do not include this",
    404: "There is no such thing, or it is another tenant's",
    409: "It is taken, in use, or not in a state for this",
    412: "It was changed meanwhile",
    413: "The body is larger than 5 MiB",
    415: "Bodies of this type are not read",
    422: "Something in it is not valid; `errors` says where",
    503: "Database or bus are away; send it again",
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem document.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901 pointer into the body."},
                    "parameter": {"type": "string"},
                    "header": {"type": "string"},
                    "detail": {"type": "string"},
                    "line": {"type": "integer", "minimum": 1},
                    "column": {"type": "integer", "minimum": 1},
                    "what": {"type": "string"},
                    "mend": {"type": "string"},
                },
            },
        },
    },
}
_DESCRIPTION = f"""\
Keys go in `X-API-Key` or `Authorization: Bearer`, in the form `hw_<id>_<secret>`. A key acts in its tenant; a key of
no tenant names one by `X-Tenant` (default `default`). Scopes: {", ".join(f"`{scope}`" for scope in SCOPES)}; `admin`
includes the others. Lists are `{{"items": […], "next": token}}`; `Link: rel="next"` says the same. Problems are
RFC 9457 documents."""


def openapi_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of these rows, in their order."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "headwater",
            "version": headwater.__version__,
            "summary": "Webhooks and scheduled API walks become rows in PostgreSQL.",
            "description": _DESCRIPTION.replace("\n", " "),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "hw_<id>_<secret>"},
            },
            "responses": {str(status): _problem(text) for status, text in _SENTENCES.items()},
            "schemas": _schemas(routes),
        },
    }


def _problem(text: str) -> dict[str, Any]:
    reference = {"$ref": _REFERENCE.format(model="Problem")}
    return {"description": text, "content": {"application/problem+json": {"schema": reference}}}


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    models: dict[tuple[Any, Any], None] = {}
    for route in routes:
        if _is_model(route.body):
            models[route.body, "validation"] = None
        if _is_model(route.answer):
            models[route.answer, "serialization"] = None
    _, document = models_json_schema(list(models), ref_template=_REFERENCE, by_alias=True)
    # a list's shape goes by the name of its class, not by pydantic's spelling of a generic one
    named = json.loads(_GENERIC.sub(r"\1List", json.dumps(document["$defs"])))
    return dict(sorted({**named, "Problem": _PROBLEM}.items()))


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.scope is None:
        operation["security"] = []
    else:
        operation["description"] = f"Scope: `{route.scope}`."
        operation["x-scope"] = route.scope
    if route.body is not None:
        operation["requestBody"] = _body(route)
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"\{([a-z]+)\}", route.path)
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _form_of(name)} for name in names
    ]
    schema = route.query.model_json_schema(ref_template=_REFERENCE)
    for name, shape in schema.get("properties", {}).items():
        shown = {key: value for key, value in shape.items() if key not in {"title", "description"}}
        parameter = {"name": name, "in": "query", "schema": shown}
        if "description" in shape:
            parameter["description"] = shape["description"]
        found.append(parameter)
    if route.scope is not None:
        found.append(_header("X-Tenant", "The tenant to act in, for a key of no tenant."))
    if route.keyed:
        found.append(_header("Idempotency-Key", "The same key asks for the same thing once (7 days)."))
    if route.matched and route.method != "GET":
        found.append(_header("If-Match", "The ETag that was seen: refused with 412 when it is another now."))
    if route.matched and route.method == "PUT" and route.also == 201:
        found.append(_header("If-None-Match", "`*`: make it only; refused with 412 when it is there."))
    return found


def _form_of(name: str) -> dict[str, Any]:
    pattern = PARAMETERS[name].pattern
    return (
        {"type": "string", "format": "uuid"}
        if "0-9a-fA-F" in pattern
        else {"type": "string", "pattern": f"^{pattern}$"}
    )


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _body(route: Route) -> dict[str, Any]:
    if route.body is ManifestText:
        manifest = {"description": "A manifest; its JSON Schema is schemas/config/manifest.v1.json."}
        return {
            "required": True,
            "content": {"application/yaml": {"schema": manifest}, "application/json": {"schema": manifest}},
        }
    assert route.body is not None
    reference = {"$ref": _REFERENCE.format(model=route.body.__name__)}
    return {"required": True, "content": {"application/json": {"schema": reference}}}


def _responses(route: Route) -> dict[str, Any]:
    statuses = {422, 503, *route.problems}
    if route.scope is not None:
        statuses |= {401, 403, 404}
    if route.body is not None:
        statuses |= {400, 413, 415}
    if route.keyed:
        statuses.add(400)
    if route.matched and route.method != "GET":
        statuses.add(412)
    refused = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}
    if route.later:
        return {
            str(route.status): {"description": "Done"},
            "202": _answer(route, 202, "It goes on"),
            **refused,
        }
    answers = {str(route.status): _answer(route, route.status, "Done")}
    if route.also is not None:
        told = "Made" if route.also == 201 else "Nothing new was made"
        answers[str(route.also)] = _answer(route, route.also, told)
    return {**answers, **refused}


def _answer(route: Route, status: int, told: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": told}
    if route.answer is Bytes:
        answer["content"] = {"application/octet-stream": {"schema": {}}}
    elif route.answer is not None:
        reference = {"$ref": _REFERENCE.format(model=route.answer.__name__)}
        answer["content"] = {"application/json": {"schema": reference}}
    if headers := _answer_headers(route, status):
        answer["headers"] = headers
    return answer


def _answer_headers(route: Route, status: int) -> dict[str, Any]:
    text: dict[str, Any] = {"schema": {"type": "string"}}
    found: dict[str, Any] = {}
    if status == 201 or (status == 202 and route.path.startswith(API)):
        found["Location"] = text
    if route.matched and route.answer is not None:
        found["ETag"] = text
    if route.answer is not None and route.answer.__name__.endswith("List"):
        found["Link"] = {"description": "RFC 8288, rel=next", **text}
    return found
