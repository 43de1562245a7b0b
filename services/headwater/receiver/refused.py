"""How a request is turned away: the caller learns the status, the operator the reason."""

from collections.abc import Mapping

import orjson
from aiohttp import web

RETRY_AFTER_S = 5


class Refused(Exception):
    """Ends a request. `reason` is a stable code for operators, `detail` the header or field concerned.

    `is_plain`: the sender wants no body (Xero). `skew_s` is our time less the signed one.
    """

    def __init__(
        self,
        status: int,
        title: str,
        reason: str,
        *,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        skew_s: float | None = None,
        is_plain: bool = False,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.reason = reason
        self.detail = detail
        self.headers = dict(headers or {})
        self.skew_s = skew_s
        self.is_plain = is_plain

    def response(self) -> web.Response:
        if self.is_plain:
            return web.Response(status=self.status, headers=self.headers)
        body = orjson.dumps({"type": "about:blank", "title": self.title, "status": self.status})
        return web.Response(
            status=self.status, body=body, content_type="application/problem+json", headers=self.headers
        )


def too_large(cap: int, size: int) -> Refused:
    return Refused(
        413,
        f"The body is larger than {cap} bytes",
        "too_large",
        detail=f"{size} bytes",
        headers={"Connection": "close"},
    )


def unavailable(reason: str = "unavailable", detail: str = "") -> Refused:
    return Refused(
        503,
        "Not accepted now; send it again",
        reason,
        detail=detail,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def too_many(wait_s: float) -> Refused:
    headers = {"Retry-After": str(max(1, int(-(-wait_s // 1))))}
    return Refused(429, "Too many requests; send it again later", "rate_limited", headers=headers)
