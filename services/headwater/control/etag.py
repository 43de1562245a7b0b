"""ETag and If-Match: who changes a thing may say which state of it was seen."""

from collections.abc import Mapping

from headwater.control.problems import Refusal


def etag(version: object) -> dict[str, str]:
    """The header that names a state."""
    return {"ETag": f'"{version}"'}


def check_if_match(headers: Mapping[str, str], version: object | None) -> None:
    """Raises: Refusal 412 when If-Match names another state than `version` (None: the thing is not there)."""
    wanted = headers.get("If-Match")
    if wanted is None:
        return
    tags = [tag.strip() for tag in wanted.split(",")]
    if version is not None and ("*" in tags or f'"{version}"' in tags):  # RFC 9110 §13.1.1: strong comparison
        return
    raise Refusal(412, "It was changed meanwhile: read it again, then change what is there now")
