"""ETag, If-Match and If-None-Match: who changes a thing may say which state of it was seen, or that none was."""

from collections.abc import Mapping

from headwater.control.problems import Refusal


def etag(version: object) -> dict[str, str]:
    """The header that names a state."""
    return {"ETag": f'"{version}"'}


def check_preconditions(headers: Mapping[str, str], version: object | None) -> None:
    """Raises: Refusal 412 when If-Match names another state than `version` (None: the thing is not there), or
    If-None-Match names this one; `*` is any.
    """
    wanted, unwanted = _tags(headers.get("If-Match")), _tags(headers.get("If-None-Match"))
    current = f'"{version}"'
    if wanted is not None and (
        version is None or not {"*", current} & wanted
    ):  # RFC 9110 §13.1.1: strong comparison
        raise Refusal(412, "It was changed meanwhile: read it again, then change what is there now")
    if (
        unwanted is not None and version is not None and {"*", current, f"W/{current}"} & unwanted
    ):  # §13.1.2: weak
        raise Refusal(412, "It is there already: leave If-None-Match out to change it")


def _tags(header: str | None) -> set[str] | None:
    return None if header is None else {tag.strip() for tag in header.split(",")}
