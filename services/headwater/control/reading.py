"""Reading a request within limits: the body, its form, and the texts in it that no row could hold."""

import asyncio
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from headwater.contracts import codec
from headwater.contracts.problem import pointer
from headwater.control.problems import Refusal, invalid, unavailable, unreadable
from headwater.http.expecting import go_on
from headwater.model.errors import ContractError
from headwater.model.storable import text_fault

MAX_BODY_BYTES = 5 * 1024 * 1024
BUDGET_BYTES = 64 * 1024 * 1024  # bodies in flight in one process
READ_S = 10.0  # between two pieces of a body
BODY_S = 60.0  # for a whole body
MAX_DEPTH = 64
MAX_EXPONENT = 1000  # a number beyond it is no quantity; the database takes 131,072 digits at most
_JSON = ("application/json",)
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")
Path = tuple[str | int, ...]


class BodyReader:
    """Reads bodies; all that are in flight share one budget."""

    def __init__(self) -> None:
        self._in_flight = 0

    async def read(self, request: web.Request) -> bytes:
        """The body. Raises: Refusal 400, 408, 413, 415, 503."""
        length = request.content_length
        if length is not None and length > MAX_BODY_BYTES:
            raise _too_large()
        if request.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise Refusal(415, "Compressed bodies are not accepted", headers={"Connection": "close"})
        expected = length if length is not None else MAX_BODY_BYTES
        if not request.can_read_body:
            return b""
        if self._in_flight + expected > BUDGET_BYTES:
            raise unavailable()
        await go_on(request)
        self._in_flight += expected
        try:
            return await _read(request)
        finally:
            self._in_flight -= expected


async def _read(request: web.Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                async with asyncio.timeout(READ_S):
                    part = await request.content.readany()
                if not part:
                    return b"".join(parts)
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "The body did not arrive in time", headers={"Connection": "close"}) from None
    except (web.RequestPayloadError, ValueError, ConnectionError):
        raise Refusal(400, "The body is cut or malformed", headers={"Connection": "close"}) from None


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes", headers={"Connection": "close"})


def json_document(request: web.Request, body: bytes) -> Any:
    """The JSON document in the body, {} when there is none. Raises: Refusal 400, 415."""
    if not body.strip():
        return {}
    _check_type(request, _JSON, "send JSON as application/json")
    try:
        return codec.loads(body)
    except ContractError as error:
        raise unreadable(f"The body is {error}") from None


def manifest_text(request: web.Request, body: bytes) -> str:
    """The text of a manifest. Raises: Refusal 400, 415."""
    _check_type(request, _JSON + _YAML, "send YAML as application/yaml or JSON as application/json")
    try:
        return body.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise unreadable(f"The body is not UTF-8 (byte {error.start + 1})") from None


def _check_type(request: web.Request, allowed: tuple[str, ...], mend: str) -> None:
    if "Content-Type" not in request.headers:
        return
    kind = request.content_type.lower()
    if kind not in allowed and not kind.endswith("+json"):
        raise Refusal(415, f"Bodies of this type are not read; {mend}")
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Refusal(415, "Bodies are read as UTF-8 only")


def refuse_unstorable(document: Any) -> None:
    """Raises: Refusal 422 for what PostgreSQL's text and jsonb cannot hold, at its place."""
    for path, fault in faults_in(document):
        raise invalid("The body is not valid", [{"pointer": pointer(path), "detail": fault}])


def faults_in(document: Any) -> Iterator[tuple[Path, str]]:
    """Where `document` holds NUL, half a surrogate pair, an absurd number or too deep nesting."""
    waiting: list[tuple[Path, Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            fault = text_fault(value)
        elif isinstance(value, Decimal):
            fault = "is no number of this world" if abs(value.adjusted()) > MAX_EXPONENT else None
        elif isinstance(value, int | float):
            fault = _number_fault(value)
        elif len(path) > MAX_DEPTH:
            fault = f"is nested deeper than {MAX_DEPTH} levels"
        else:
            fault = None
            if isinstance(value, Mapping):
                waiting.extend(((*path, key), item) for key, item in value.items())
                fault = next((text_fault(key) for key in value if text_fault(key)), None)
            elif isinstance(value, list):
                waiting.extend(((*path, index), item) for index, item in enumerate(value))
        if fault is not None:
            yield path, fault
            if "nested" in fault:
                return


def _number_fault(number: float) -> str | None:
    """Why no message can carry `number`; None when it can."""
    if isinstance(number, float):
        return None if math.isfinite(number) else "is no number that JSON has"
    return None if -(2**63) <= number < 2**64 else "is beyond 64 bits: put it in quotes, as a text"
