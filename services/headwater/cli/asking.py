"""Commands that ask what the API answers: the same handlers in this process, as whoever may read the database.

A command names the handler and the model of its answer; a refusal becomes one line and its exit code.
"""

import argparse
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from headwater.app.clock import SystemClock
from headwater.app.ground import keyring_for, open_bus
from headwater.app.services import keep_of, office_of
from headwater.bus.memory import MemoryBus
from headwater.bus.port import Bus
from headwater.cli.exits import Exit
from headwater.cli.faults import Conflict, NotFound
from headwater.cli.opening import asker, check_tenant, open_means
from headwater.cli.printing import is_printed, print_fields, print_table, yaml_text
from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps
from headwater.control.performing import PARAMETERS
from headwater.control.problems import Refusal, body_faults, parameter_faults
from headwater.control.route import Call, Desk, Handler, Listing, NoQuery
from headwater.model.errors import ConfigError, HeadwaterError, Unavailable
from headwater.settings import Settings
from headwater.store.bell import WORK, Bell
from headwater.store.database import Database
from headwater.telemetry.metrics import Metrics

Model = TypeVar("Model", bound=BaseModel)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"([0-9]{1,6})([smhd])")


@dataclass(frozen=True, slots=True)
class Counter:
    """Where commands ask. `tenant` is whose things they see."""

    desk: Desk
    tenant: str

    async def ask(
        self,
        handler: Handler,
        *,
        path: Mapping[str, str] | None = None,
        query: Closed | None = None,
        body: BaseModel | None = None,
        key: str | None = None,
    ) -> Any:
        """The value of the handler's reply; raw bytes where it has some. Raises: HeadwaterError."""
        named = dict(path or {})
        for name, value in named.items():
            _check_name(name, value)
        digest = b"" if body is None else hashlib.sha256(dumps(body.model_dump(mode="python"))).digest()
        call = Call(asker(), self.tenant, named, query or NoQuery(), body, {}, key, digest, names_tenant=True)
        try:
            reply = await handler(self.desk, call)
        except Refusal as refusal:
            named_by = "/".join(named.values()) if refusal.status == 404 else ""
            raise error_of(refusal, named_by) from refusal
        if reply.raw is not None:
            return reply.raw
        if isinstance(reply.value, Listing):
            return {"items": list(reply.value.items), "next": reply.value.next}
        return reply.value

    async def shown(self, answer: type[BaseModel], handler: Handler, **asked: Any) -> Any:
        """The reply's document, in the fields of the API."""
        value = await self.ask(handler, **asked)
        return answer.model_validate(value).model_dump(mode="python", by_alias=True)

    async def listed(self, item: type[BaseModel], handler: Handler, query: Closed) -> list[Any]:
        """The items of a list's first page."""
        value = await self.ask(handler, query=query)
        return [item.model_validate(each).model_dump(mode="python", by_alias=True) for each in value["items"]]

    async def ring(self) -> None:
        """Tell the services that there is something to do."""
        await self.desk.worker.execute("SELECT pg_notify($1, '')", WORK)


Verb = Callable[[argparse.Namespace, Counter], Awaitable[int]]


@asynccontextmanager
async def open_counter(
    chosen: argparse.Namespace, settings: Settings, *, with_bus: bool = False
) -> AsyncIterator[Counter]:
    """Where `chosen` asks, in its tenant. Raises: NotFound for a tenant that is not there.

    `with_bus`: the real bus, for those who look at its queues.
    """
    async with AsyncExitStack() as stack:
        means = await stack.enter_async_context(open_means(settings))
        pools = []
        for role in ("headwater_api", "headwater_worker"):
            pool = Database(means.database_url, role, size=2)
            await pool.open()
            stack.push_async_callback(pool.close)
            pools.append(pool)
        api, worker = pools
        await check_tenant(api, chosen.tenant)
        keyring = keyring_for(settings, means)
        bus: Bus = MemoryBus()  # handlers that a command asks hand nothing to a bus: they leave rows
        stack.push_async_callback(bus.close)
        if with_bus:
            bus = await open_bus(settings, means, stack)
        desk = Desk(
            api,
            worker,
            bus,
            keyring,
            Bell(worker),
            SystemClock(),
            Metrics(),
            means.management_url,
            office=office_of(settings),
            keep=keep_of(settings),
        )
        yield Counter(desk, chosen.tenant)


def nowhere() -> Counter:
    """For handlers that look at nothing but the package itself."""
    return Counter(cast("Desk", None), "default")


def _check_name(name: str, value: str) -> None:
    if PARAMETERS[name].fullmatch(value) is not None:
        return
    if "0-9a-fA-F" in PARAMETERS[name].pattern:
        raise ConfigError(f"{value!r} is no id: copy it from a list")
    raise NotFound(f"there is no {name} {value!r}")


def error_of(refusal: Refusal, named: str = "") -> HeadwaterError:
    """The refusal as commands end with it; `named` is what was not there."""
    told = f"{refusal.detail}: {named}" if named else refusal.detail
    for fault in refusal.faults:
        place = fault.get("pointer") or fault.get("parameter") or fault.get("header") or ""
        told += f"\n  {place}: {fault['detail']}" if place else f"\n  {fault['detail']}"
    if refusal.status == 404:
        return NotFound(told)
    if refusal.status in (409, 412):
        return Conflict(told)
    if refusal.status == 503:
        return Unavailable(told)
    return ConfigError(told) if refusal.status < 500 else HeadwaterError(told)


def given(model: type[Model], **values: Any) -> Model:
    """The query or body of these values; None stands for what was not given. Raises: ConfigError."""
    document = {name: value for name, value in values.items() if value is not None}
    try:
        return model.model_validate(document)
    except ValidationError as error:
        if issubclass(model, Closed):
            faults = [
                f"--{str(fault['parameter']).replace('_', '-')}: {fault['detail']}"
                if fault["parameter"]
                else str(fault["detail"])
                for fault in parameter_faults(error)
            ]
        else:
            faults = [
                f"{fault.get('pointer', '')}: {fault['detail']}" for fault in body_faults(error, document)
            ]
        raise ConfigError("; ".join(faults)) from None


def moment(text: str | None) -> datetime | None:
    """A moment as people write it: ISO 8601 (UTC without a zone), or how long ago: 30m, 2h, 7d. Raises: ConfigError."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]])
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{text!r} is no time: give 2026-01-31T12:00:00Z, or how long ago, such as 2h"
        ) from None


def show(chosen: argparse.Namespace, document: Any) -> int:
    """One thing."""
    if not is_printed(chosen, document):
        plain = {name: value for name, value in document.items() if not _is_nested(value)}
        print_fields(plain)
        for name in [each for each in document if each not in plain]:
            print(f"{name}")
            for line in yaml_text(_without_nothing(document[name])).splitlines():
                print(f"  {line}")
    return Exit.OK


def _is_nested(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(each, dict | list) and each for each in value.values())
    return isinstance(value, list) and any(isinstance(each, dict | list) for each in value)


def _without_nothing(value: Any) -> Any:
    """What is null or empty says nothing to people."""
    if isinstance(value, dict):
        return {
            name: _without_nothing(each) for name, each in value.items() if each not in (None, [], {}, ())
        }
    return value


def show_list(chosen: argparse.Namespace, columns: tuple[str, ...], items: list[Any], *, empty: str) -> int:
    """Several things: as a table these columns of theirs, else all they have."""
    if not is_printed(chosen, items):
        print_table(columns, ([item[name] for name in columns] for item in items), empty=empty)
    return Exit.OK
