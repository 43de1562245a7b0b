"""One request for a page or a deed: who asks, what was given, and the API's routes at hand."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from headwater.control.caller import Acting
from headwater.control.frame import API
from headwater.control.performing import checked_body, checked_path, checked_query, document_of, perform
from headwater.control.problems import Refusal
from headwater.control.route import Call, Desk, Reply, Route, Scope
from headwater.control.ui.markup import Markup
from headwater.control.ui.session import Session
from headwater.model.run import Trigger

ROOT = "/ui"
Given = Mapping[str, str]
Table = Mapping[tuple[str, str], Route]


@dataclass(frozen=True, slots=True)
class View:
    """A page's content. `section` is the path of the list that it belongs to; `refresh_s`: it is looked at again."""

    title: str
    body: Markup
    section: str | None = None
    status: int = 200
    refresh_s: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A form that comes back: its name, what was given, and why it could not be."""

    form: str
    given: Given
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Visit:
    """`place` is the address of the page, or of a form's page; `path` are its parameters, `query` those behind it."""

    desk: Desk
    table: Table
    acting: Acting
    session: Session
    place: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    failed: Failed | None = None

    @property
    def tenant(self) -> str:
        return self.acting.tenant

    @property
    def now(self) -> datetime:
        return self.desk.clock.now()

    def may(self, scope: Scope) -> bool:
        return self.acting.caller.may(scope)

    def here(self, *parts: str) -> str:
        """The page's address, or one below it."""
        return "/".join((self.place, *parts))

    def link(self, *parts: object, **query: object) -> str:
        """An address in the tenant's part of the UI; what is None is left out of the query."""
        return address(self.tenant, *parts, **query)

    async def get(self, path: str, /, at: Mapping[str, str] | None = None, **query: object) -> dict[str, Any]:
        """What the API answers to GET of `path` (a row of the route table, below /api/v1). Raises: Refusal."""
        route = self.table["GET", API + path]
        return document_of(route, await self._ask(route, at, query=query))

    async def raw(self, path: str, /, at: Mapping[str, str]) -> Reply:
        """The same for bytes."""
        return await self._ask(self.table["GET", API + path], at)

    async def post(
        self,
        path: str,
        /,
        at: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """What the API answers to POST of `path`. `key` asks for the same thing once. Raises: Refusal."""
        route = self.table["POST", API + path]
        return document_of(route, await self._ask(route, at, body=body, key=key))

    async def put(
        self, path: str, /, at: Mapping[str, str], body: Mapping[str, Any], version: str
    ) -> dict[str, Any]:
        """What the API answers to PUT of `path`. Raises: Refusal; 412 where another state is there than `version`."""
        route = self.table["PUT", API + path]
        return document_of(route, await self._ask(route, at, body=body, headers={"If-Match": version}))

    async def send_text(self, path: str, /, manifest: str) -> dict[str, Any]:
        """What the API answers to POST of a manifest (JSON) to `path`. Raises: Refusal."""
        route = self.table["POST", API + path]
        headers = {"Content-Type": "application/json"}
        return document_of(route, await self._ask(route, None, body=manifest, headers=headers))

    async def version(self, path: str, /, at: Mapping[str, str]) -> str:
        """The ETag of what is at `path`. Raises: Refusal."""
        return (await self._ask(self.table["GET", API + path], at)).headers["ETag"]

    async def _ask(
        self,
        route: Route,
        at: Mapping[str, str] | None,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        given = [(name, str(value)) for name, value in (query or {}).items() if value not in (None, "")]
        document: Any = body
        digest = b""
        if not isinstance(body, str):
            document, digest = (None, b"") if route.body is None else checked_body(route, dict(body or {}))
        call = Call(
            caller=self.acting.caller,
            tenant=self.tenant,
            path=checked_path(at or {}),
            query=checked_query(route, given),
            body=document,
            headers=headers or {},
            key=None if key is None else hashlib.sha256(key.encode()).hexdigest(),
            digest=digest,
            names_tenant=True,
            trigger=Trigger.UI,
        )
        return await perform(self.desk, route, call)


def address(tenant: str, *parts: object, **query: object) -> str:
    """Where a page of the tenant lies."""
    path = "/".join(quote(str(part), safe="") for part in ("tenants", tenant, *parts))
    told = urlencode({name: str(value) for name, value in query.items() if value not in (None, "")})
    return f"{ROOT}/{path}" + (f"?{told}" if told else "")


Show = Callable[[Visit], Awaitable[View]]
Do = Callable[[Visit, Given], Awaitable[str | View]]


@dataclass(frozen=True, slots=True)
class Page:
    """A row: a page below the tenant's address."""

    path: str
    show: Show


@dataclass(frozen=True, slots=True)
class Deed:
    """A row: what a form does. `do` gives the address that is shown then, or what is shown where nothing was done yet;
    `back` is the page of the form.
    """

    path: str
    do: Do
    back: Show

    @property
    def name(self) -> str:
        """The form's name: the last part of its address."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Download:
    """A row: bytes, which no browser shows."""

    path: str
    get: Callable[[Visit], Awaitable[Reply]]


Row = Page | Deed | Download
