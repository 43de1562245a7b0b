"""Receivers of notifications: a web server that keeps every request and answers as it is told, and a mail server."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from headwater.app.server import serving


@dataclass(frozen=True)
class Heard:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Heard, int], web.StreamResponse]


def fine(heard: Heard, number: int) -> web.StreamResponse:
    return web.Response(text="ok")


@dataclass
class Ear:
    """What was heard; `answer(request, number)` is asked for each answer, numbers from 1."""

    url: str = ""
    answer: Answer = fine
    requests: list[Heard] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, count: int, timeout_s: float = 15.0) -> list[Heard]:
        """All requests, once there are `count`."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def hear(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        heard = Heard(request.path_qs, dict(request.headers), body)
        self.requests.append(heard)
        async with self.changed:
            self.changed.notify_all()
        return self.answer(heard, len(self.requests))


@asynccontextmanager
async def listening_ear(answer: Answer = fine) -> AsyncIterator[Ear]:
    """A web server on 127.0.0.1."""
    ear = Ear(answer=answer)
    async with serving([web.route("*", "/{rest:.*}", ear.hear)], "127.0.0.1", 0) as port:
        ear.url = f"http://127.0.0.1:{port}"
        yield ear


@dataclass
class Mailbox:
    """What a mail server took: the mails, who they were for, and whether the line was secure."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  # answers to the next mails, such as `451 later`

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusals:
            return self.refusals.pop(0)
        mail: Any = message_from_bytes(envelope.content or b"", policy=default)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        self.secure.append(session.ssl is not None)
        return "250 taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, how: str, login: Any
    ) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append((login.login, login.password))
        return AuthResult(success=login.password == b"right pass/word")


@asynccontextmanager
async def mail_box(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, login: bool = False
) -> AsyncIterator[Mailbox]:
    """A real SMTP server on 127.0.0.1, with STARTTLS where `tls` is given (`implicit`: TLS from the first byte)."""
    box = Mailbox()
    more: dict[str, Any] = {}
    if tls is not None and not implicit:
        more |= {"tls_context": tls, "require_starttls": False}
    if login:
        more |= {
            "authenticator": box.authenticate,
            "auth_required": True,
            "auth_require_tls": tls is not None and not implicit,
        }
    loop = asyncio.get_running_loop()

    def factory() -> SMTP:
        with warnings.catch_warnings():  # it warns of a login without STARTTLS, which is meant here
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(box, hostname="mail.example.com", enable_SMTPUTF8=True, loop=loop, **more)

    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls if implicit else None)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
