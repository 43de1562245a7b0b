"""`destinations`: list, show, delete. `headwater apply` makes them."""

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.cli.exits import Exit
from headwater.cli.faults import Conflict, NotFound
from headwater.cli.printing import is_printed, print_fields, print_table
from headwater.model.errors import ConfigError
from headwater.store import config, destinations
from headwater.store.database import Database

MAX_LIMIT = 500


def _told(row: Mapping[str, Any], users: list[str]) -> dict[str, Any]:
    given = {name: value for name, value in row["definition"].items() if value is not None and name != "name"}
    return {
        "name": row["name"],
        **given,
        "used_by": users,
        "owed": row["owed"],
        "trouble_since": row["since"],
        "trouble": row["reason"],
        "updated_at": row["updated_at"],
    }


async def _list(chosen: argparse.Namespace, api: Database) -> int:
    if not 1 <= chosen.limit <= MAX_LIMIT:
        raise ConfigError(f"--limit {chosen.limit}: give a number from 1 to {MAX_LIMIT}")
    async with api.as_tenant(chosen.tenant) as connection:
        rows = await destinations.page(connection, chosen.tenant, after=None, limit=chosen.limit)
        told = [_told(row, await destinations.users(connection, chosen.tenant, row["name"])) for row in rows]
    if is_printed(chosen, told):
        return Exit.OK
    columns = ("name", "kind", "exchange", "used_by", "owed", "trouble")
    print_table(
        columns,
        ([_plain(one.get(name)) for name in columns] for one in told),
        empty="no destinations with a name; records go to tables of headwater's own database",
    )
    return Exit.OK


def _plain(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value


async def _show(chosen: argparse.Namespace, api: Database) -> int:
    async with api.as_tenant(chosen.tenant) as connection:
        row = await destinations.get(connection, chosen.tenant, chosen.name)
        if row is None:
            raise NotFound(f"there is no destination {chosen.name!r}")
        told = _told(row, await destinations.users(connection, chosen.tenant, chosen.name))
    if not is_printed(chosen, told):
        print_fields(told)
    return Exit.OK


async def _delete(chosen: argparse.Namespace, api: Database) -> int:
    async with api.as_tenant(chosen.tenant) as connection:
        await destinations.lock(connection, chosen.tenant, chosen.name)
        row = await destinations.get(connection, chosen.tenant, chosen.name)
        if row is None:
            raise NotFound(f"there is no destination {chosen.name!r}")
        users = await destinations.users(connection, chosen.tenant, chosen.name)
        if users:
            raise Conflict(f"destination {chosen.name} is used by {', '.join(users)}: change these first")
        if row["owed"]:
            raise Conflict(f"{row['owed']} records of deliveries are still to be sent to {chosen.name}")
        await destinations.delete(connection, chosen.tenant, chosen.name)
        await destinations.well(connection, chosen.tenant, chosen.name)
        await config.drop_secrets_except(connection, chosen.tenant, f"destination/{chosen.name}/url", ())
        await config.announce_change(connection, chosen.tenant)
    if not is_printed(chosen, {"deleted": chosen.name}):
        print(f"destination {chosen.name} is deleted")
    return Exit.OK


VERBS = {"list": _list, "show": _show, "delete": _delete}
