"""A POST to a web address, judged: what is done, what is gone, what is tried again, and when."""

from collections.abc import Sequence

from headwater.model.errors import SecretError, SourceError
from headwater.model.http import Credentials, HttpRequest, Response, SecretPairs, origin_of, parse_url
from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import Means, Outcome, Result
from headwater.plugins.secret_text import masked
from headwater.plugins.walk.waits import retry_after_s

MAX_ANSWER_BYTES = 1024 * 1024
SHOWN = 300
_HINTS = {
    "refused_address": "the address is not public: allow its range in the target's network.allow",
    "redirect": "it answered with a redirect, which is not followed: give the final address",
    "bad_url": "the address cannot be read: give http:// or https://, a host and a path, and no user name",
}
_UNTIL_MENDED = frozenset({"refused_address", "bad_url"})  # nobody was asked, nor will be


async def post(
    means: Means,
    url: Secret,
    body: bytes,
    headers: SecretPairs,
    *,
    allow: Sequence[str],
    timeout_s: float,
    is_gone: Sequence[int] = (410,),
) -> Result:
    """Send `body` (JSON) and judge the answer. The whole address counts as a secret. Never raises for the target's
    faults.
    """
    hidden = (url, *(value for _, value in headers), *means.secrets.values())
    try:
        address = url.text()
        parse_url(address)
        credentials = Credentials(origin_of(address), headers=headers)
        request = HttpRequest(
            "POST", address, (("Content-Type", "application/json"),), body, credentials=credentials
        )
        response = await means.http.send(
            request, allow=allow, timeout_s=timeout_s, max_body_bytes=MAX_ANSWER_BYTES
        )
    except SourceError as error:
        text = _HINTS.get(error.kind, error.message)
        is_final = error.kind in _UNTIL_MENDED
        return Result(Outcome.FAILED, error=masked(f"{error.kind}: {text}", hidden), is_final=is_final)
    except (SecretError, UnicodeError) as error:
        return Result(Outcome.FAILED, error=f"secret: {error}")
    return _judged(response, means, hidden, is_gone)


def _judged(response: Response, means: Means, hidden: Sequence[Secret], is_gone: Sequence[int]) -> Result:
    status = response.status
    answer = masked(response.body[: SHOWN * 4].decode("utf-8", "replace"), hidden)[:SHOWN].replace("\0", "?")
    if 200 <= status < 300:
        return Result(Outcome.SENT, status, answer=answer)
    if status in is_gone:
        return Result(Outcome.GONE, status, f"the target says that it is gone ({status})", answer)
    wait_s = retry_after_s(response, means.clock.now()) if status in {429, 503} else None
    return Result(Outcome.FAILED, status, f"the target answered {status}", answer, wait_s)
