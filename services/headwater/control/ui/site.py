"""Makes aiohttp routes of the rows of pages and deeds: who asks, whether the form is ours, and what goes wrong."""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from headwater.control.caller import Acting, identify
from headwater.control.performing import checked_path
from headwater.control.problems import SAFE_HEADERS, Refusal, not_found, unavailable
from headwater.control.reading import BodyReader
from headwater.control.route import Desk
from headwater.control.ui.guard import check_origin, check_token, read_form
from headwater.control.ui.markup import NOTHING, element, text
from headwater.control.ui.parts import link, note
from headwater.control.ui.session import Jar, Session
from headwater.control.ui.sheet import ALERT
from headwater.control.ui.shell import alone, moved, refusal_view, refused, shown
from headwater.control.ui.visit import ROOT, Deed, Download, Failed, Page, Row, Show, Table, View, Visit
from headwater.http.expecting import close_if_waiting, put_off
from headwater.model.errors import ConfigError, ContractError, Unavailable
from headwater.model.storable import text_fault
from headwater.store import sessions

logger = logging.getLogger("headwater.control")
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OURS = re.compile(r"/ui/[A-Za-z0-9/_.%-]*(?:\?[A-Za-z0-9=&_.%+:-]*)?")


class LoginNeeded(Exception):
    """Nobody is logged in, or their key counts no more."""


class Site:
    """What the pages have in common."""

    def __init__(self, desk: Desk, table: Table) -> None:
        self.desk = desk
        self.reader = BodyReader()
        self.jar = Jar(desk.keyring, desk.office.public_url)
        self._table = table

    def route_defs(self, rows: Sequence[Row]) -> list[web.RouteDef]:
        """One aiohttp route for each row, below the tenant's address."""
        made = []
        for row in rows:
            path = f"{ROOT}/tenants/{{tenant}}{row.path}"
            if isinstance(row, Deed):
                made.append(web.post(path, self.around(self._deed(row)), expect_handler=put_off))
            elif isinstance(row, Page):
                made.append(web.get(path, self.around(self._page(row.show)), allow_head=True))
            else:
                made.append(web.get(path, self.around(self._download(row))))
        return made

    def around(self, handle: Handle) -> Handle:
        """`handle`, whose refusals and faults become pages."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = await self._answered(handle, request)
            close_if_waiting(request, response)
            return response

        return answer

    async def _answered(self, handle: Handle, request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except LoginNeeded:
            return self._to_login(request)
        except Refusal as refusal:
            return refused(refusal)
        except Unavailable as error:
            logger.warning("the page %s: %s", _kind(request), error)
            return refused(unavailable())
        except Exception:
            logger.exception("the page %s failed", _kind(request))
            return refused(Refusal(500, "headwater failed on this page; the log of the service says why"))

    def _to_login(self, request: web.Request) -> web.StreamResponse:
        """To the login, and from there back to where somebody was going."""
        where = request.rel_url.raw_path if request.method == "POST" else request.rel_url.raw_path_qs
        if request.method == "POST":
            where = where.rpartition("/")[0]
        elif request.headers.get("Sec-Fetch-Site") == "cross-site" and is_ours(where):
            # A link on a page of elsewhere: browsers keep the cookie back then, and send it when a page of ours asks.
            going = element("p", link(where, "Go on"))
            return alone("headwater", going, refresh=f"0;url={where}")
        return moved(f"{ROOT}/login" + (f"?next={quote(where, safe='')}" if is_ours(where) else ""))

    async def identified(self, session: Session | None, tenant: str | None) -> tuple[Acting, Session]:
        """Who asks, acting in `tenant` or their own. Raises: LoginNeeded, Refusal 403, 404."""
        if session is None or session.key is None:
            raise LoginNeeded
        try:
            acting = await identify(self.desk.database, session.key.text(), tenant, "read")
        except Refusal as refusal:
            if refusal.status == 401:
                raise LoginNeeded from refusal
            raise
        async with self.desk.database.as_tenant(acting.tenant) as connection:
            if await sessions.has_ended(connection, acting.caller.key_id, session.token, session.began_at):
                raise LoginNeeded
        return acting, session

    async def visit(self, request: web.Request, *, is_deed: bool = False) -> Visit:
        """The request of somebody who is logged in. Raises: LoginNeeded, Refusal."""
        path = dict(request.match_info)
        if any(text_fault(part) for pair in request.query.items() for part in pair):
            raise not_found("page")
        session = self.jar.session(request, self.desk.clock.now())
        acting, session = await self.identified(
            session, checked_path({"tenant": path.pop("tenant")})["tenant"]
        )
        place = request.rel_url.raw_path.rstrip("/")
        if is_deed:
            place = place.rpartition("/")[0]
        return Visit(self.desk, self._table, acting, session, place, checked_path(path), dict(request.query))

    def _page(self, show: Show) -> Handle:
        async def handle(request: web.Request) -> web.StreamResponse:
            visit = await self.visit(request)
            try:
                return shown(visit, await show(visit))
            except Refusal as refusal:
                return shown(visit, refusal_view(refusal, visit.here() if refusal.status == 422 else None))

        return handle

    def _download(self, row: Download) -> Handle:
        async def handle(request: web.Request) -> web.StreamResponse:
            reply = await row.get(await self.visit(request))
            headers = {**SAFE_HEADERS, **reply.headers, "Content-Type": reply.content_type}
            return web.Response(body=reply.raw, headers=headers)

        return handle

    def _deed(self, deed: Deed) -> Handle:
        async def handle(request: web.Request) -> web.StreamResponse:
            check_origin(request, self.desk.office.public_url)
            session = self.jar.session(request, self.desk.clock.now())
            if session is None or session.key is None:
                raise LoginNeeded
            given = await read_form(self.reader, request)
            check_token(session, given)
            visit = await self.visit(request, is_deed=True)
            try:
                done = await deed.do(visit, given)
                return shown(visit, done) if isinstance(done, View) else moved(done)
            except Refusal as refusal:
                failed = Failed(deed.name, given, refusal)
            except Unavailable as error:
                logger.warning("the form %s: %s", _kind(request), error)
                failed = Failed(deed.name, given, unavailable())
            except (ConfigError, ContractError) as error:
                failed = Failed(deed.name, given, Refusal(422, str(error)))
            return await self._again(deed, visit, failed)

        return handle

    async def _again(self, deed: Deed, visit: Visit, failed: Failed) -> web.StreamResponse:
        """The form's page, with what was given and what was wrong."""
        if failed.refusal.status in {403, 404}:
            return shown(visit, refusal_view(failed.refusal, None))
        visit = replace(visit, query={}, failed=failed)
        view = await deed.back(visit)
        said = NOTHING if ALERT in view.body else note(failed.refusal.detail, tone="bad")
        return shown(visit, replace(view, body=text((said, view.body)), status=failed.refusal.status))


def is_ours(where: str) -> bool:
    """Whether an address may be gone to after the login."""
    return _OURS.fullmatch(where) is not None and "//" not in where


def _kind(request: web.Request) -> str:
    """The row that a request is for, without what somebody wrote into its address."""
    resource = request.match_info.route.resource
    return "?" if resource is None else resource.canonical


async def nothing(request: web.Request) -> web.StreamResponse:
    """For every other address of the UI. One that ends in a slash is meant without it."""
    path = request.rel_url.raw_path
    if request.method in {"GET", "HEAD"} and path.endswith("/"):
        where = path.rstrip("/") + (f"?{query}" if (query := request.rel_url.raw_query_string) else "")
        if is_ours(where):
            return moved(where)
    raise not_found("page")
