"""Verbs of `endpoints` and `presets`: addresses that accept webhooks, and what goes by a name."""

import argparse
import base64
from typing import Any

import yaml

from headwater.cli.asking import Counter, Verb, given, moment, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.printing import form_of
from headwater.cli.reading import read_bytes
from headwater.control import endpoint_changes, endpoint_secrets, endpoint_tests, endpoints, presets
from headwater.control.documents import Part
from headwater.model.errors import ConfigError


async def _list_endpoints(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(endpoints.EndpointsQuery, q=chosen.q, limit=chosen.limit)
    items = await counter.listed(endpoints.Endpoint, endpoints.list_endpoints, query)
    if form_of(chosen) == "table":
        items = [
            {
                **item,
                "scheme": item["definition"]["scheme"] or "definition",
                "alarms": ", ".join(alarm["kind"] for alarm in item["alarms"]) or None,
            }
            for item in items
        ]
    columns = ("name", "path", "scheme", "enabled", "alarms", "updated_at")
    return show_list(
        chosen, columns, items, empty="no endpoints yet; `headwater apply` a manifest that has some"
    )


def _one_endpoint(handler: Any) -> Verb:
    async def run(chosen: argparse.Namespace, counter: Counter) -> int:
        found = await counter.shown(endpoints.Endpoint, handler, path={"endpoint": chosen.name})
        return show(chosen, found)

    return run


async def _endpoint_stats(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(endpoints.StatsQuery, since=moment(chosen.since))
    found = await counter.shown(
        endpoints.EndpointStats, endpoints.endpoint_stats, path={"endpoint": chosen.name}, query=query
    )
    return show(chosen, found)


async def _put_endpoint(chosen: argparse.Namespace, counter: Counter) -> int:
    document = _document(chosen.file)
    name = document.get("name")
    if not isinstance(name, str):
        raise ConfigError(f"{chosen.file}: has no name; write `name:` as in a manifest's endpoints")
    body = Part.model_validate(document)
    found = await counter.shown(
        endpoints.Endpoint, endpoint_changes.put_endpoint, path={"endpoint": name}, body=body
    )
    return show(chosen, found)


def _document(file: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_bytes(file))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: is neither YAML nor JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: is no endpoint; write its fields as in a manifest's endpoints")
    return document


async def _delete_endpoint(chosen: argparse.Namespace, counter: Counter) -> int:
    await counter.ask(endpoint_changes.delete_endpoint, path={"endpoint": chosen.name})
    if form_of(chosen) == "table":
        print(f"endpoint {chosen.name} is removed")
    return Exit.OK


async def _handshake(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"endpoint": chosen.name}
    if chosen.reveal:
        shown = await counter.shown(
            endpoint_secrets.HandshakeSecret, endpoint_secrets.reveal_handshake_secret, path=path
        )
        return show(chosen, shown)
    handler = endpoint_secrets.reset_handshake if chosen.reset else endpoint_secrets.show_handshake
    return show(chosen, await counter.shown(endpoint_secrets.HandshakeState, handler, path=path))


async def _test_endpoint(chosen: argparse.Namespace, counter: Counter) -> int:
    asked: dict[str, Any] = {"at": moment(chosen.at), "remote": chosen.remote, "delivery": chosen.delivery}
    if chosen.delivery is None:
        body = b"" if chosen.body is None else read_bytes(chosen.body)
        asked["request"] = {
            "method": chosen.method,
            "url": chosen.url,
            "headers": [_header(text) for text in chosen.header],
            "body_base64": base64.b64encode(body).decode(),
        }
    found = await counter.shown(
        endpoint_tests.TestResult,
        endpoint_tests.test_endpoint,
        path={"endpoint": chosen.name},
        body=given(endpoint_tests.TestRequest, **asked),
    )
    show(chosen, found)
    return Exit.OK if found["refused"] is None else Exit.FAILURE


def _header(text: str) -> tuple[str, str]:
    name, found, value = text.partition(":")
    if not found or not name.strip():
        raise ConfigError(f"--header {text!r}: write NAME: VALUE")
    return name.strip(), value.strip()


async def _list_presets(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(presets.PresetsQuery, kind=chosen.kind, q=chosen.q, limit=chosen.limit)
    items = await counter.listed(presets.Preset, presets.list_presets, query)
    return show_list(chosen, ("kind", "name", "description"), items, empty="there is no such preset")


async def _show_preset(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(presets.PresetQuery, kind=chosen.kind)
    found = await counter.shown(
        presets.Preset, presets.show_preset, path={"preset": chosen.name}, query=query
    )
    return show(chosen, found)


ENDPOINTS: dict[str, Verb] = {
    "list": _list_endpoints,
    "show": _one_endpoint(endpoint_changes.show_endpoint),
    "stats": _endpoint_stats,
    "put": _put_endpoint,
    "delete": _delete_endpoint,
    "enable": _one_endpoint(endpoint_changes.enable_endpoint),
    "disable": _one_endpoint(endpoint_changes.disable_endpoint),
    "handshake": _handshake,
    "test": _test_endpoint,
}
PRESETS: dict[str, Verb] = {"list": _list_presets, "show": _show_preset}
