"""Whether a form really comes from a page of ours: where the browser says it comes from, and the session's token."""

from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from headwater.control.problems import Refusal, forbidden, unreadable
from headwater.control.reading import BodyReader
from headwater.control.ui.session import Session
from headwater.control.ui.sheet import TOKEN
from headwater.control.ui.visit import Given
from headwater.model.storable import text_fault

MAX_FORM_BYTES = 256 * 1024
MAX_FIELDS = 50
_FORM = "application/x-www-form-urlencoded"


def check_origin(request: web.Request, public_url: str) -> None:
    """Raises: Refusal 403 for what a page of elsewhere sends.

    Browsers tell it by Sec-Fetch-Site; over plain HTTP, where they leave that out, by Origin. What sends neither is
    no browser that would lend somebody its cookie; the token is asked for all the same.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise forbidden("This form was not sent by a page of headwater")
        return
    origin = request.headers.get("Origin")
    if origin is None:
        return
    ours = {request.host.lower(), urlsplit(public_url).netloc.lower()}
    if urlsplit(origin).netloc.lower() not in ours:
        raise forbidden(
            "This form was not sent by a page of headwater; behind a proxy, set HEADWATER_PUBLIC_URL to the address "
            "that browsers use"
        )


def check_token(session: Session, given: Given) -> None:
    """Raises: Refusal 403 for a form of another session, or of none."""
    if not session.has_token(given.get(TOKEN, "")):
        raise forbidden("This form belongs to another session: open the page again, then send it")


async def read_form(reader: BodyReader, request: web.Request) -> Given:
    """The fields of a form. Raises: Refusal 400, 413, 415."""
    if request.content_type != _FORM:
        raise Refusal(415, f"Forms are read as {_FORM}")
    if request.content_length is None or request.content_length > MAX_FORM_BYTES:
        why = f"The form is larger than {MAX_FORM_BYTES} bytes, or does not say how large it is"
        raise Refusal(413, why, headers={"Connection": "close"})
    body = await reader.read(request)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise unreadable("The form cannot be read") from None
    given = dict(pairs)
    if len(given) != len(pairs) or any(text_fault(part) for pair in pairs for part in pair):
        raise unreadable("The form cannot be read")
    return given
