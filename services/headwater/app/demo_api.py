"""The demo's own small API: 2,000 orders, the same each time, paged in the three ways most APIs know.

`GET /orders?limit&offset` or `?limit&cursor` answers `{"orders": […], "total": n, "next": cursor|null}` and a
Link header (RFC 8288). `?updated_since=` gives what is newer. A bearer token is asked for.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

ORDER_COUNT = 2_000
MAX_PAGE = 100
_FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_NAMES = ("Ada", "Bo", "Chidi", "Dilnaz", "Eszter", "Fatoumata", "Güneş", "Hana", "Iñaki", "Jürgen")
_COUNTRIES = ("AT", "BR", "CZ", "DE", "ES", "FR", "IN", "JP", "NG", "US")
_PRODUCTS = (("kettle", 3490), ("lamp", 5900), ("notebook", 480), ("rain coat", 8900), ("tea", 1250))
_STATES = ("paid", "paid", "paid", "shipped", "shipped", "refunded")


@dataclass(frozen=True, slots=True)
class _Dice:
    """Numbers that look drawn and are the same in every process."""

    digest: bytes

    @classmethod
    def of(cls, number: int) -> "_Dice":
        return cls(hashlib.blake2b(number.to_bytes(8, "big"), digest_size=32).digest())

    def roll(self, index: int, sides: int) -> int:
        return int.from_bytes(self.digest[index * 2 : index * 2 + 2], "big") % sides


def order(number: int) -> dict[str, Any]:
    """Order `number` (from 1). Amounts are in cents, times in UTC."""
    dice = _Dice.of(number)
    name = _NAMES[dice.roll(0, len(_NAMES))]
    created = _FIRST_DAY + timedelta(minutes=97 * number + dice.roll(1, 60))
    lines = [_line(dice, 3 + index) for index in range(1 + dice.roll(2, 3))]
    return {
        "id": number,
        "reference": f"HW-{number:06d}",
        "customer": {
            "name": name,
            "email": f"{name.lower().encode('ascii', 'ignore').decode()}.{dice.roll(7, 400)}@example.com",
            "country": _COUNTRIES[dice.roll(8, len(_COUNTRIES))],
        },
        "status": _STATES[dice.roll(9, len(_STATES))],
        "currency": "EUR",
        "amount_cents": sum(line["quantity"] * line["price_cents"] for line in lines),
        "lines": lines,
        "note": None if dice.roll(10, 4) else "please ring twice",
        "created_at": _text(created),
        "updated_at": _text(created + timedelta(hours=dice.roll(11, 72))),
    }


def _line(dice: _Dice, index: int) -> dict[str, Any]:
    name, price = _PRODUCTS[dice.roll(index, len(_PRODUCTS))]
    return {"product": name, "quantity": 1 + dice.roll(index + 9, 4), "price_cents": price}


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class DemoApi:
    """The API's handlers over `count` orders, for who shows `token`."""

    def __init__(self, token: str, count: int = ORDER_COUNT) -> None:
        self._token = token.encode()
        self._orders = [order(number) for number in range(1, count + 1)]
        self._by_change = sorted(self._orders, key=lambda one: (one["updated_at"], one["id"]))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.welcome),
            web.get("/orders", self.list),
            web.get(r"/orders/{id:\d+}", self.show),
        ]

    async def welcome(self, _: web.Request) -> web.Response:
        return _json({"name": "headwater demo API", "orders": len(self._orders), "see": "/orders?limit=100"})

    async def show(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return _refused()
        number = int(request.match_info["id"][:9])
        if not 1 <= number <= len(self._orders):
            return _json({"error": "no such order"}, 404)
        return _json(self._orders[number - 1])

    async def list(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return _refused()
        try:
            limit = min(max(_number(request.query, "limit", MAX_PAGE), 1), MAX_PAGE)
            begin = _begin(request.query)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        found = self._since(request.query.get("updated_since"))
        page = found[begin : begin + limit]
        following = begin + len(page)
        has_more = bool(page) and following < len(found)
        body = {"orders": page, "total": len(found), "next": _cursor(following) if has_more else None}
        return _json(body, headers=_links(request, _cursor(following), limit) if has_more else {})

    def _since(self, text: str | None) -> Sequence[dict[str, Any]]:
        if not text:
            return self._orders
        return [one for one in self._by_change if one["updated_at"] > text]

    def _may(self, request: web.Request) -> bool:
        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(shown, b"Bearer " + self._token)


def _begin(query: Mapping[str, str]) -> int:
    cursor = query.get("cursor")
    if not cursor:
        return _number(query, "offset", 0)
    try:
        return int(base64.urlsafe_b64decode(cursor.encode()).removeprefix(b"after:"))
    except (ValueError, binascii.Error) as error:
        raise ValueError("cursor is not one of ours") from error


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(b"after:%d" % position).decode()


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{name} must be a whole number")
    return int(text)


def _links(request: web.Request, cursor: str, limit: int) -> dict[str, str]:
    query = {**request.query, "cursor": cursor, "limit": str(limit)}
    query.pop("offset", None)
    target = request.rel_url.with_query(query)
    return {"Link": f'<{target}>; rel="next"'}


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(value), content_type="application/json", headers=headers
    )


def _refused() -> web.Response:
    return _json({"error": "show the demo's bearer token"}, 401)


@asynccontextmanager
async def demo_api(token: str, *, port: int = 0, count: int = ORDER_COUNT) -> AsyncIterator[str]:
    """Serve the demo API on 127.0.0.1 while the context is open; gives its base URL.

    Args: `port` 0 takes a free one; `token` is what `Authorization: Bearer` must show.
    """
    application = web.Application()
    application.add_routes(DemoApi(token, count).routes())
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
