"""Logging in with an API key, logging out, and the way from `/ui/` to a tenant."""

from aiohttp import web

from headwater.control.caller import KEY_FORM, identify
from headwater.control.frame import API
from headwater.control.paging import ListQuery
from headwater.control.performing import document_of, perform
from headwater.control.problems import Refusal
from headwater.control.route import Call
from headwater.control.ui.guard import check_origin, check_token, read_form
from headwater.control.ui.markup import NOTHING, Markup, element
from headwater.control.ui.parts import badge, code, link, table
from headwater.control.ui.session import Session, new_session
from headwater.control.ui.sheet import TOKEN, hidden
from headwater.control.ui.shell import alone, logout, moved
from headwater.control.ui.site import LoginNeeded, Site, is_ours
from headwater.control.ui.visit import ROOT, Table, address
from headwater.http.expecting import put_off
from headwater.model.secret import Secret
from headwater.store import sessions

_MANY = 500
_NO_COOKIE = "The form was open too long, or your browser keeps no cookies of this address: send it again"


class Accounts:
    """The pages outside of any tenant."""

    def __init__(self, site: Site, listed: Table) -> None:
        self._site = site
        self._tenants = listed["GET", f"{API}/tenants"]

    def route_defs(self) -> list[web.RouteDef]:
        """Their aiohttp routes."""
        around = self._site.around
        return [
            web.get(ROOT, around(_to_root)),
            web.get(f"{ROOT}/", around(self._root), allow_head=True),
            web.get(f"{ROOT}/login", around(self._ask), allow_head=True),
            web.post(f"{ROOT}/login", around(self._login), expect_handler=put_off),
            web.post(f"{ROOT}/logout", around(self._logout), expect_handler=put_off),
        ]

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        where = request.query.get("next", "")
        return self._form(request, where if is_ours(where) else "")

    def _form(
        self, request: web.Request, where: str, fault: str = "", status: int = 200
    ) -> web.StreamResponse:
        """The login form, in a session of its own: another page can neither fill nor send it."""
        now = self._site.desk.clock.now()
        session = new_session(now)
        response = alone("Log in", _login_form(session, where, fault), status=status)
        self._site.jar.put(request, response, session, now)
        return response

    async def _login(self, request: web.Request) -> web.StreamResponse:
        site = self._site
        check_origin(request, site.desk.office.public_url)
        given = await read_form(site.reader, request)
        where = given.get("next", "")
        where = where if is_ours(where) else ""
        now = site.desk.clock.now()
        before = site.jar.session(request, now, is_known=False)
        if before is None:
            return self._form(request, where, _NO_COOKIE, 403)
        check_token(before, given)
        key = given.get("key", "").strip()
        try:
            await identify(site.desk.database, key, None, "read")
        except Refusal as refusal:
            return self._form(request, where, refusal.detail, refusal.status)
        response = moved(where or f"{ROOT}/")
        site.jar.put(request, response, new_session(now, Secret.of(key)), now)
        site.jar.remove(response, is_known=False)
        return response

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        site = self._site
        check_origin(request, site.desk.office.public_url)
        now = site.desk.clock.now()
        session = site.jar.session(request, now)
        if session is None or session.key is None:
            raise LoginNeeded
        check_token(session, await read_form(site.reader, request))
        if known := KEY_FORM.fullmatch(session.key.text()):
            async with site.desk.database.as_tenant(None) as connection:
                await sessions.end(connection, known[1], session.token, now, session.expires_at)
        response = moved(f"{ROOT}/login")
        site.jar.remove(response)
        return response

    async def _root(self, request: web.Request) -> web.StreamResponse:
        """To the key's tenant; a key of no tenant chooses one."""
        site = self._site
        acting, session = await site.identified(site.jar.session(request, site.desk.clock.now()), None)
        if not acting.caller.is_global:
            return moved(address(acting.tenant))
        call = Call(acting.caller, acting.tenant, {}, ListQuery(limit=_MANY), None, request.headers)
        tenants = document_of(self._tenants, await perform(site.desk, self._tenants, call))["items"]
        if len(tenants) == 1:
            return moved(address(acting.tenant))
        rows = [(link(address(each["name"]), each["name"]), badge(each["state"])) for each in tenants]
        told = table(("Tenant", "State"), rows, "There is no tenant.")
        return alone("Tenants", element("h1", "Choose a tenant"), told, element("p", logout(session.token)))


async def _to_root(_: web.Request) -> web.StreamResponse:
    return moved(f"{ROOT}/")


def _login_form(session: Session, where: str, fault: str) -> Markup:
    said = element("p", fault, class_="note bad", role="alert") if fault else NOTHING
    key = element("input", type="password", name="key", id="key", required=True, autocomplete="current-password",
                  autofocus=True, spellcheck="false")  # fmt: skip
    form = element(
        "form",
        hidden(TOKEN, session.token),
        hidden("next", where),
        element("div", element("label", "API key", for_="key"), key, class_="field"),
        element("button", "Log in", type="submit", class_="main"),
        method="post",
        action=f"{ROOT}/login",
        class_="sheet",
    )
    hint = element(
        "p",
        "Keys look like ",
        code("hw_<id>_<secret>"),
        ". The first one was shown when headwater started for the first time; an admin makes more with ",
        code("headwater keys create"),
        ".",
        class_="quiet",
    )
    return element("div", element("h1", "headwater"), said, form, hint, class_="login")
