"""Verbs of `secrets`: named ones, those of endpoints, and the keys that seal them."""

import argparse
import os
import sys
from typing import Any

from headwater.cli.asking import Counter, Verb, given, moment, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.printing import form_of, print_json, print_yaml
from headwater.cli.reading import read_bytes
from headwater.control import endpoint_secrets, secrets
from headwater.control.paging import ListQuery
from headwater.model.errors import ConfigError


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
        text = read_bytes(chosen.file or "-").decode("utf-8")
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


SECRETS: dict[str, Verb] = {
    "list": _list_secrets,
    "set": _set_secret,
    "remove": _remove_secret,
    "status": _secret_status,
    "rotate": _rotate,
    "retire": _retire,
}
