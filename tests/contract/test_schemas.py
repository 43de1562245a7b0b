"""The published schemas: they equal what is generated, their examples say what they mean, and our own wire keeps them."""

import functools
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml
from pydantic import ValidationError
from tests.support.office import MANIFEST
from tools.make_schemas import ROOT, documents
from tools.message_examples import EXAMPLES

from headwater.bus.topology import load_topology
from headwater.bus.wire import to_message
from headwater.contracts.manifest import Manifest
from headwater.contracts.messages import MESSAGES
from headwater.contracts.webhook import TYPE as WEBHOOK
from headwater.contracts.webhook import Receipt, from_headers, to_headers
from headwater.contracts.webhook_headers import WebhookHeaders

SCHEMAS = ROOT / "schemas"
MODELS = {**{model.type: model for model in MESSAGES}, WEBHOOK: WebhookHeaders}


def read(path: str) -> Any:
    return json.loads((SCHEMAS / path).read_bytes())


@functools.cache
def validator(path: str) -> jsonschema.Draft202012Validator:
    schema = read(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("path", sorted(documents()))
def test_a_generated_file_is_committed_as_it_is_generated(path: str) -> None:
    committed = (SCHEMAS / path).read_text(encoding="utf-8")

    assert committed == documents()[path], (
        "run .venv/bin/python tools/make_schemas.py and commit what it writes"
    )


@pytest.mark.parametrize("path", sorted(path for path in documents() if path.endswith(".json")))
def test_no_pattern_bounds_the_length_of_what_a_large_class_matches(path: str) -> None:
    """It is compiled as so many copies of the class, megabytes in each process that reads it: `maxLength` says it."""
    copied = re.compile(r"(?:\\[SDW]|\[\^[^\]]*\])\{|\{\d*,?\d{4,}\}")

    assert [pattern for pattern in patterns_of(read(path)) if copied.search(pattern)] == []


def patterns_of(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [pattern for item in schema for pattern in patterns_of(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    return own + [pattern for value in schema.values() for pattern in patterns_of(value)]


def test_every_message_has_a_schema_and_two_examples_and_nothing_else_stands_there() -> None:
    expected = {f"messages/{kind}.v1.json" for kind in MODELS} | {"messages/asyncapi.yaml"}
    expected |= {
        f"messages/examples/{kind}.v1.{which}.json" for kind in MODELS for which in ("valid", "invalid")
    }

    found = {str(path.relative_to(SCHEMAS)) for path in (SCHEMAS / "messages").rglob("*") if path.is_file()}

    assert found == expected


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_valid_example_is_taken_and_the_invalid_one_refused_by_schema_and_reader_alike(kind: str) -> None:
    schema = validator(f"messages/{kind}.v1.json")
    valid, invalid = (read(f"messages/examples/{kind}.v1.{which}.json") for which in ("valid", "invalid"))

    schema.validate(valid)
    MODELS[kind].model_validate(valid)
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(invalid)
    with pytest.raises(ValidationError):
        MODELS[kind].model_validate(invalid)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_message_refuses_keys_it_does_not_know(kind: str) -> None:
    valid, _, _ = EXAMPLES[kind]

    assert not validator(f"messages/{kind}.v1.json").is_valid({**valid, "more": 1})


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.type)
def test_what_we_put_on_the_wire_keeps_the_schema(model: Any) -> None:
    document = model.model_validate(EXAMPLES[model.type][0])

    sent = json.loads(to_message(document, "id", "default").body)

    validator(f"messages/{model.type}.v1.json").validate(sent)


def test_the_headers_we_write_keep_their_schema_and_its_example_can_be_read() -> None:
    receipt = Receipt(
        id=UUID(int=1), receipt_id=UUID(int=2), received_at=datetime(2026, 1, 1, tzinfo=UTC), tenant="default",
        endpoint="hooks", method="POST", url="https://example.com/\xe4", remote=None, headers=[["A", "\xff"]], body=b"",
        verification={"scheme": "github"}, payload_id=UUID(int=3),
    )  # fmt: skip

    validator(f"messages/{WEBHOOK}.v1.json").validate(to_headers(receipt))

    assert from_headers(str(UUID(int=2)), EXAMPLES[WEBHOOK][0], b"").key == "evt_1"


def test_the_manifests_schema_takes_what_the_reader_takes() -> None:
    schema = validator("config/manifest.v1.json")
    texts = [
        MANIFEST,
        *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.yml"))),
    ]

    assert len(texts) > 1
    for text in texts:
        document = yaml.safe_load(text)
        schema.validate(json.loads(json.dumps(document, default=str)))
        Manifest.model_validate(document)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": 2},
        {"version": 1, "tenant": "A B"},
        {"version": 1, "sources": [{"name": "a"}]},
        {"version": 1, "schedules": [{"name": "a", "streams": []}]},
        {"version": 1, "endpoints": [{"name": "a", "scheme": "github", "more": 1}]},
        {"version": 1, "sources": [{"name": "a", "base_url": "https://x", "auth": {"type": "magic"}}]},
    ],
)
def test_the_manifests_schema_refuses_what_the_reader_refuses(broken: dict[str, Any]) -> None:
    assert not validator("config/manifest.v1.json").is_valid(broken)
    with pytest.raises(ValidationError):
        Manifest.model_validate(broken)


def test_secrets_are_marked_in_the_manifests_schema() -> None:
    definitions = read("config/manifest.v1.json")["$defs"]

    assert definitions["BearerAuth"]["properties"]["token"]["x-secret"] is True
    assert definitions["BasicAuth"]["properties"]["password"]["x-secret"] is True


def test_asyncapi_names_exchanges_and_schemas_that_are_there() -> None:
    document = yaml.safe_load((SCHEMAS / "messages/asyncapi.yaml").read_text(encoding="utf-8"))
    topology = load_topology()

    assert document["asyncapi"] == "3.0.0"
    for channel in document["channels"].values():
        exchange = channel["bindings"]["amqp"]["exchange"]
        assert topology.exchanges[exchange["name"]] == exchange["type"]
        if exchange["name"] != "headwater.events":
            assert len(topology.route(exchange["name"], channel["address"])) == 1, channel["address"]
    for reference in references(document):
        target, _, inside = reference.partition("#")
        if target:
            assert (SCHEMAS / "messages" / target).is_file(), reference
        else:
            assert look_up(document, inside) is not None, reference


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def look_up(document: Any, pointer: str) -> Any:
    for part in Path(pointer).parts[1:]:
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document
