"""`Expect: 100-continue` (RFC 9110 §10.1.1): a sender is told to go on when its body is wanted, and not before.

Without that it sends megabytes to learn that there is no such address, or that they are too many.
"""

from typing import Final

from aiohttp import web

from headwater.http.incoming import problem

_WAITING: Final = web.RequestKey("waiting", bool)


async def put_off(request: web.Request) -> web.StreamResponse | None:
    """For routes: leave `100 Continue` to whoever reads the body; what else is expected is answered with 417."""
    if request.version < (1, 1):
        return None  # HTTP/1.0 knows no expectations
    if request.headers["Expect"].strip().lower() != "100-continue":
        return problem(417, "Only 100-continue can be expected here")
    request[_WAITING] = True
    return None


async def go_on(request: web.BaseRequest) -> None:
    """The body is about to be read: let a sender that waits for that go on."""
    if request.pop(_WAITING, False) and not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def close_if_waiting(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """End the connection of a sender that was not told to go on: what it sends next may be its body or not."""
    if request.get(_WAITING, False):
        response.force_close()
