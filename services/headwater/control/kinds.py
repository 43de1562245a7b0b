"""Kinds of parts of a configuration, shown, made, replaced and merged one by one under the tenant's lock."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.control.apply import apply_manifest
from headwater.control.documents import Part, checked, given, merged, named
from headwater.control.etag import check_preconditions, etag
from headwater.control.frame import API
from headwater.control.problems import conflict, not_found
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.store import config

Row = Mapping[str, Any]


async def _anything(_connection: Any, _tenant: str, _part: Any, _known: Row) -> None:
    """Nothing stands against the change."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One list of a manifest. `noun` is what an address calls its path parameter, `plural` the list.

    `find` (connection, tenant, name) gives the row, `view` (connection, tenant, row) what is shown of it, `document`
    the part as a manifest has it, `version` what its ETag says. `allow` (connection, tenant, new part, row) refuses
    a change that cannot be made to what is there.
    """

    noun: str
    plural: str
    find: Callable[[Any, str, str], Awaitable[Row | None]]
    view: Callable[[Any, str, Row], Awaitable[dict[str, Any]]]
    document: Callable[[Row], dict[str, Any]]
    version: Callable[[Row], str]
    allow: Callable[[Any, str, Any, Row], Awaitable[None]] = _anything

    @property
    def _article(self) -> str:
        return "an" if self.noun[0] in "aeiou" else "a"

    async def show(self, desk: Desk, call: Call[NoQuery, None]) -> Reply:
        async with desk.acting(call) as connection:
            return await self.shown(connection, call.tenant, call.path[self.noun])

    async def create(self, desk: Desk, call: Call[NoQuery, Part]) -> Reply:
        document = given(call)
        async with desk.acting(call) as connection:
            await config.lock(connection, call.tenant)
            name = document.get("name")
            if isinstance(name, str) and await self.find(connection, call.tenant, name) is not None:
                raise conflict(f"There is {self._article} {self.noun} {name} already: replace it with PUT")
            return await self._written(desk, connection, call.tenant, document, None)

    async def put(self, desk: Desk, call: Call[NoQuery, Part]) -> Reply:
        async with desk.acting(call) as connection:
            known = await self._locked(connection, call)
            check_preconditions(call.headers, None if known is None else self.version(known))
            document = named(given(call), call.path[self.noun])
            return await self._written(desk, connection, call.tenant, document, known)

    async def patch(self, desk: Desk, call: Call[NoQuery, Part]) -> Reply:
        async with desk.acting(call) as connection:
            known = await self.seen(connection, call)
            document = named(merged(self.document(known), given(call)), call.path[self.noun])
            return await self._written(desk, connection, call.tenant, document, known)

    async def seen(self, connection: Any, call: Call[Any, Any]) -> Row:
        """The row that the call is to change, locked. Raises: Refusal 404; 412 when it is not as the caller saw it."""
        known = await self._locked(connection, call)
        if known is None:
            raise not_found(self.noun)
        check_preconditions(call.headers, self.version(known))
        return known

    async def _locked(self, connection: Any, call: Call[Any, Any]) -> Row | None:
        """The row, while nobody else changes the tenant's configuration; None where there is none."""
        await config.lock(connection, call.tenant)
        return await self.find(connection, call.tenant, call.path[self.noun])

    async def shown(self, connection: Any, tenant: str, name: str, status: int = 200) -> Reply:
        """The row as it is now, with its ETag. Raises: Refusal 404."""
        row = await self.find(connection, tenant, name)
        if row is None:
            raise not_found(self.noun)
        location = {"Location": f"{API}/{self.plural}/{name}"} if status == 201 else {}
        view = await self.view(connection, tenant, row)
        return Reply(view, status, {**etag(self.version(row)), **location})

    async def _written(
        self, desk: Desk, connection: Any, tenant: str, document: Mapping[str, Any], known: Row | None
    ) -> Reply:
        manifest = await checked(desk, connection, tenant, self.plural, document)
        (part,) = getattr(manifest, self.plural)
        if known is not None:
            await self.allow(connection, tenant, part, known)
        await apply_manifest(connection, desk.keyring, manifest)
        return await self.shown(connection, tenant, part.name, 201 if known is None else 200)
