"""Mails: plain text under a Message-ID that stays the same, so that a mail sent twice is seen once.

`smtp://` takes STARTTLS where the server offers it and never shows a password in the clear; `?tls=required` refuses
servers without it, `?tls=never` is for a server on a private line. `smtps://` is TLS from the first byte.
"""

import asyncio
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from headwater.contracts.notifications import EmailTarget
from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import Letter, Means, Outcome, Result
from headwater.plugins.secret_text import fill, masked

_PORTS = {"smtp": 587, "smtps": 465}
_TLS = ("auto", "required", "never")
_PIECE_S = 15.0  # for each answer of the server


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed in. `tls`: auto, required, never, or implicit. `sender` is the address's `from`."""

    host: str
    port: int
    tls: str
    user: str | None = None
    password: Secret | None = None
    sender: str | None = None


def mail_server(url: Secret) -> MailServer:
    """The server of `smtp[s]://user:password@host:port?tls=…&from=…`. Raises: ConfigError, without the value."""
    mend = "give smtp://user:password@host:587 or smtps://…:465, special characters of the password as %XX"
    try:
        parsed = urlsplit(url.text().strip())
        port, host = parsed.port, parsed.hostname
        options = parse_qs(parsed.query, strict_parsing=bool(parsed.query))
    except ValueError:
        raise ConfigError(f"the mail server's address cannot be read; {mend}") from None
    if parsed.scheme not in _PORTS or not host:
        raise ConfigError(f"the mail server's address is none; {mend}")
    tls = options.pop("tls", ["auto"])[-1]
    sender = options.pop("from", [None])[-1]
    if tls not in _TLS or options:
        raise ConfigError(
            "the mail server's address takes `?tls=auto`, `required` or `never`, and `from=…`; remove the rest"
        )
    password = None if parsed.password is None else Secret.of(unquote(parsed.password))
    return MailServer(
        host,
        port or _PORTS[parsed.scheme],
        "implicit" if parsed.scheme == "smtps" else tls,
        None if parsed.username is None else unquote(parsed.username),
        password,
        sender,
    )


def mail_of(letter: Letter, sender: str, to: tuple[str, ...], cc: tuple[str, ...]) -> EmailMessage:
    """The mail. Line ends in texts of ours become blanks: no header can be added through them."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "headwater.invalid"
    mail = EmailMessage(policy=SMTP)
    mail["From"] = _mailbox(sender)
    mail["To"] = [_mailbox(each) for each in to]
    if cc:
        mail["Cc"] = [_mailbox(each) for each in cc]
    mail["Subject"] = " ".join(letter.subject.split())[:500]
    mail["Date"] = format_datetime(letter.at)
    mail["Message-ID"] = f"<{letter.id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no holiday notes in return
    mail["X-Headwater-Event"] = letter.event
    mail["X-Headwater-Notification"] = letter.notification
    mail.set_content(letter.text)
    return mail


def _mailbox(text: str) -> Address:
    name, address = parseaddr(text)
    return Address(display_name=name, addr_spec=address)


async def send(
    target: EmailTarget, letter: Letter, means: Means, *, tls: ssl.SSLContext | None = None
) -> Result:
    """One attempt. `tls`: the certificates that are trusted (default: the system's)."""
    try:
        url = fill(target.smtp, means.secrets) if target.smtp else means.office.mail_url
        if url is None:
            raise ConfigError("no mail server is known: set HEADWATER_SMTP_URL, or `smtp` in the target")
        server = mail_server(url)
        sender = target.sender or server.sender or means.office.mail_from
        if sender is None:
            raise ConfigError("no sender is known: set HEADWATER_SMTP_FROM, or `from` in the target")
        mail = mail_of(letter, sender, target.to, target.cc)
    except (ConfigError, SecretError, ValueError, IndexError) as error:
        return Result(Outcome.FAILED, error=f"mail: {error}")
    # the operator's own server may be anywhere; one that a tenant names may not be private
    allow = target.network.allow if target.smtp else None
    hidden = [url, *means.secrets.values(), *([server.password] if server.password else [])]
    try:
        async with asyncio.timeout(target.timeout_s):
            try:
                sock = await means.connect(server.host, server.port, allow, target.timeout_s)
            except ConfigError as error:
                return Result(Outcome.FAILED, error=f"mail: {server.host}: {error}", is_final=True)
            return await _hand_in(server, sock, mail, tls)
    except TimeoutError:
        return Result(
            Outcome.FAILED, error=f"timeout: {server.host} did not take it within {target.timeout_s:g} s"
        )
    except aiosmtplib.SMTPException as error:
        return _refused(error, hidden)
    except ssl.SSLError:
        return Result(Outcome.FAILED, error=f"tls: the certificate or handshake of {server.host} failed")
    except (OSError, ConfigError) as error:
        return Result(Outcome.FAILED, error=masked(f"mail: {server.host}: {error}"[:300], hidden))


def _refused(error: aiosmtplib.SMTPException, hidden: list[Secret]) -> Result:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        first = error.recipients[0] if error.recipients else None
        said = f"{first.code} {first.message}" if first is not None else "no recipient was taken"
        return Result(
            Outcome.FAILED, None if first is None else first.code, masked(f"mail: {said}"[:300], hidden)
        )
    code = getattr(error, "code", None)
    message = getattr(error, "message", None) or str(error)
    return Result(Outcome.FAILED, code, masked(f"mail: {message}"[:300], hidden))


async def _hand_in(server: MailServer, sock: Any, mail: EmailMessage, tls: ssl.SSLContext | None) -> Result:
    context = tls or ssl.create_default_context()
    client = aiosmtplib.SMTP(
        hostname=server.host,
        sock=sock,
        use_tls=server.tls == "implicit",
        start_tls=False,
        tls_context=context,
        timeout=_PIECE_S,
        local_hostname="headwater",
    )
    async with client:
        if server.tls in {"auto", "required"}:
            await _secure(client, server, context)
        if server.user is not None and server.password is not None:
            await client.login(server.user, server.password.text())
        refused, said = await client.send_message(mail)
    note = None if not refused else f"not taken for {', '.join(sorted(refused))}"
    return Result(Outcome.SENT, 250, note, said[:300])


async def _secure(client: aiosmtplib.SMTP, server: MailServer, context: ssl.SSLContext) -> None:
    await client.ehlo()
    if client.supports_extension("starttls"):
        await client.starttls(tls_context=context, server_hostname=server.host)
    elif server.tls == "required" or server.password is not None:
        raise ConfigError(
            "the server offers no STARTTLS; a password is not sent in the clear: use smtps://, or ?tls=never on a "
            "private line"
        )
