"""The forms of names and addresses that every part of a manifest shares."""

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_NAME = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
Name = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
StreamRef = Annotated[str, StringConstraints(pattern=rf"^{_NAME}\.{_NAME}$")]


def _http_url(text: str) -> str:
    if not re.match(r"^https?://[^/\s?#]+", text) and not text.startswith("${"):
        raise ValueError("must be an absolute http:// or https:// address")
    return text.rstrip("/") if text.count("/") == 3 else text


HttpUrl = Annotated[str, AfterValidator(_http_url)]
