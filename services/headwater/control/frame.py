"""The frame around every handler: key, scope, path, query, body in; document, headers, problems out."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from headwater.contracts.codec import dumps
from headwater.control.caller import Acting, authenticate
from headwater.control.performing import checked_body, checked_path, checked_query, document_of, perform
from headwater.control.problems import (
    SAFE_HEADERS,
    Refusal,
    invalid,
    not_found,
    problem_response,
    unavailable,
    unreadable,
)
from headwater.control.reading import BodyReader, json_document, manifest_text
from headwater.control.route import NOBODY, Call, Desk, Listing, ManifestText, Reply, Route
from headwater.http.expecting import close_if_waiting, put_off
from headwater.model.errors import ConfigError, ContractError, Unavailable

logger = logging.getLogger("headwater.control")
API = "/api/v1"
_IN_PATH = re.compile(r"\{([a-z]+)\}")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
AioHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Frame:
    """Makes aiohttp routes of rows."""

    def __init__(self, desk: Desk, routes: Sequence[Route]) -> None:
        self._desk = desk
        self._routes = routes
        self._reader = BodyReader()
        self._patterns = [(_pattern(route.path), route.method) for route in routes]

    def route_defs(self) -> list[web.RouteDef]:
        """One aiohttp route for each row, and one that answers for every other path of the API."""
        made = []
        for route in self._routes:
            handler = self._around(route)
            if route.method == "GET":
                made.append(web.get(route.path, handler, allow_head=True))
            else:
                made.append(web.route(route.method, route.path, handler, expect_handler=put_off))
        made.append(web.route("*", "/api", self._nothing))
        made.append(web.route("*", "/api/{rest:.*}", self._nothing))
        return made

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        """404, or 405 where the path exists."""
        methods = sorted({method for pattern, method in self._patterns if pattern.fullmatch(request.path)})
        if not methods:
            return problem_response(not_found("address; see /docs"))
        allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
        detail = f"This address takes {allowed}"
        return problem_response(Refusal(405, detail, headers={"Allow": allowed}))

    def _around(self, route: Route) -> AioHandler:
        async def handle(request: web.Request) -> web.StreamResponse:
            response = await self._answered(route, request)
            close_if_waiting(request, response)
            return response

        return handle

    async def _answered(self, route: Route, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(route, request)
        except Refusal as refusal:
            return problem_response(refusal)
        except Unavailable as error:
            logger.warning("%s %s: %s", route.method, route.path, error)
            return problem_response(unavailable())
        except (ConfigError, ContractError) as error:
            return problem_response(invalid(str(error)))
        except Exception:
            logger.exception("%s %s failed", route.method, route.path)
            return problem_response(
                Refusal(500, "headwater failed on this request; the log of the service says why")
            )

    async def _answer(self, route: Route, request: web.Request) -> web.Response:
        acting = Acting(NOBODY, "", names_tenant=False)
        if route.scope is not None:
            acting = await authenticate(self._desk.database, request.headers, route.scope)
        path = checked_path(request.match_info)
        query = checked_query(route, list(request.rel_url.query.items()))
        key = _idempotency_key(request) if route.keyed else None
        body, digest = await self._body(route, request)
        call = Call(
            caller=acting.caller,
            tenant=acting.tenant,
            path=path,
            query=query,
            body=body,
            headers=request.headers,
            key=key,
            digest=digest,
            names_tenant=acting.names_tenant,
        )
        return _response(route, request, await perform(self._desk, route, call))

    async def _body(self, route: Route, request: web.Request) -> tuple[Any, bytes]:
        if route.body is None:
            return None, b""
        raw = await self._reader.read(request)
        if route.body is ManifestText:
            return manifest_text(request, raw), hashlib.sha256(raw).digest()
        return checked_body(route, json_document(request, raw))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(part) for part in _IN_PATH.split(path)[::2]))


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(key) is None:
        detail = "give 1 to 255 visible ASCII characters"
        raise unreadable(
            "The Idempotency-Key is not valid", faults=[{"header": "Idempotency-Key", "detail": detail}]
        )
    return key


def _response(route: Route, request: web.Request, reply: Reply) -> web.Response:
    status = reply.status or route.status
    headers = {**SAFE_HEADERS, **reply.headers}
    if reply.raw is not None:
        return web.Response(
            status=status, body=reply.raw, headers={**headers, "Content-Type": reply.content_type}
        )
    if route.answer is None or status == 204:
        return web.Response(status=status, headers=headers)
    value = reply.value
    if isinstance(value, Listing) and value.next is not None:
        parameters = {**request.rel_url.query, "cursor": value.next}
        headers["Link"] = f'<{request.rel_url.raw_path}?{urlencode(parameters)}>; rel="next"'
    body = dumps(document_of(route, reply))
    return web.Response(status=status, body=body, content_type=reply.content_type, headers=headers)
