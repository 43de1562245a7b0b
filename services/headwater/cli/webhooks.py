"""`refusals`, `deliveries`, `replays`, `endpoints`, `secrets`, `presets`: ask, and show the answer."""

import argparse
import asyncio
import base64
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

from headwater.cli.asking import Counter, form_of, given, moment, nowhere, open_counter, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.printing import print_json, print_yaml
from headwater.control import (
    deliveries,
    endpoint_changes,
    endpoint_secrets,
    endpoint_tests,
    endpoints,
    presets,
    refusals,
    replays,
    secrets,
)
from headwater.control.documents import Part
from headwater.control.paging import ListQuery
from headwater.model.errors import ConfigError
from headwater.settings import Settings

Verb = Callable[[argparse.Namespace, Counter], Awaitable[int]]
_LOOK_S = 0.3


async def execute_webhooks(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one verb of these commands."""
    if chosen.command == "presets":
        return await _VERBS["presets"][chosen.verb](chosen, nowhere())
    async with open_counter(chosen, settings) as counter:
        return await _VERBS[chosen.command][chosen.verb](chosen, counter)


# refusals


async def _list_refusals(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        refusals.RefusalsQuery,
        endpoint=chosen.endpoint,
        reason=chosen.reason,
        since=moment(chosen.since),
        until=moment(chosen.until),
        limit=chosen.limit,
    )
    items = await counter.listed(refusals.Refusal, refusals.list_refusals, query)
    columns = ("id", "endpoint", "refused_at", "status", "reason", "detail", "remote", "body_bytes")
    return show_list(chosen, columns, items, empty="nothing was refused")


async def _show_refusal(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(refusals.Refusal, refusals.show_refusal, path={"refusal": chosen.id})
    return show(chosen, found)


# deliveries


async def _list_deliveries(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        deliveries.DeliveriesQuery,
        endpoint=chosen.endpoint,
        state=chosen.state,
        type=chosen.type,
        since=moment(chosen.since),
        until=moment(chosen.until),
        q=chosen.q,
        header=chosen.header,
        payload=chosen.payload,
        limit=chosen.limit,
    )
    items = await counter.listed(deliveries.Delivery, deliveries.list_deliveries, query)
    columns = (
        "id",
        "endpoint",
        "state",
        "received_at",
        "type",
        "provider_id",
        "body_bytes",
        "duplicates",
        "reason",
    )
    return show_list(
        chosen, columns, items, empty="no such deliveries; endpoints answer at /in/<tenant>/<endpoint>"
    )


async def _show_delivery(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"delivery": chosen.id}
    return show(chosen, await counter.shown(deliveries.DeliveryDetail, deliveries.show_delivery, path=path))


async def _raw_delivery(chosen: argparse.Namespace, counter: Counter) -> int:
    body = await counter.ask(deliveries.raw_delivery, path={"delivery": chosen.id})
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
    return Exit.OK


async def _duplicates(chosen: argparse.Namespace, counter: Counter) -> int:
    value = await counter.ask(
        deliveries.list_duplicates, path={"delivery": chosen.id}, query=ListQuery(limit=500)
    )
    items = [deliveries.Duplicate.model_validate(each).model_dump(mode="python") for each in value["items"]]
    columns = ("receipt_id", "received_at", "is_conflict", "body_sha256")
    return show_list(chosen, columns, items, empty="it has no duplicates")


async def _replay(chosen: argparse.Namespace, counter: Counter) -> int:
    wanted = given(
        replays.ReplayFilter,
        ids=chosen.ids or None,
        endpoint=chosen.endpoint,
        state=chosen.state,
        type=chosen.type,
        since=moment(chosen.since),
        until=moment(chosen.until),
        all=chosen.all or None,
        rate=chosen.rate,
        limit=chosen.limit,
        dry_run=chosen.dry_run or None,
    )
    asked = await counter.shown(replays.Asked, replays.replay_deliveries, body=wanted)
    await counter.ring()
    if not chosen.wait or asked["id"] is None:
        return show(chosen, asked)
    return await _until_done(chosen, counter, str(asked["id"]))


async def _until_done(chosen: argparse.Namespace, counter: Counter, request: str) -> int:
    shows_progress = sys.stderr.isatty() and form_of(chosen) == "table"
    while True:
        found = await counter.shown(replays.Replay, replays.show_replay, path={"replay": request})
        if found["state"] != "running":
            break
        if shows_progress:
            sys.stderr.write(f"\r{found['settled']} of {found['count']} ")
            sys.stderr.flush()
        await asyncio.sleep(_LOOK_S)
    if shows_progress:
        sys.stderr.write("\r\x1b[K")
    show(chosen, found)
    return Exit.FAILURE if found["counts"].get("dead") or found["state"] == "cancelled" else Exit.OK


# replays


async def _list_replays(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(ListQuery, limit=chosen.limit)
    items = await counter.listed(replays.Replay, replays.list_replays, query)
    columns = ("id", "state", "requested_at", "count", "settled", "rate", "requested_by")
    return show_list(chosen, columns, items, empty="nothing was replayed")


def _one_replay(handler: Any) -> Verb:
    async def run(chosen: argparse.Namespace, counter: Counter) -> int:
        return show(chosen, await counter.shown(replays.Replay, handler, path={"replay": chosen.id}))

    return run


# endpoints


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
        document = yaml.safe_load(_bytes_of(file))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: is neither YAML nor JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: is no endpoint; write its fields as in a manifest's endpoints")
    return document


def _bytes_of(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; name a readable file") from error


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
        body = b"" if chosen.body is None else _bytes_of(chosen.body)
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


# secrets


async def _list_secrets(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(ListQuery, limit=chosen.limit)
    items = await counter.listed(secrets.NamedSecret, secrets.list_secrets, query)
    columns = ("name", "updated_at", "used_by", "is_current")
    return show_list(
        chosen, columns, items, empty="no named secrets; set one with `headwater secrets set NAME`"
    )


async def _set_secret(chosen: argparse.Namespace, counter: Counter) -> int:
    body = given(secrets.NewSecret, value=_value(chosen))
    found = await counter.shown(
        secrets.NamedSecret, secrets.put_secret, path={"secret": chosen.name}, body=body
    )
    return show(chosen, found)


def _value(chosen: argparse.Namespace) -> str:
    """The secret's value: never an argument, which every process of the machine could see."""
    if chosen.env is not None:
        value = os.environ.get(chosen.env)
        if not value:
            raise ConfigError(f"--env {chosen.env}: the variable is not set")
        return value
    if chosen.file is None and sys.stdin.isatty():
        raise ConfigError("give the value on standard input, or by --env or --file")
    try:
        text = _bytes_of(chosen.file or "-").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the value is not UTF-8 (byte {error.start})") from None
    if not text.rstrip("\r\n"):
        raise ConfigError("the value is empty: give it on standard input, or by --env or --file")
    return text.rstrip("\r\n")


async def _remove_secret(chosen: argparse.Namespace, counter: Counter) -> int:
    await counter.ask(secrets.delete_secret, path={"secret": chosen.name})
    if form_of(chosen) == "table":
        print(f"secret {chosen.name} is removed")
    return Exit.OK


_SECRET_COLUMNS = (
    "index",
    "name",
    "state",
    "not_after",
    "last_used_at",
    "use_count",
    "safe_to_retire",
    "why",
)


async def _secret_status(chosen: argparse.Namespace, counter: Counter) -> int:
    if chosen.endpoint is None:
        uses = await counter.shown(secrets.KeyUses, secrets.list_secret_keys)
        columns = ("key_id", "is_active", "is_known", "secrets", "safe_to_retire")
        return show_list(chosen, columns, uses["items"], empty="there are no keys")
    path = {"endpoint": chosen.endpoint}
    found = await counter.shown(
        endpoint_secrets.EndpointSecrets, endpoint_secrets.list_endpoint_secrets, path=path
    )
    return show_list(chosen, _SECRET_COLUMNS, found["items"], empty="it has no secrets")


async def _rotate(chosen: argparse.Namespace, counter: Counter) -> int:
    if chosen.endpoint is None:
        return show(chosen, await counter.shown(secrets.Resealed, secrets.reseal_secrets))
    is_given = chosen.given or chosen.env is not None or chosen.file is not None
    asked: dict[str, Any] = {
        "secret": _value(chosen) if is_given else None,
        "overlap_s": chosen.overlap,
        "not_before": moment(chosen.not_before),
    }
    body = given(endpoint_secrets.Rotation, **asked)
    if chosen.keep:
        body = body.model_copy(update={"overlap_s": None})
    path = {"endpoint": chosen.endpoint}
    found = await counter.shown(
        endpoint_secrets.Rotated, endpoint_secrets.rotate_endpoint_secret, path=path, body=body
    )
    if form_of(chosen) != "table":
        print_json(found) if form_of(chosen) == "json" else print_yaml(found)
        return Exit.OK
    show_list(chosen, _SECRET_COLUMNS, found["items"], empty="")
    if found["secret"] is not None:
        print(f"\nThe new secret, shown this once: {found['secret']}")
    return Exit.OK


async def _retire(chosen: argparse.Namespace, counter: Counter) -> int:
    which = {"index": int(chosen.secret)} if chosen.secret.isdecimal() else {"name": chosen.secret}
    body = given(endpoint_secrets.Retirement, **which, force=chosen.force)
    path = {"endpoint": chosen.endpoint}
    found = await counter.shown(
        endpoint_secrets.EndpointSecrets, endpoint_secrets.retire_endpoint_secret, path=path, body=body
    )
    return show_list(chosen, _SECRET_COLUMNS, found["items"], empty="it has no secrets")


# presets


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


_VERBS: dict[str, dict[str, Verb]] = {
    "refusals": {"list": _list_refusals, "show": _show_refusal},
    "deliveries": {
        "list": _list_deliveries,
        "show": _show_delivery,
        "raw": _raw_delivery,
        "duplicates": _duplicates,
        "replay": _replay,
    },
    "replays": {
        "list": _list_replays,
        "show": _one_replay(replays.show_replay),
        "cancel": _one_replay(replays.cancel_replay),
    },
    "endpoints": {
        "list": _list_endpoints,
        "show": _one_endpoint(endpoint_changes.show_endpoint),
        "stats": _endpoint_stats,
        "put": _put_endpoint,
        "delete": _delete_endpoint,
        "enable": _one_endpoint(endpoint_changes.enable_endpoint),
        "disable": _one_endpoint(endpoint_changes.disable_endpoint),
        "handshake": _handshake,
        "test": _test_endpoint,
    },
    "secrets": {
        "list": _list_secrets,
        "set": _set_secret,
        "remove": _remove_secret,
        "status": _secret_status,
        "rotate": _rotate,
        "retire": _retire,
    },
    "presets": {"list": _list_presets, "show": _show_preset},
}
